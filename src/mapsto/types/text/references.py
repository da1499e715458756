"""Several right answers to one input, as translations and summaries have them: the references of a row.

They are stored behind each other, with a mark between each two. In training one of them is drawn, else the
first is learned from; what is written is measured by all of them (`mapsto.types.text.similarity`). Letters: B
batch, T tokens, N tokens of all references, P references of all rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mapsto.batch import Draw, Padded, Ragged, moved
from mapsto.types.text.several import BETWEEN
from mapsto.types.text.stems import padded


@dataclass(frozen=True)
class References(Padded):
    """Of each row the first reference; and all of them, `BETWEEN` each two, where they are measured by."""

    every: Ragged | None = None

    def __getitem__(self, rows: slice | Tensor) -> References:
        return References(*self._cut(rows), None if self.every is None else self.every[rows])

    def to(self, device: torch.device | str) -> References:
        """On the device what a net is given; the others stay where metrics read them."""
        return References(moved(self.values, device), moved(self.lengths, device), self.counts, self.every)

    def cells(self) -> list[Tensor]:
        return super().cells() if self.every is None else list(self.every)


def longest(arrays: Ragged) -> np.ndarray:
    """(B,) int64: tokens of each row's longest reference."""
    row, _, length = _places(arrays)
    found = np.zeros(len(arrays), np.int64)
    np.maximum.at(found, row, length)
    return found


def collated(arrays: Ragged, draw: Draw | None) -> Padded:
    """(B, T) int64: of each row one reference by `draw`; without it the first, with all beside it where any
    row has several."""
    row, begin, length = _places(arrays)
    if len(row) == len(arrays):
        return padded(arrays.flat.long(), arrays.lengths)
    counts = np.bincount(row, minlength=len(arrays))
    chosen = counts.cumsum() - counts  # (B,): the first of each
    if draw is not None:
        chance = draw.uniform("reference", 1)[:, 0].cpu().numpy().astype(np.float64)
        chosen = chosen + np.minimum(chance * counts, counts - 1).astype(np.int64)
    sizes = length[chosen]
    place = np.arange(sizes.sum()) + np.repeat(begin[chosen] - (sizes.cumsum() - sizes), sizes)
    found = padded(arrays.flat.long()[torch.from_numpy(place)], torch.from_numpy(sizes))
    return (
        found
        if draw is not None
        else References(found.values, found.lengths, found.counts, Ragged(arrays.flat.long(), arrays.lengths))
    )


def _places(arrays: Ragged) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(P,) each: whose each reference is, where it begins, and its tokens; an empty cell has one of none."""
    lengths = arrays.lengths.numpy()
    between, ends = np.flatnonzero(arrays.flat.numpy() == BETWEEN), lengths.cumsum()
    row = np.concatenate([np.arange(len(arrays)), np.searchsorted(ends, between, "right")])
    begin, end = np.concatenate([ends - lengths, between + 1]), np.concatenate([ends, between])
    first, last = np.lexsort((begin, row)), np.lexsort((end, row))
    return row[first], begin[first], end[last] - begin[first]
