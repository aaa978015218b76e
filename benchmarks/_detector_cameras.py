# SPDX-License-Identifier: GPL-3.0-or-later
"""The detectors of ``detectors.py``, and the optics before them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pyxem_symnet.simulation.imaging import Microscope


@dataclass(frozen=True)
class Camera:
    """A detector, the optics before it, and what is recorded with it.

    Parameters
    ----------
    optics
        Microscope: its settings but those of the read-out.
    crystal
        Name of the crystal, "none" for no crystal, "powder" for rings.
    orientation
        "series" for tilts about one axis, or "zone".
    n
        Patterns, of which *blank* have no spots, the first too.
    blank
        Numbers of patterns without spots.
    gain
        Counts of an electron.
    read
        Standard deviation of the read-out noise in counts.
    pedestal
        Counts of no electron.
    spread
        Standard deviation in pixels of the scintillator's blur.
    glare
        Part of the electrons in a tail about the beam that falls with
        the cube of the distance.
    full
        Largest count of a pixel.
    stop
        Radius in pixels of the beam stop, which has an arm. 0 for none.
    dead_lines
        Rows and columns that count nothing.
    hot
        Hot pixels.
    dtype
        Type of the counts; unsigned ones end at 0.
    """

    optics: Microscope
    crystal: str = "anatase"
    orientation: str = "series"
    n: int = 12
    blank: tuple[int, ...] = ()
    gain: float = 1.0
    read: float = 0.0
    pedestal: float = 0.0
    spread: float = 0.0
    glare: float = 0.0
    full: float = math.inf
    stop: float = 0.0
    dead_lines: int = 0
    hot: int = 0
    dtype: type = np.uint16


def optics(size: int, pixel: float, dose: float, width: float, **more) -> Microscope:
    """Return settings with spots whose blur is *width* pixels."""
    more = {
        "disc_radius": 0.0,
        "background": 0.15,
        "scattered": 0.25,
        "excitation_error": 0.02,
    } | more
    disc = more.pop("disc_radius") * pixel
    return Microscope(
        detector=(size, size),
        pixel_size=pixel,
        dose=dose,
        blur=width,
        disc_radius=disc,
        **more,
    )


#: Crystal of a large cell; in thin samples too few spots would stand apart
LARGE = "large monoclinic"

CAMERAS = {
    "hybrid pixels 256, discs": Camera(optics(256, 0.012, 1e5, 0.7, disc_radius=3.0)),
    "hybrid pixels 256, 3,000 electrons": Camera(
        optics(256, 0.012, 3e3, 0.8), "quartz", n=24, blank=(0, 9)
    ),
    "hybrid pixels 514 with a cross, large cell": Camera(
        optics(514, 0.0045, 6e4, 1.0, cross_width=4, background_width=0.15),
        LARGE,
        n=24,
        blank=(0, 5, 17),
    ),
    "counting 512, glare, beam off the middle": Camera(
        optics(512, 0.005, 4e5, 1.5, centre_offset=(60.0, -45.0)),
        "baddeleyite",
        glare=0.3,
        hot=20,
    ),
    "80 kV 512, halo and film": Camera(
        optics(512, 0.006, 3e5, 1.2, beam_energy=80.0, background=0.3, film=0.25),
        "rutile",
    ),
    "CCD 1024, pedestal, saturated beam": Camera(
        optics(1024, 0.0025, 2e5, 2.5),
        "anatase",
        gain=20.0,
        read=6.0,
        pedestal=100.0,
        spread=1.2,
        glare=0.1,
        full=65535.0,
        dead_lines=3,
        hot=100,
    ),
    "CCD 1024, beam stop, zone axes": Camera(
        optics(1024, 0.0025, 5e5, 2.0, scattered=0.35),
        "silicon",
        "zone",
        gain=10.0,
        read=5.0,
        pedestal=30.0,
        spread=1.0,
        stop=45.0,
        full=65535.0,
    ),
    "CMOS 1024, dark subtracted, negative counts": Camera(
        optics(1024, 0.0025, 1e5, 2.0),
        LARGE,
        gain=10.0,
        read=5.0,
        spread=1.0,
        hot=50,
        dtype=np.float32,
    ),
    "CMOS 2048, pedestal, spots 12 pixels wide": Camera(
        optics(2048, 0.00125, 3e5, 5.0),
        "baddeleyite",
        gain=30.0,
        read=8.0,
        pedestal=100.0,
        spread=1.5,
        glare=0.15,
        blank=(0,),
        n=6,
        full=65535.0,
    ),
    "CMOS 2048, sharp spots, large cell": Camera(
        optics(2048, 0.00125, 3e5, 1.0),
        LARGE,
        gain=20.0,
        read=6.0,
        spread=0.8,
        n=6,
        hot=200,
        dtype=np.int16,
        full=32767.0,
    ),
    "CMOS 2048, fine pixels, 100 pixels between spots": Camera(
        optics(2048, 0.0008, 2e5, 3.0, centre_offset=(150.0, 90.0)),
        LARGE,
        gain=20.0,
        read=8.0,
        pedestal=100.0,
        spread=1.5,
        n=6,
        full=65535.0,
        stop=60.0,
    ),
    "no crystal, 512, pedestal": Camera(
        optics(512, 0.005, 2e5, 1.5, film=0.3),
        "none",
        gain=20.0,
        read=6.0,
        pedestal=100.0,
        spread=1.2,
        glare=0.2,
    ),
    "powder, 512": Camera(optics(512, 0.005, 2e6, 1.5), "powder", n=4),
}
