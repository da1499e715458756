"""Rows that are nothing but cells, as a table: one line a row in place of a card of a dozen lines."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mapsto.blocks import Gallery, Item, Table

_CELL = re.compile(r"(?P<name>.+?): (?P<value>.*)", re.DOTALL)
LONGEST = 60  # letters of a cell that may stand in one line


def as_table(block: Gallery) -> Table | None:
    """None where a row holds more than cells: a picture, a sound, a text of which parts are set off. Names of
    columns are those of the row that has the most. A long text has no name of its own: it belongs to a column
    that its row lacks."""
    if not block.items or any(_more_than_cells(item) for item in block.items):
        return None
    if 2 * sum(bool(item.pieces) for item in block.items) > len(block.items):
        return None  # texts, which are read as texts
    cells = [[_CELL.fullmatch(line) for line in item.lines] for item in block.items]
    known = [{one["name"]: one["value"] for one in row if one} for row in cells]
    columns = tuple(max(known, key=len))
    if len(columns) < 3 or any(not set(row) <= set(columns) for row in known):
        return None
    rows, unusual = [], []
    for i, item in enumerate(block.items):
        lacking = [name for name in columns if name not in known[i]]
        known[i] |= dict(zip(lacking, (text for text, _ in item.pieces), strict=False))
        rows.append((item.title, *(known[i].get(name) for name in columns)))
        named = [one["name"] for n, one in enumerate(cells[i]) if one and n in item.marked]
        unusual += [(i, 1 + columns.index(name)) for name in named]
    caption = " ".join(filter(None, [block.caption, _left_out(block.items)]))
    caption += " Set off: cells that are unusual among the rows learned from." if unusual else ""
    return Table(("row", *columns), tuple(rows), caption, private=block.private, unusual=tuple(unusual))


def _more_than_cells(item: Item) -> bool:
    return bool(
        item.picture is not None
        or item.sound is not None
        or item.texts
        or any(weight for _, weight in item.pieces)
    )


def _left_out(items: Sequence[Item]) -> str:
    """What rows say of themselves beside their cells, such as how many columns are not shown."""
    said = dict.fromkeys(line for item in items for line in item.lines if not _CELL.fullmatch(line))
    return " ".join(f"{line[:1].upper()}{line[1:]}." for line in said)


def in_lines(block: Table) -> bool:
    """Are these rows of the data, each short enough for one line?"""
    return block.private and all(len(str(cell)) <= LONGEST for row in block.rows for cell in row)
