"""Predictions of a split, gathered batch by batch while what is held of them stays small."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mapsto.metrics import Arrays, Metric
from mapsto.prediction import Keep, Measured, Predictions, any_known

MIX = np.uint64(0x9E3779B97F4A7C15)


Part = dict[
    tuple[str, ...], np.ndarray
]  # ("predicted", slot, name) | ("target" | "present", slot) -> (b, ...)


class Gathering:
    """Predictions as they come, batch by batch. All are held while they are few; of more, the rows with the
    smallest mixed numbers are, whatever the order in which they come, and of the others what metrics know of
    them."""

    def __init__(self, metrics: Mapping[str, Sequence[Metric]], keep: Keep):
        self.metrics, self.keep = metrics, keep
        self._rows: list[np.ndarray] = []  # of every batch
        self._held: list[tuple[np.ndarray, Part]] = []  # (row numbers, what is kept of them)
        self._statistics: list[dict[tuple[str, str], np.ndarray]] | None = None  # of every batch, once needed
        self._known: list[dict[str, np.ndarray]] = []
        self._bytes, self._limit = 0, np.uint64(2**64 - 1)
        self._finite = dict.fromkeys(metrics, True)

    def add(self, rows: np.ndarray | None, size: int, part: Part) -> None:
        """One batch. rows (b,): its row numbers, None where rows have none: then they are counted."""
        numbered = sum(map(len, self._rows)) + np.arange(size) if rows is None else rows
        self._rows.append(numbered)
        self._held.append((numbered, part))
        self._bytes += _bytes_of(part)
        if self._statistics is not None:
            self._know(part)
            self._thin(slice(-1, None))
        if self._bytes > self.keep.bytes:
            if self._statistics is None:
                self._statistics = []
                for _, held in self._held:
                    self._know(held)
            while self._bytes > self.keep.bytes:
                self._limit //= np.uint64(2)
                self._thin(slice(None))

    def measured(self) -> Measured:
        rows = np.concatenate(self._rows) if self._rows else np.empty(0, np.int64)
        sample = self._sample()
        if self._statistics is None:
            return Measured(rows[np.argsort(rows, kind="stable")], sample)
        order = np.argsort(rows, kind="stable")
        statistics: dict[str, dict[str, np.ndarray]] = {slot: {} for slot in self.metrics}
        for slot, name in self._statistics[0]:
            found = np.concatenate([one[slot, name] for one in self._statistics])[order]
            statistics[slot][name] = found if self._finite[slot] else np.full_like(found, np.nan)
        slots = self._known[0] if self._known else ()
        known = {slot: np.concatenate([one[slot] for one in self._known])[order] for slot in slots}
        return Measured(rows[order], sample, statistics, known)

    def _know(self, part: Part) -> None:
        """What the metrics know of a batch's rows; nan where the label is not known."""
        assert self._statistics is not None
        found: dict[tuple[str, str], np.ndarray] = {}
        knowns: dict[str, np.ndarray] = {}
        for slot, metrics in self.metrics.items():
            if ("target", slot) not in part:
                continue
            known = knowns[slot] = any_known(part["present", slot])
            shown: Arrays = {
                spot[2]: values[known] for spot, values in part.items() if spot[:2] == ("predicted", slot)
            }
            if self.keep.calibrated is not None:
                shown = self.keep.calibrated(slot, shown)
            self._finite[slot] &= all(
                v.dtype.kind != "f" or bool(np.isfinite(v).all()) for v in shown.values()
            )
            target = part["target", slot][known]
            for metric in metrics:
                rows = np.asarray(metric.rows(shown, target), np.float64)
                found[slot, metric.name] = np.full((len(known), *rows.shape[1:]), np.nan)
                found[slot, metric.name][known] = rows
        self._statistics.append(found)
        self._known.append(knowns)

    def _thin(self, which: slice) -> None:
        """Hold no row whose mixed number is above the limit."""
        for place in range(len(self._held))[which]:
            rows, part = self._held[place]
            taken = rows.astype(np.uint64) * MIX <= self._limit
            if not taken.all():
                left = {spot: values[taken] for spot, values in part.items()}
                self._bytes -= _bytes_of(part) - _bytes_of(left)
                self._held[place] = (rows[taken], left)

    def _sample(self) -> Predictions:
        """The rows held, in the order of their numbers. Parts are dropped on the way, so that there is one
        copy and no second."""
        rows = np.concatenate([one for one, _ in self._held]) if self._held else np.empty(0, np.int64)
        place = np.empty(len(rows), np.int64)
        place[np.argsort(rows, kind="stable")] = np.arange(len(rows))
        by_spot: dict[tuple[str, ...], list[np.ndarray]] = {}
        for _, part in self._held:
            for spot in list(part):
                by_spot.setdefault(spot, []).append(part.pop(spot))
        self._held = []
        joined = {spot: in_row_order(by_spot.pop(spot), place) for spot in list(by_spot)}
        predicted: dict[str, dict[str, np.ndarray]] = {}
        for spot, values in joined.items():
            if spot[0] == "predicted":
                predicted.setdefault(spot[1], {})[spot[2]] = values
        target = {spot[1]: values for spot, values in joined.items() if spot[0] == "target"}
        present = {spot[1]: values for spot, values in joined.items() if spot[0] == "present"}
        return Predictions(predicted, target, present, np.sort(rows))


def in_row_order(parts: list[np.ndarray], place: np.ndarray) -> np.ndarray:
    """Parts behind each other, (n, ...), row i at place[i] (n,). The parts are dropped on the way."""
    if not parts:
        return np.empty(0)
    found, low = np.empty((len(place), *parts[0].shape[1:]), parts[0].dtype), 0
    parts.reverse()
    while parts:
        part = parts.pop()
        found[place[low : low + len(part)]] = part
        low += len(part)
    return found


def _bytes_of(part: Part) -> int:
    """Of rows of unequal length: of what is in them."""
    found = 0
    for values in part.values():
        found += sum(np.asarray(row).nbytes for row in values) if values.dtype == object else values.nbytes
    return found
