# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``real_ranges.py`` measures, as a table beside the protocols' ranges."""

from __future__ import annotations

from pyxem_symnet.simulation import PROTOCOLS


def text(*keys, form="{:.3g}"):
    """Return a function that formats one of an entry's values."""

    def cell(result: dict) -> str:
        for key in keys:
            result = (result or {}).get(key)
        if result is None:
            return "–"
        if isinstance(result, list):
            # Quartiles of one pattern
            values = result if result[0] != result[-1] else result[:1]
            return " ".join(form.format(value) for value in values)
        return form.format(result)

    return cell


def share(part: str, whole: str):
    """Return a function that formats a count out of another."""

    def cell(result: dict) -> str:
        fit = result["fit"] or {}
        return f"{fit[part]} of {fit[whole]}" if part in fit else "–"

    return cell


def unexplained(result: dict) -> str:
    """Return the number of spots a pattern that are on no lattice point."""
    fit = result["fit"]
    if fit is None:
        return "–"
    return f"{(fit['spots'] - fit['explained']) / result['n_patterns']:.2g}"


#: What is measured, how it is written, and the settings that follow from it
ROWS = (
    ("patterns", text("n_patterns"), ()),
    ("spots in a pattern: least, quartiles, most", text("spots"), ("max_spots",)),
    ("their dynamic range in decades, likewise", text("decades"), ("decades",)),
    ("nearest spot (1/Å)", text("nearest"), ("inner_radius",)),
    ("found", text("fit", "found", form="{}"), ()),
    ("spots on lattice points", share("explained", "spots"), ()),
    ("less than 0.05 1/Å from one", share("within_wide", "spots"), ()),
    (
        "random positions that would be on them",
        text("fit", "explained_by_chance", form="{:.0%}"),
        (),
    ),
    ("spots elsewhere, a pattern", unexplained, ("spurious",)),
    ("scale, apparent over true", text("fit", "scale", form="{:.3f}"), ("scale",)),
    ("ellipticity", text("fit", "ellipticity", form="{:.3f}"), ("ellipticity",)),
    ("its angle from kx (°)", text("fit", "ellipse_angle", form="{:.0f}"), ()),
    (
        "centre of the lattice, x y (1/Å)",
        text("fit", "centre", form="{:.4f}"),
        ("centre_shift",),
    ),
    (
        "centre of Friedel pairs, x y (1/Å)",
        text("friedel", "centre", form="{:.4f}"),
        ("centre_shift",),
    ),
    ("number of these pairs", text("friedel", "pairs"), ()),
    (
        "centre, scatter between patterns (1/Å)",
        text("fit", "centre_scatter"),
        ("centre_shift",),
    ),
    (
        "positions, scatter in a pattern (1/Å)",
        text("fit", "position_scatter"),
        ("position_jitter",),
    ),
    (
        "distance from the Ewald sphere, rms (1/Å)",
        text("fit", "excitation_error"),
        ("excitation_error",),
    ),
    (
        "95 % are nearer than (1/Å)",
        text("fit", "excitation_error_95"),
        ("excitation_error",),
    ),
    (
        "forbidden reflections, of spots that tell",
        share("forbidden", "forbidden_of"),
        ("double_probability",),
    ),
    (
        "the strongest, of the strongest spot",
        text("fit", "forbidden_strongest", form="{:.1%}"),
        ("double_strength",),
    ),
    ("strong reflections not found", share("strong_missed", "strong"), ("missed",)),
    (
        "ln of intensities, scatter by Friedel pairs",
        text("friedel", "intensity_scatter", form="{:.2f}"),
        ("intensity_jitter",),
    ),
    (
        "ln of intensities, scatter about the structure",
        text("fit", "intensity_scatter", form="{:.2f}"),
        ("intensity_jitter",),
    ),
    ("flattening (gamma)", text("fit", "gamma", form="{:.2f}"), ("gamma",)),
    (
        "their fall with g², gamma times B (Å²)",
        text("fit", "gamma_b", form="{:.1f}"),
        ("gamma", "b_factor"),
    ),
    ("apparent B (Å²)", text("fit", "b_factor", form="{:.1f}"), ("b_factor",)),
)


def ranges(name: str, fields: tuple[str, ...]) -> str:
    """Return the settings of a protocol as text."""
    protocol = PROTOCOLS[name].to_dict()
    values = (protocol[field] for field in fields)
    return "; ".join(
        "–".join(f"{x:g}" for x in value) if isinstance(value, list) else f"{value:g}"
        for value in values
    )


def report(results: list[dict], radius: float, strong: float) -> str:
    """Return the report as Markdown; the user guide shows its middle."""
    without = [r["name"] for r in results if r["decades"] is None]
    results = [r for r in results if r["decades"] is not None]
    names = [result["name"] for result in results]
    protocols = (PROTOCOLS["noisy"].name,)
    lines = [
        "# What real patterns differ in from perfect ones",
        "",
        "Written by `python benchmarks/real_ranges.py DATA_DIR`.",
        "",
        "<!-- table -->",
        "",
        f"| measured | {' | '.join(names)} | setting | {' | '.join(protocols)} |",
        "| --- |" + " --- |" * (len(names) + 1 + len(protocols)),
    ]
    for title, cell, fields in ROWS:
        cells = [title, *(cell(result) for result in results)]
        cells.append(", ".join(f"`{field}`" for field in fields))
        cells += [ranges(name, fields) for name in protocols]
        lines.append("| " + " | ".join(cells) + " |")
    cells = {r["name"]: r["fit"]["cell"] for r in results if r["fit"]}
    lines += [
        "",
        f"Spots within {radius} 1/Å of the beam, as the shipped model finds them.",
        f"Strong reflections: above {strong:.0%} of the strongest in the zone. Cells: "
        + "; ".join(f"{name}, {source}" for name, source in cells.items())
        + ".",
    ]
    if without:
        lines.append(f"No spots to measure were found in: {', '.join(without)}.")
    lines += ["", "<!-- end -->"]
    return "\n".join(lines) + "\n"
