"""A matrix as a heat map: a confusion matrix of 2 to 100 classes and more, readable at every size.

Cells are shaded by their share of the row, so rare classes are seen as well as frequent ones. In a confusion
matrix the diagonal is right (blue) and everything else is wrong (orange), and no mistake is so rare that it
is not seen. Up to some 30 classes a cell holds its count; of more classes, cells of one shade are one path,
so that 100 × 100 of them take 100 KB and not a megabyte.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from mapsto.blocks import Matrix
from mapsto.report.figures import LETTER, NARROW, WIDE, shortened, svg, text
from mapsto.report.markup import Html, joined, tag
from mapsto.report.scales import figure, finite

FEW = 12  # up to so many columns, empty cells say 0, and a phone shows the whole
ROOM = 22.0  # pixels of a cell that holds its figure
NAMED = 40  # and up to so many, each cell is an element that can be pointed at
TALL = 14.0  # pixels of a row, of many columns, that has its name
MOST = 150  # rows and columns drawn
SHADES = 24
FAINTEST = 0.2  # of a cell that is not empty


def heat_map(block: Matrix, width: int = WIDE) -> Html:
    """The drawing. Only matrices whose cells hold figures have a narrow version; larger ones scroll."""
    rows, columns, narrow = block.rows[:MOST], block.columns[:MOST], width <= NARROW
    label_room = min(110.0 if narrow else 190.0, 14 + LETTER * max((len(name) for name in rows), default=1))
    if len(columns) > NAMED:
        label_room = min(label_room, 110.0)
    left = label_room + (0 if narrow else 22)
    cell = min(46.0 if len(columns) > 4 else 68.0, max(7.0, (width - left - 6) / max(1, len(columns))))
    # what is no square and has many columns has rows that can be named: sixteen letters by a hundred moments
    tall = max(cell, TALL) if len(columns) > NAMED >= len(rows) else cell
    upright = max((len(name) for name in columns), default=1) * LETTER > cell - 4
    head = (min(110.0, 12 + LETTER * max(len(name) for name in columns)) if upright else 22.0) + 22
    drawn = [
        _titles(block, left, head, cell, tall, narrow),
        _names(rows, columns, left, head, cell, tall, upright),
    ]
    shades = _shades(block, len(rows), len(columns))
    if len(columns) <= NAMED:
        drawn += [
            _cell(block, i, j, shades[i][j], left, head, cell)
            for i in range(len(rows))
            for j in range(len(columns))
        ]
    else:
        drawn.append(_by_shade(shades, left, head, cell, tall))
    edge = tag("rect", x=left, y=head, width=cell * len(columns), height=tall * len(rows), class_="edge")
    return svg(
        left + cell * len(columns) + 6, head + tall * len(rows) + 6, _told(block), *drawn, edge, class_="own"
    )


def confusion(block: Matrix) -> bool:
    """Do rows and columns hold the same classes?"""
    return block.rows == block.columns and all(
        value is None or value >= 0 for row in block.values for value in row
    )


def key(block: Matrix) -> str:
    """What the shades say."""
    if confusion(block):
        return "Blue is right, orange is wrong; the stronger, the larger the share of its row."
    return (
        "The stronger, the larger; orange is below zero." if _negative(block) else "The stronger, the larger."
    )


def _told(block: Matrix) -> str:
    if not confusion(block):
        return (
            f"{block.row_title} by {block.column_title}, {len(block.rows)} rows and {len(block.columns)}"
            " columns"
        )
    right = sum(row[i] or 0 for i, row in enumerate(block.values) if i < len(row))
    total = sum(finite([value for row in block.values for value in row]))
    wrong = [
        (value, i, j) for i, row in enumerate(block.values) for j, value in enumerate(row) if i != j and value
    ]
    most = max(wrong, default=None)
    worst = (
        f"; most often mistaken: {block.rows[most[1]]} for {block.columns[most[2]]}, {figure(most[0])} times"
        if most
        else ""
    )
    return (
        f"Confusion matrix of {len(block.rows)} classes: {figure(right)} of {figure(total)} on the"
        f" diagonal{worst}"
    )


def _negative(block: Matrix) -> bool:
    return any(value < 0 for row in block.values for value in finite(row))


def _shades(block: Matrix, rows: int, columns: int) -> list[list[float]]:
    """(rows, columns) of 0 (empty) to 1, negative where the value is wrong or below zero."""
    same, found = confusion(block), []
    largest = max((abs(value) for row in block.values for value in finite(row)), default=1.0) or 1.0
    for i, row in enumerate(block.values[:rows]):
        whole = sum(finite(row)) if same else largest
        line = []
        for j, value in enumerate(row[:columns]):
            share = 0.0 if value is None or not math.isfinite(value) or not whole else abs(value) / whole
            shade = FAINTEST + (1 - FAINTEST) * share if share else 0.0
            line.append(-shade if (same and i != j) or (value or 0) < 0 else shade)
        found.append(line)
    return found


def _titles(block: Matrix, left: float, head: float, cell: float, tall: float, narrow: bool) -> Html:
    width, height = cell * len(block.columns[:MOST]), tall * len(block.rows[:MOST])
    if narrow or not block.row_title:
        both = "   ".join(
            filter(
                None,
                (
                    block.row_title and f"{block.row_title} ↓",
                    block.column_title and f"{block.column_title} →",
                ),
            )
        )
        return text(0, 12, shortened(both, left + width), "a")
    top = text(
        left, 12, shortened(f"{block.column_title} →" if block.column_title else "", max(80, width)), "a"
    )
    turned = f"rotate(-90,12,{head + height / 2:.1f})"
    return joined(
        [
            top,
            text(
                12,
                head + height / 2,
                shortened(block.row_title, max(height, 60)),
                "a",
                "middle",
                transform=turned,
            ),
        ]
    )


def _names(
    rows: Sequence[str],
    columns: Sequence[str],
    left: float,
    head: float,
    cell: float,
    tall: float,
    upright: bool,
) -> Html:
    every, each = (max(1, math.ceil(11 / side)) for side in (cell, tall))
    parts = []
    for i, name in enumerate(rows):
        if i % each == 0:
            parts.append(
                text(left - 8, head + tall * (i + 0.5) + 4, shortened(name, left - 10), _size(tall), "end")
            )
    for j, name in enumerate(columns):
        if j % every == 0:
            x, y = left + cell * (j + 0.5), head - 7
            turned = f"rotate(-90,{x + 4:.1f},{y:.1f})" if upright else None
            parts.append(
                text(
                    x + (4 if upright else 0),
                    y,
                    shortened(name, head - 26 if upright else cell),
                    _size(cell),
                    None if upright else "middle",
                    transform=turned,
                )
            )
    return joined(parts)


def _size(cell: float) -> str:
    return "t" if cell >= 13 else "t small"


def _cell(block: Matrix, i: int, j: int, shade: float, left: float, head: float, cell: float) -> Html:
    value = block.values[i][j]
    x, y = left + cell * j, head + cell * i
    counted = cell >= ROOM
    if not shade and len(block.columns) > FEW:
        return Html("")
    said = figure(int(value) if isinstance(value, float) and value.is_integer() else value)
    whole = sum(finite(block.values[i]))
    share = f" ({value / whole:.0%} of the row)" if confusion(block) and value and whole else ""
    title = tag(
        "title",
        f"{block.row_title or 'row'} {block.rows[i]}, {block.column_title or 'column'} {block.columns[j]}:"
        f" {said}{share}",
    )
    kind = "heat wrong" if shade < 0 else "heat"
    drawn = tag(
        "rect",
        x=x + 0.5,
        y=y + 0.5,
        width=cell - 1,
        height=cell - 1,
        rx=2 if cell > 20 else 0,
        class_=kind,
        fill_opacity=f"{abs(shade):.2f}",
    )
    if not counted:
        return tag("g", title, drawn)
    inside = (
        ("n on" if abs(shade) > 0.55 else "n")
        + (" none" if not value else "")
        + (" small" if cell < 30 or len(said) * LETTER > cell - 6 else "")
    )
    return tag("g", title, drawn, text(x + cell / 2, y + cell / 2 + 4, said, inside, "middle"))


def _by_shade(shades: Sequence[Sequence[float]], left: float, head: float, cell: float, tall: float) -> Html:
    """All cells of one shade as one path."""
    paths: dict[int, list[str]] = {}
    side = f"h{cell - 0.4:.1f}v{tall - 0.4:.1f}h{0.4 - cell:.1f}z"
    for i, line in enumerate(shades):
        for j, shade in enumerate(line):
            if level := round(shade * SHADES):
                paths.setdefault(level, []).append(f"M{left + cell * j:.1f},{head + tall * i:.1f}{side}")
    return joined(
        tag(
            "path",
            d="".join(places),
            class_="heat wrong" if level < 0 else "heat",
            fill_opacity=f"{abs(level) / SHADES:.2f}",
        )
        for level, places in sorted(paths.items())
    )
