"""Tables of preferences: rows with a `chosen` and a `rejected` answer, and perhaps a `prompt`, as those who
collect them publish them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mapsto.data.source import Chunk, Source

PAIR, PROMPT, NAME = ("chosen", "rejected"), "prompt", "preference"


@dataclass
class WithPairs(Source):
    """A source with one column more, whose cells hold those of the others by name."""

    inner: Source | None = None

    def chunks(self, size: int = 4096) -> Iterator[Chunk]:
        assert self.inner is not None
        for chunk in self.inner.chunks(size):
            cells = {name: chunk.columns[name] for name in (PROMPT, *PAIR) if name in chunk.columns}
            joined = [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]
            yield Chunk({**chunk.columns, NAME: joined}, chunk.where, chunk.split, chunk.bad)

    def lines(self) -> Source:
        return self

    def tested_elsewhere(self) -> Source:
        return self


def with_pairs(source: Source) -> Source:
    """The source with a column of pairs, where it has two of answers; else as it came."""
    if not set(PAIR) <= set(source.columns) or NAME in source.columns:
        return source
    head = next(iter(source.chunks(64)), None)
    if head is None or not all(_may_be_answer(cell) for name in PAIR for cell in head.columns[name]):
        return source
    return WithPairs(
        name=source.name,
        columns=(*source.columns, NAME),
        fingerprint=source.fingerprint,
        locations=source.locations,
        guess=source.guess or f"-> {NAME}",
        said=[
            *source.said,
            (
                f"columns {', '.join(name for name in (PROMPT, *PAIR) if name in source.columns)} make pairs"
                f" of answers: '{NAME}'"
            ),
        ],
        divided=source.divided,
        made=(NAME,),
        inner=source,
    )


def _may_be_answer(cell: Any) -> bool:
    return cell is None or isinstance(cell, (str, list, tuple)) or type(cell).__name__ == "ndarray"
