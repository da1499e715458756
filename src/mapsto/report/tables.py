"""Tables as html: numbers at the right, long ones folded, single cells set off."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from mapsto.blocks import Table
from mapsto.report.frame import Limits, captioned, figured, left_out
from mapsto.report.markup import Html, data_text, joined, safe, tag
from mapsto.report.rows import in_lines
from mapsto.report.scales import column, typeset

_NUMERAL = re.compile(r"[-–—]?|(?=.*\d)(?:[\d\s.,:%×()±+/<>–−-]|\bto\b){1,40}")
FOLDED, SHOWN = 10, 8  # a table of more rows shows so many, and the others on demand


def table(block: Table, limits: Limits) -> Html:
    """Wide tables scroll inside themselves; rows of the data stand in one line each."""
    width = min(len(block.columns), limits.columns)
    rows = [row[:width] for row in block.rows[: limits.rows]]
    columns = [[row[i] if i < len(row) else None for row in rows] for i in range(width)]
    numeric = [_numeric(cells, first=not i) for i, cells in enumerate(columns)]
    kinds = [
        "num" if is_number else _breadth(cells) for cells, is_number in zip(columns, numeric, strict=True)
    ]
    written = [
        _written(cells) if is_number else cells for cells, is_number in zip(columns, numeric, strict=True)
    ]
    head = _head(block.columns, kinds) if any(block.columns) else Html("")  # a table of pairs needs none
    body = _body(block, written, kinds, limits)
    shown = body if len(body) <= FOLDED else body[:SHOWN]
    one_line = in_lines(block)
    whole = _framed(head, shown, block.caption, one_line)
    if len(body) > len(shown):
        more = tag("summary", f"{len(body) - SHOWN:,} more rows")
        rest = _framed(head, body[SHOWN:], f"{block.caption} (more rows)", one_line)
        whole = joined([whole, tag("details", more, rest)])
    missing = left_out((len(block.rows), len(rows), "row"), (len(block.columns), width, "column"))
    return figured(whole, joined([captioned(block.caption), missing]))


def _head(names: Sequence[str], kinds: Sequence[str | None]) -> Html:
    cells = (
        tag("th", tag("bdi", name), scope="col", class_=kind)
        for name, kind in zip(names, kinds, strict=False)
    )
    return tag("thead", tag("tr", *cells))


def _body(
    block: Table, columns: Sequence[Sequence[Any]], kinds: Sequence[str | None], limits: Limits
) -> list[Html]:
    """A row an element. columns: cells as they are written."""
    unusual, found = set(block.unusual), []
    for i in range(len(columns[0]) if columns else 0):
        cells = []
        for j, (values, kind) in enumerate(zip(columns, kinds, strict=True)):
            names = [name for name in (kind, "unusual" if (i, j) in unusual else None) if name]
            cells.append(tag("td", _cell(values[i], limits), class_=" ".join(names) or None))
        found.append(tag("tr", *cells, class_="marked" if i in block.marked else None))
    return found


def _written(cells: Sequence[Any]) -> Sequence[Any]:
    """A column of figures, alike in their decimals unless somebody wrote them already."""
    if any(isinstance(cell, str) for cell in cells):
        return [typeset(cell) if isinstance(cell, str) else cell for cell in cells]
    return column(cells)


def _framed(head: Html, body: Sequence[Html], caption: str, one_line: bool) -> Html:
    """A table in a frame that scrolls, so that the page does not."""
    inside = tag("table", head, tag("tbody", *body))
    return tag(
        "div",
        inside,
        class_="scroll pairs" if not head else "scroll lines" if one_line else "scroll",
        tabindex=0,
        role="group",
        aria_label=caption or "table",
    )


def _breadth(cells: Sequence[Any]) -> str | None:
    """A class for columns of text, so that a phone does not set one word a line."""
    longest = max((len(str(cell)) for cell in cells if cell is not None), default=0)
    return "longest" if longest > 48 else "long" if longest > 14 else None


def _cell(value: Any, limits: Limits) -> Html:
    if value is None:
        return tag("span", "–", class_="none", title="missing")
    if isinstance(value, bool):
        return safe("yes" if value else "no")
    return data_text(value, limits.letters)


def _numeric(cells: Sequence[Any], first: bool) -> bool:
    """Is it a column of figures? Names in the first column may be numerals."""
    if first and any(isinstance(cell, str) for cell in cells):
        return False
    known = [cell for cell in cells if cell is not None and cell != ""]
    return bool(known) and all(map(_is_figure, known))


def _is_figure(cell: Any) -> bool:
    if isinstance(cell, str):
        return _NUMERAL.fullmatch(typeset(cell).strip()) is not None
    return isinstance(cell, (int, float)) and not isinstance(cell, bool)
