"""Which cells of a row are unusual among the rows learned from: an outlying number, a rare name, a missing
cell where they are hardly ever missing. So a person sees at a glance what sets a row apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mapsto.batch import key
from mapsto.data.store import Store
from mapsto.measure.baseline import chosen
from mapsto.signature import Slot

ROWS = 1_000  # by which it is told what is usual
RARE = 0.05  # of the rows: fewer have such a cell, or lie beyond it
REPEATED = 0.1  # of the rows share the most frequent name; where fewer do, all are rare and none is set off


@dataclass(frozen=True)
class Usual:
    """What is usual of each input whose cell is one number or one name. between: {input: (low, high)}; known:
    {input: the names that are not rare, coded}; missing: inputs whose cells are missing often enough."""

    between: dict[str, tuple[float, float]]
    known: dict[str, frozenset[int]]
    missing: frozenset[str]

    @classmethod
    def of(cls, store: Store, inputs: Sequence[Slot], seed: int) -> Usual:
        """Told by rows learned from, or where there are none, by those that are asked about."""
        rows = store.rows("train")
        rows = rows if len(rows) else store.rows("test")
        between, known, missing = {}, {}, set()
        for name, values in _cells(store, inputs, rows[chosen(len(rows), ROWS, key(seed, "usual"))]).items():
            if values.dtype.kind != "f":
                codes, counts = np.unique(values, return_counts=True)
                if counts.max() >= REPEATED * len(values):
                    known[name] = frozenset(codes[counts >= RARE * len(values)].tolist())
                continue
            there = values[np.isfinite(values)]
            if len(there):
                low, high = np.quantile(there, (RARE / 2, 1 - RARE / 2)).tolist()
                between[name] = low, high
            if len(there) <= (1 - RARE) * len(values):
                missing.add(name)
        return cls(between, known, frozenset(missing))

    def unusual(self, store: Store, inputs: Sequence[Slot], row: int) -> frozenset[str]:
        """Names of the inputs whose cell in that row is none of the usual ones."""
        found = set()
        for name, values in _cells(store, inputs, np.array([row])).items():
            value = values[0].item()
            if name in self.known and value not in self.known[name]:
                found.add(name)
            if name in self.between and not self.between[name][0] <= value <= self.between[name][1]:
                found |= {name} if np.isfinite(value) or name not in self.missing else set()
        return frozenset(found)


def _cells(store: Store, inputs: Sequence[Slot], rows: np.ndarray) -> dict[str, np.ndarray]:
    """(n,) encoded cells of each input of which one is a single number."""
    plain = [("input", slot.name) for slot in inputs if store.types["input", slot.name].layout.shape == ()]
    if not plain or not len(rows):
        return {}
    return {spot[1]: values.cpu().numpy().reshape(-1) for spot, values in store.raw(rows, plain).items()}
