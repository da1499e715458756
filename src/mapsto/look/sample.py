"""Some rows of a source, spread over all of it, in memory: what a look needs of a set of any size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mapsto.cells import Blob
from mapsto.source import BadRow, Chunk, Source

ROWS, HEAVY_ROWS = 2_000, 300  # kept at most; of rows that hold pictures
BYTES = 64 << 20  # of their cells
MOST_ROWS = 200_000  # rows read at most: those behind them are not looked at


@dataclass
class Sample(Source):
    """Every so-many-th row of another source. total: rows read of it; more: there are others behind them;
    bad: rows that no cells could be made of, a few of them; unread: how many there are."""

    rows: Sequence[tuple[dict[str, Any], str, str | None]] = ()
    total: int = 0
    more: bool = False
    bad: tuple[BadRow, ...] = ()
    unread: int = 0

    def chunks(self, size: int = 4096) -> Iterator[Chunk]:
        for low in range(0, len(self.rows), size):
            part = self.rows[low : low + size]
            columns = {name: [cells[name] for cells, _, _ in part] for name in self.columns}
            yield Chunk(columns, [where for _, where, _ in part], [split for _, _, split in part])


def sample(source: Source) -> Sample:
    """One pass over at most MOST_ROWS rows: row 0, s, 2s, …, where s doubles whenever more are held than
    may be. No draw, so the same every time."""
    held: list[tuple[int, tuple[dict[str, Any], str, str | None]]] = []
    bad: list[BadRow] = []
    total, unread, stride, most, more = 0, 0, 1, ROWS, False
    for chunk in source.chunks(1024):
        bad += chunk.bad[: 5 - len(bad)]
        unread += len(chunk.bad)
        for i in range(-total % stride, len(chunk), stride):
            held.append(
                (
                    total + i,
                    (
                        {name: cells[i] for name, cells in chunk.columns.items()},
                        chunk.where[i],
                        chunk.split[i],
                    ),
                )
            )
        if total == 0 and held and any(map(_heavy, held[0][1][0].values())):
            most = HEAVY_ROWS
        while len(held) > most or (
            len(held) > 1 and sum(_size(cell) for _, row in held for cell in row[0].values()) > BYTES
        ):
            stride *= 2
            held = [(number, row) for number, row in held if number % stride == 0]
        total += len(chunk)
        if total >= MOST_ROWS:
            more = True
            break
    known = {
        name: getattr(source, name)
        for name in ("name", "columns", "fingerprint", "locations", "guess", "said", "divided", "untyped")
    }
    return Sample(
        **known, rows=[row for _, row in held], total=total, more=more, bad=tuple(bad), unread=unread
    )


def _heavy(cell: Any) -> bool:
    return isinstance(cell, (Blob, bytes, dict)) or (isinstance(cell, np.ndarray) and cell.ndim > 1)


def _size(cell: Any) -> int:
    return len(cell) if isinstance(cell, (bytes, str)) else getattr(cell, "nbytes", 64)
