# SPDX-License-Identifier: GPL-3.0-or-later
"""The paper's shaping rule, written out in loops: slow, and meant so.

`~pyxem_symnet.descriptors.shaped.shape_patterns` is what to use; this
is what it is checked against.
"""

from __future__ import annotations

import numpy as np

SIZE = 256
BOX = slice(116, 138)
SPOT_THRESHOLD = 50
MIN_DISTANCE = 10.0
TOLERANCE = 1.7
FEW_DISTANCES = 100
WRITE_BACK = 5


def scale_pattern_reference(image: np.ndarray) -> np.ndarray:
    """Return the pattern with all but the central box scaled to 0..256.

    Parameters
    ----------
    image
        8-bit pattern of shape (256, 256).

    Returns
    -------
    scaled
        float32 of shape (256, 256).
    """
    image = np.asarray(image)
    if image.shape != (SIZE, SIZE):
        raise ValueError(
            f"shaping takes patterns of {SIZE} × {SIZE} pixels, not {image.shape}; "
            "resample or render them first"
        )
    original = image.astype(np.float32)
    scaled = original.copy()
    scaled[BOX, BOX] = 0
    if scaled.max() == 0:
        return original
    scaled = scaled / scaled.max() * np.float32(256)
    scaled[BOX, BOX] = original[BOX, BOX]
    return scaled


def shape_pattern_reference(image: np.ndarray) -> np.ndarray:
    r"""Join the spots of a pattern by lines, as [Tiong2020]_ does.

    1. All but the rows and columns 116 to 137 is scaled by its maximum
       to 0..256. An image that is empty there is returned as it is.
    2. Spots are pixels of at least 50.
    3. Ordered pairs of spots that share neither row nor column are
       taken. Distances √(Δcolumn² − 1 + Δrow² − 1) of at least 10 are
       collected.
    4. With 100 collected distances or fewer every pair is joined, else
       those no farther apart (now √(Δcolumn² + Δrow²)) than 1.7 times
       the smallest collected distance.
    5. A joining line is max(\|Δrow\|, \|Δcolumn\|) evenly spaced points,
       both ends included, rounded to pixels, of value 255.
    6. Scaled values above 5 are written back over the lines.

    The result is cut to 8 bits as the authors' is, which turns the 256
    of the strongest pixels into 0.

    Parameters
    ----------
    image
        8-bit pattern of shape (256, 256).

    Returns
    -------
    shaped
        uint8 of shape (256, 256).

    References
    ----------
    .. [Tiong2020] L. C. O. Tiong, J. Kim, S. S. Han, D. Kim, "Identification
       of crystal symmetry from noisy diffraction patterns by a shape
       analysis and deep learning", npj Comput. Mater. 6, 196 (2020).
    """
    scaled = scale_pattern_reference(image)
    outside = scaled.copy()
    outside[BOX, BOX] = 0
    if outside.max() == 0:
        return _to_8_bit(scaled)
    spots = [
        (row, column)
        for row in range(SIZE)
        for column in range(SIZE)
        if scaled[row, column] >= SPOT_THRESHOLD
    ]
    pairs = [
        (first, second)
        for first in spots
        for second in spots
        if first[0] != second[0] and first[1] != second[1]
    ]
    collected = []
    for (row, column), (other_row, other_column) in pairs:
        distance = np.sqrt(
            ((other_column - column) ** 2 - 1) + ((other_row - row) ** 2 - 1)
        )
        if distance >= MIN_DISTANCE:
            collected.append(distance)

    farthest = np.inf
    if len(collected) > FEW_DISTANCES:
        farthest = TOLERANCE * min(collected)
    shaped = scaled.copy()
    for (row, column), (other_row, other_column) in pairs:
        distance = np.sqrt((other_column - column) ** 2 + (other_row - row) ** 2)
        if distance <= farthest:
            n_points = max(abs(other_row - row), abs(other_column - column))
            rows = np.round(np.linspace(other_row, row, n_points)).astype(int)
            columns = np.round(np.linspace(other_column, column, n_points))
            shaped[rows, columns.astype(int)] = 255
    keep = scaled > WRITE_BACK
    shaped[keep] = scaled[keep]
    return _to_8_bit(shaped)


def _to_8_bit(values: np.ndarray) -> np.ndarray:
    return (values.astype(np.int32) % 256).astype(np.uint8)
