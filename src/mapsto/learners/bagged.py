"""Bagging over folds: nets side by side, each learning without one part of the rows, which then tells how
well it does. So every row is learned from and every row held out, by different nets; what is chosen by
validation rows (the step whose weights are kept, one for all nets) and what they promise (temperatures, sets,
intervals) rests on all rows rather than on a seventh of them. The answer is the nets' mean.

Breiman 1996 (bagging); Barber et al. 2021 (arXiv:1905.02928), conformal sets from out-of-fold rows.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mapsto.batch import Batch, Batches, Ragged, key
from mapsto.errors import ConfigError
from mapsto.learners._lines import settled
from mapsto.learners.base import Logs, Scores, gather
from mapsto.learners.supervised import Supervised
from mapsto.models._bag import Bag
from mapsto.prediction import USUAL, Keep, Measured

BOTH = ("train", "validation")
LISTENED = 5_000  # rows, by which it is told whether new ones are like them


class Bagged(Supervised):
    """Learn outputs from inputs by nets of a bag, each without one fold of the training and validation
    rows."""

    learns_from = BOTH
    incremental = False  # each net is known by the rows that it did not learn
    _fold_of: Tensor | None = (
        None  # `folds` where batches' row numbers lie, so that no step waits for a device
    )
    out_of_fold = False  # is each row answered by the net that did not learn it?

    @cached_property
    def folds(self) -> np.ndarray:
        """(n,) of every row of the store: the net that learns without it. Rows of one group, or with the same
        inputs, are of one fold, also after rows were added."""
        assert self.store is not None
        rows = np.sort(np.concatenate([self.store.rows(split) for split in BOTH]))
        found = np.full(rows.max(initial=0) + 1, -1, np.int64)
        of = (fold_keys(self.store, rows) % np.uint64(self.nets)).astype(np.int64)
        found[rows] = of if len(np.unique(of)) > 1 else rows % self.nets  # all inputs are alike: row by row
        return found

    @property
    def rows(self) -> np.ndarray:
        return np.flatnonzero(self.folds >= 0)

    @property
    def nets(self) -> int:
        """How many there are. ConfigError: a single one, which would learn without rows that nobody else
        learns."""
        if isinstance(self.model, Bag) and len(self.model.trunks) > 1:
            return len(self.model.trunks)
        raise ConfigError("learner 'bagged' needs several nets.\nGive them: --model 'NAME(nets=5)'.")

    def size(self, split: str, store: Batches | None = None) -> int | None:
        """Rows of both splits are learned from, and both are measured."""
        if store is None and self.store is not None and split in BOTH:
            return sum(self.store.size(one) or 0 for one in BOTH)
        return super().size(split, store)

    def rows_of_net(self, number: int) -> np.ndarray:
        return np.flatnonzero((self.folds >= 0) & (self.folds != number))

    def batches(self, split: str, step: int) -> Iterator[Batch]:
        assert self.store is not None and self.training.batch is not None
        if self.config.mixup or self.config.cutmix:
            raise ConfigError(
                "learner 'bagged' mixes no rows: they may be of different folds.\nLeave mixup and cutmix out."
            )
        together = self.store.joined(BOTH) if split == "train" else self.store
        return together.stream(split, step, self.training.batch, self.training.seed)

    def loss(self, batch: Batch) -> tuple[tuple[Tensor, Tensor], Logs]:
        """Each net's loss on the rows that are not its fold's; a row counts once."""
        if self._fold_of is None or self._fold_of.device != batch.rows.device:  # type: ignore[union-attr]
            self._fold_of = torch.from_numpy(self.folds).to(batch.rows.device)  # type: ignore[union-attr]
        fold = self._fold_of[batch.rows].to(self.device)
        per_row, count = torch.zeros(batch.size, device=self.device), torch.zeros(())
        for number in range(self.nets):
            losses, count = self._losses(self.model.net(number, batch.inputs), batch)  # type: ignore[operator]
            per_row = per_row + torch.where(fold != number, losses, 0.0)
        return (per_row / (self.nets - 1), count), {}

    def outputs(self, batch: Batch) -> dict[str, Any]:
        if not self.out_of_fold:
            return super().outputs(batch)
        assert isinstance(self.model, Bag)
        nets, lines = self.held_out(batch)
        return self.model.mixed(nets, lines) if lines else nets

    def held_out(self, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Of rows of one fold: what the net that learned without them says, and its line."""
        assert isinstance(self.model, Bag) and batch.rows is not None
        fold = int(self.folds[int(batch.rows[0])])
        nets = self.model.net(fold, batch.inputs)
        if self.model.lines is None:
            return nets, {}
        lines = self.model.line(fold, batch.inputs)
        return nets, {name: lines[name][:, None].expand_as(own) for name, own in nets.items()}

    def measure(self, split: str, keep: Keep = USUAL) -> Measured:
        """Of validation rows: all that are learned from, each answered by the net that did not learn it."""
        if split not in BOTH or keep.store is not None or self.store is None or not self.size(split):
            return super().measure(split, keep)
        if split == "train":
            if keep.listen is not None:
                self._listened(self.folds > 0, keep.listen)
            return super().measure(split, replace(keep, listen=None))
        if keep.listen is not None:
            self._listened(self.folds == 0, keep.listen)
        apart = copy.copy(self)
        apart.out_of_fold = True
        return gather(apart, self._by_fold(keep.most), replace(keep, listen=None))

    def _listened(self, at: np.ndarray, listen: Callable[[Batch], None]) -> None:
        """What the first net makes of rows it learned, or of its fold's (`Bag.looked_at`)."""
        assert self.store is not None
        rows = np.flatnonzero(at)[:LISTENED]
        for low in range(0, len(rows), self.evaluation_batch):
            batch = self.store.batch(rows[low : low + self.evaluation_batch])
            self.arrays(batch)
            listen(batch)

    def _by_fold(self, most: int | None) -> Iterator[Batch]:
        """Rows fold by fold; of more than `most` a keyed sample."""
        assert self.store is not None
        rows = np.flatnonzero(self.folds >= 0)
        if most is not None and len(rows) > most:
            rows = rows[np.random.default_rng(key("folds", most)).permutation(len(rows))[:most]]
        for fold in range(self.nets):
            of = np.sort(rows[self.folds[rows] == fold])
            for low in range(0, len(of), self.evaluation_batch):
                yield self.store.batch(of[low : low + self.evaluation_batch])

    def evaluate(self, split: str, most: int | None = None) -> Scores:
        if split != "validation" or not isinstance(self.model, Bag):
            return super().evaluate(split, most)
        return settled(self, self.model, self._by_fold(most))


def fold_keys(store: Any, rows: np.ndarray) -> np.ndarray:
    """(m,) uint64 of rows: equal where their groups, or all their inputs, are."""
    if store.groups is not None:
        told = [str(group).encode() for group in store.groups[rows]]
    else:
        raw = store.raw(rows, [("input", slot.name) for slot in store.signature.inputs])
        told = [b"\0".join(cells) for cells in zip(*map(_bytes, raw.values()), strict=True)]
    hashed = [hashlib.blake2b(one, digest_size=8).digest() for one in told]
    return np.frombuffer(b"".join(hashed), np.uint64)


def _bytes(cells: Tensor | Ragged) -> list[bytes]:
    if isinstance(cells, Ragged):
        ends = np.r_[0, cells.lengths.numpy().cumsum()]
        flat = cells.flat.numpy()
        return [flat[low:high].tobytes() for low, high in pairwise(ends)]
    return [cell.tobytes() for cell in cells.cpu().numpy()]
