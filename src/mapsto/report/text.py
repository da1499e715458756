"""Sections as plain text: the headline, tables and figures as a terminal can show them. No private block
unless asked for."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mapsto.blocks import Bars, Code, Gallery, Line, Lines, Matrix, Paragraph, Section, Table
from mapsto.report.rows import as_table
from mapsto.report.scales import typeset
from mapsto.terminal.words import columns
from mapsto.types.number.numerals import brief

WIDTH, BAR, CELL = 100, 30, 44  # characters: of a line, of the longest bar, of a cell
ROWS = 60  # of a table


def lines_of(section: Section, private: bool = True) -> list[str]:
    """The section, line by line. private: show rows of the data."""
    found = [
        section.title,
        *_captioned(section.headline),
    ]
    for block in section.blocks:
        if private or not block.private:
            found += ["", *DRAWN[type(block)](block)]
    return found


def value(cell: Any, most: int = CELL) -> str:
    """A cell of a table: numbers with four digits, nothing as a dash, text cut to one line."""
    if cell is None:
        return "—"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, float):
        return brief(cell) if cell == cell else "—"
    text = " ".join(str(cell).split())
    return text if len(text) <= most else text[: most - 1] + "…"


def aligned(rows: Sequence[Sequence[Any]], marks: Sequence[str] = ()) -> list[str]:
    """Rows of cells under each other, text to the left and numbers to the right. marks: a letter before each
    row."""
    cells = [[*map(value, row[:-1]), *(value(cell, WIDTH) for cell in row[-1:])] for row in rows]
    number = (
        [any(isinstance(row[i], (int, float)) for row in rows) for i in range(len(rows[0]))] if rows else []
    )
    widths = [max(len(row[i]) for row in cells) for i in range(len(number))]
    lines = []
    for mark, row in zip(marks or [""] * len(cells), cells, strict=True):
        placed = zip(row, widths, number, strict=True)
        padded = [cell.rjust(width) if right else cell.ljust(width) for cell, width, right in placed]
        lines.append(f"  {mark or ' '} {'  '.join(padded).rstrip()}")
    return lines


def _captioned(caption: str) -> list[str]:
    said = typeset(caption)
    most = min(WIDTH, columns())
    return textwrap.wrap(said, most, initial_indent="  ", subsequent_indent="  ") if said else []


def _table(block: Table) -> list[str]:
    marks = ["", *("*" if i in block.marked else "" for i in range(len(block.rows)))][: ROWS + 1]
    more = [f"    … {len(block.rows) - ROWS:,} more rows"] if len(block.rows) > ROWS else []
    rows = [list(row) for row in block.rows[:ROWS]]
    for i, j in block.unusual:
        if i < len(rows):
            rows[i][j] = f"{value(rows[i][j])} *"
    return [*_captioned(block.caption), *aligned([block.columns, *rows], marks), *more]


def _lines(block: Lines) -> list[str]:
    """Each curve as a table of its places; long ones thinned to 12."""
    found = _captioned(block.caption)
    for line in block.lines:
        if not line.joined:
            found.append(f"    {line.name}: {len(line.x):,} dots, on the page only")
            continue
        found += [
            f"    {line.name}: {block.x} → {block.y}",
            *aligned([_point(line, i) for i in _thinned(len(line.x))]),
        ]
    return found


def _point(line: Line, i: int) -> tuple[Any, ...]:
    band = f"{value(line.low[i])} – {value(line.high[i])}" if line.low else ""
    return line.x[i], line.y[i], band


def _thinned(count: int, most: int = 12) -> list[int]:
    return (
        list(range(count))
        if count <= most
        else sorted({round(i * (count - 1) / (most - 1)) for i in range(most)})
    )


def _bars(block: Bars) -> list[str]:
    top = max((abs(number) for number in block.values if number is not None), default=0) or 1
    rows = []
    for i, (label, number) in enumerate(zip(block.labels, block.values, strict=True)):
        band = f"{value(block.low[i])} – {value(block.high[i])}" if block.low else ""
        rows.append((label, number, band, "█" * round(BAR * max(0.0, number or 0.0) / top)))
    return [*_captioned(block.caption), *aligned(rows)]


def _matrix(block: Matrix) -> list[str]:
    corner = f"{block.row_title} \\ {block.column_title}" if block.row_title else ""
    return [
        *_captioned(block.caption),
        *aligned(
            [
                (corner, *block.columns),
                *((name, *row) for name, row in zip(block.rows, block.values, strict=True)),
            ]
        ),
    ]


def _gallery(block: Gallery) -> list[str]:
    if (rows := as_table(block)) is not None:
        return _table(rows)
    found = _captioned(block.caption)
    for item in block.items:
        found.append(f"    {item.title}" + ("  [picture]" if item.picture else ""))
        if item.pieces:
            text = "".join(
                f"[{piece}{weight:+.2f}]" if abs(weight) >= 0.2 else piece for piece, weight in item.pieces
            )
            found += textwrap.wrap(
                " ".join(text.split()), WIDTH, initial_indent="      ", subsequent_indent="      "
            )[:6]
        for name, parts in item.texts:
            text = "".join(
                f"[{part} {'≠' * wrong}{label}]" if label else part for part, label, wrong in parts
            )
            found += textwrap.wrap(
                f"{name}: {' '.join(text.split())}",
                WIDTH,
                initial_indent="      ",
                subsequent_indent="        ",
            )[:6]
        found += [f"      {' '.join(line.split())}"[:WIDTH] for line in item.lines]
    return found


DRAWN: Mapping[type, Callable[[Any], list[str]]] = {
    Paragraph: lambda block: _captioned(block.text),
    Code: lambda block: [f"    {line}" for line in block.text.splitlines()],
    Table: _table,
    Lines: _lines,
    Bars: _bars,
    Matrix: _matrix,
    Gallery: _gallery,
}
