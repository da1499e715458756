"""Questions asked of a finished run. One file in this folder is one question.

A file holds
    TITLE                               the question in words, as the report's heading
    asks(view) -> bool                  does it make sense for this run?
    assess(view, seconds) -> Section    the answer; `seconds` is a hint of how long it may take, from sizes, never from the clock
The same file serves the report at the end of a training and `mapsto assess RUN QUESTION --data NEW`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mapsto.data.source import Source
from mapsto.data.store import Store
from mapsto.errors import DataError
from mapsto.learners.base import Collected, Learner
from mapsto.measure import calibration
from mapsto.run import Run

MOST_ROWS = 20_000  # rows whose raw cells are held at once
MOST_HEAVY = 2_000  # and of those whose cells are pictures


@dataclass(frozen=True)
class View:
    """What a question may look at.

    store: encoded rows; `store.batch(rows)` gives any of them as the net takes them. split: which of its splits is asked about
    ("test", or "validation" where nothing was held back; new data is all "test"). found: predictions by split as the heads gave
    them, not yet calibrated (`raw`), and with the run's calibration (`held`). source: the data itself, None when it has moved."""

    run: Run
    learner: Learner
    store: Store
    found: Mapping[str, Collected]
    split: str
    source: Source | None
    seed: int = 0

    @property
    def raw(self) -> Collected:
        """Predictions on the rows asked about, before calibration."""
        return self.found[self.split]

    @cached_property
    def held(self) -> Collected:
        """Predictions on the rows asked about, calibrated as `predict` gives them."""
        raw = self.raw
        arrays = {slot: calibration.calibrated(values, self.run.calibration.get(slot, {})) for slot, values in raw.predicted.items()}
        return Collected(arrays, raw.target, raw.present, raw.rows)

    @cached_property
    def cells(self) -> Mapping[str, Sequence[Any]]:
        """Raw cells of `held.rows`, by column of the source: one pass over it, and only of the first MOST_ROWS held rows. Columns
        not used by the net are there too: they can be slices. {} when the data has moved."""
        if self.source is None:
            return {}
        wanted = self.held.rows[:MOST_ROWS]
        place = {int(row): i for i, row in enumerate(wanted)}
        found: dict[str, list[Any]] = {name: [None] * len(wanted) for name in self.source.columns}
        first = 0
        for chunk in self.source.chunks():
            for i in range(len(chunk)):
                at = place.get(first + i)
                if at is not None:
                    for name in found:
                        found[name][at] = chunk.columns[name][i]
            first += len(chunk)
        return found

    @cached_property
    def where(self) -> Sequence[str]:
        """What a person would call each of the held rows; row numbers when the data has moved."""
        wanted = self.held.rows[:MOST_ROWS]
        if self.source is None:
            return [f"row {int(row) + 1}" for row in wanted]
        place = {int(row): i for i, row in enumerate(wanted)}
        found, first = [""] * len(wanted), 0
        for chunk in self.source.chunks():
            for i in range(len(chunk)):
                if (at := place.get(first + i)) is not None:
                    found[at] = chunk.where[i]
            first += len(chunk)
        return found

    def of(self, slot: str) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """(predicted arrays, target, row numbers) of the held rows whose label of `slot` is known wholly or in part; calibrated."""
        known = self.held.present[slot].reshape(len(self.held.rows), -1).any(1)
        if not known.any():
            raise DataError(f"'{slot}': no row with a known answer to look at.\nGive rows with answers: --data")
        return {name: values[known] for name, values in self.held.predicted[slot].items()}, self.held.target[slot][known], self.held.rows[known]
