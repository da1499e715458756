"""What is said of rows: what a person gets for one of them, and what is kept and known of a split's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mapsto.batch import Batch, Batches
from mapsto.metrics import Arrays, Metric

KEPT = 1 << 28  # bytes of a split's predictions that are held at once; 50,000 rows of 1,000 classes are fewer
MIX = np.uint64(0x9E3779B97F4A7C15)


FIELDS = frozenset(("value", "probability", "low", "high", "set", "unsure"))


@dataclass(frozen=True)
class Prediction:
    """value: in the data's own terms. probability: of that value, None where there is none. low, high: an
    interval that holds the true number 9 times in 10 (None where there is none). set: classes that hold the
    true one 9 times in 10, likeliest first; empty where none is likely enough; of several labels those among
    which 9 in 10 of the true ones are found (None where not known). unsure: is the row so far from the
    training rows that nothing here can be relied on? None where that is not known. detail: what else is
    known, e.g. each class's probability."""

    value: Any
    probability: float | None = None
    low: Any = None
    high: Any = None
    set: tuple[Any, ...] | None = None
    unsure: bool | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        known = {name: getattr(self, name) for name in ("value", "probability", "low", "high", "unsure")}
        known["set"] = None if self.set is None else list(self.set)
        return {name: value for name, value in known.items() if value is not None or name == "value"}

    def field(self, name: str) -> Any:
        """One of these, or of `detail`."""
        return self.to_json().get(name) if name in FIELDS else self.detail.get(name)


@dataclass(frozen=True)
class Answer:
    """What is known of one row. predictions: {output: Prediction}; problem: why the row could not be read,
    else ""."""

    where: str
    predictions: Mapping[str, Prediction]
    problem: str = ""

    def to_json(self, named: Mapping[tuple[str, str], str] | None = None) -> dict[str, Any]:
        """The row as it is written, anywhere: its place; every output's fields; whether the row is far from
        the training rows; why it could not be read. named: {(output, field): column}, as `columns` says;
        without, each output is an object of its fields."""
        row: dict[str, Any] = {"row": self.where}
        if named is None:
            row |= {name: found.to_json() | dict(found.detail) for name, found in self.predictions.items()}
        for (name, field_), column in (named or {}).items():
            found = self.predictions.get(name)
            row[column] = found.field(field_) if found else None
        row["unsure"] = next((found.unsure for found in self.predictions.values()), None)
        row["problem"] = " ".join(self.problem.split())
        return row


def with_sets(
    found: list[Prediction], names: Sequence[str], predicted: Mapping[str, np.ndarray]
) -> list[Prediction]:
    """Predictions of classes or labels with their sets, where `predicted` holds them: set (n, K) bool beside
    probability (n, K)."""
    if "set" not in predicted:
        return found
    order = np.argsort(-predicted["probability"], axis=1, kind="stable")
    sets = (
        tuple(names[k] for k in row[inside[row]].tolist())
        for row, inside in zip(order, predicted["set"], strict=True)
    )
    return [replace(one, set=held) for one, held in zip(found, sets, strict=True)]


@dataclass(frozen=True)
class Predictions:
    """What was predicted for rows, as numpy: predicted[slot][name], target[slot], present[slot], each
    (n, ...); rows (n,), ascending."""

    predicted: Mapping[str, Mapping[str, np.ndarray]]
    target: Mapping[str, np.ndarray]
    present: Mapping[str, np.ndarray]
    rows: np.ndarray

    def values(self, slot: str, metrics: Sequence[Metric]) -> dict[str, float]:
        """{metric: value} over the rows whose label is known; {} when none is."""
        known = any_known(self.present[slot])
        if not known.any():
            return {}
        predicted = {name: value[known] for name, value in self.predicted[slot].items()}
        target = self.target[slot][known]
        return {metric.name: metric.reduce(metric.rows(predicted, target)) for metric in metrics}


NOTHING = Predictions({}, {}, {}, np.empty(0, np.int64))


@dataclass(frozen=True)
class Keep:
    """What is wanted of a split that is measured. bytes: of predictions held at most; most: rows read at
    most, a keyed sample; store: other rows than the learner's own; listen: called with each batch once it was
    predicted; calibrated: (slot, arrays) -> arrays, before metrics look at them."""

    bytes: int = KEPT
    most: int | None = None
    store: Batches | None = None
    listen: Callable[[Batch], None] | None = None
    calibrated: Callable[[str, Arrays], Arrays] | None = None


USUAL = Keep()


@dataclass(frozen=True)
class Measured:
    """What a learner says over a split. rows (n,): their numbers, ascending. sample: predictions of all rows,
    or of as many as may be held. Where these are not all: statistics[slot][metric] (n, k), as `Metric.rows`
    gives them, nan where the label is not known; known[slot] (n,) bool. A learner that is measured otherwise
    than row by row (by walks through a world, say) gives its statistics alone."""

    rows: np.ndarray
    sample: Predictions = NOTHING
    statistics: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)
    known: Mapping[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of_statistics(cls, statistics: Mapping[str, Mapping[str, np.ndarray]]) -> Measured:
        """Of {slot: {metric: (n, k)}}, all of the same n units, each known."""
        n = next((len(one) for by_name in statistics.values() for one in by_name.values()), 0)
        return cls(np.arange(n), NOTHING, statistics, {slot: np.ones(n, bool) for slot in statistics})

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def whole(self) -> bool:
        """Does the sample hold every row?"""
        return not self.statistics

    def values(self, slot: str, metrics: Sequence[Metric]) -> dict[str, float]:
        """{metric: value} over the rows whose label is known; {} when none is."""
        if self.whole:
            return self.sample.values(slot, metrics)
        known, found = self.known.get(slot, np.zeros(0, bool)), self.statistics.get(slot, {})
        if not known.any():
            return {}
        return {one.name: one.reduce(found[one.name][known]) for one in metrics if one.name in found}


def any_known(present: np.ndarray) -> np.ndarray:
    """(n,) or (n, ...) bool -> (n,): rows with at least one known label."""
    return np.asarray(present.any(axis=tuple(range(1, present.ndim))) if present.ndim > 1 else present, bool)


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
        joined = {spot: placed(by_spot.pop(spot), place) for spot in list(by_spot)}
        predicted: dict[str, dict[str, np.ndarray]] = {}
        for spot, values in joined.items():
            if spot[0] == "predicted":
                predicted.setdefault(spot[1], {})[spot[2]] = values
        target = {spot[1]: values for spot, values in joined.items() if spot[0] == "target"}
        present = {spot[1]: values for spot, values in joined.items() if spot[0] == "present"}
        return Predictions(predicted, target, present, np.sort(rows))


def placed(parts: list[np.ndarray], place: np.ndarray) -> np.ndarray:
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
