"""Texts of a source as wholes: a long file comes in pieces, which belong together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, groupby
from typing import Any

from mapsto.cells import Continued
from mapsto.errors import CellError
from mapsto.source import Source


def documents(
    source: Source, column: str, read: Callable[[Any], str | None]
) -> Iterator[tuple[str, Iterator[str] | CellError]]:
    """(where it stands, its pieces as they are read, or why it cannot be) of every text of a column, one
    after the other: the pieces of one are gone once the next is asked for. Rows without a text are passed
    over."""
    number = 0

    def of(row: tuple[str, str | CellError | None]) -> int:
        nonlocal number
        number += not isinstance(row[1], Continued)
        return number

    for _, rows in groupby(_rows(source, column, read), of):
        where, first = next(rows)
        if isinstance(first, CellError):
            yield where, first
        elif first is not None:
            yield where, chain([first], (text for _, text in rows if isinstance(text, str)))


def _rows(
    source: Source, column: str, read: Callable[[Any], str | None]
) -> Iterator[tuple[str, str | CellError | None]]:
    for chunk in source.chunks(256):
        for where, cell in zip(chunk.where, chunk.columns[column], strict=True):
            try:
                yield where, read(cell)
            except CellError as problem:
                yield where, problem
        for bad in chunk.bad:
            yield bad.where, CellError(bad.why)
