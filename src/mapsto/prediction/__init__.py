"""What is said of rows: what a person gets for one of them, and what is kept and known of a split's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mapsto.metrics import Arrays, Metric

if TYPE_CHECKING:
    from mapsto.batch import Batch, Batches

KEPT = 1 << 28  # bytes of a split's predictions that are held at once; 50,000 rows of 1,000 classes are fewer


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
    """What is known of one row. where: its place in the data; predictions: {output: Prediction}; problem: why
    the row could not be read, else ""; note: what else to know of it, as a value that the run has not
    learned; kept: {column: cell} of the data that were asked for; counted: is it a row at all, rather than a
    line that could not be divided into cells?"""

    where: str
    predictions: Mapping[str, Prediction]
    problem: str = ""
    note: str = ""
    kept: Mapping[str, Any] = field(default_factory=dict)
    counted: bool = True

    def to_json(self) -> dict[str, Any]:
        """Its place, an object of its fields for each output, whether it is far from the training rows, the
        note, and why it could not be read."""
        row: dict[str, Any] = {"row": self.where}
        row |= {name: found.to_json() | dict(found.detail) for name, found in self.predictions.items()}
        row["unsure"] = next((found.unsure for found in self.predictions.values()), None)
        return row | {"note": self.note, "problem": " ".join(self.problem.split())}


@dataclass(frozen=True)
class Wanted:
    """What is asked of answers. keep: columns of the data that go with them, or "all"; probabilities: of
    every class, not of the likeliest alone; missing_ok: may columns of inputs be absent, their cells then
    being missing?"""

    keep: Sequence[str] = ()
    probabilities: bool = False
    missing_ok: bool = False


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


def with_chances(
    found: list[Prediction], classes: Sequence[Any], probability: np.ndarray
) -> list[Prediction]:
    """Predictions whose detail holds the probability of every class. probability: (n, K)."""
    each = (dict(zip(classes, row, strict=True)) for row in probability.tolist())
    return [
        replace(one, detail={**one.detail, "probabilities": all_})
        for one, all_ in zip(found, each, strict=True)
    ]


@dataclass(frozen=True)
class Predictions:
    """What was predicted for rows, as numpy: predicted[slot][name], target[slot], present[slot], each
    (n, ...); rows (n,), ascending."""

    predicted: Mapping[str, Mapping[str, np.ndarray]]
    target: Mapping[str, np.ndarray]
    present: Mapping[str, np.ndarray]
    rows: np.ndarray

    def take(self, at: np.ndarray) -> Predictions:
        """Of some of the rows, (n,) bool."""
        predicted = {
            slot: {name: value[at] for name, value in arrays.items()}
            for slot, arrays in self.predicted.items()
        }
        target = {slot: value[at] for slot, value in self.target.items()}
        present = {slot: value[at] for slot, value in self.present.items()}
        return Predictions(predicted, target, present, self.rows[at])

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

    def take(self, at: np.ndarray) -> Measured:
        """Of some of the rows, (n,) bool."""
        statistics = {
            slot: {name: value[at] for name, value in found.items()}
            for slot, found in self.statistics.items()
        }
        known = {slot: value[at] for slot, value in self.known.items()}
        sample = self.sample.take(at) if self.whole else NOTHING
        return Measured(self.rows[at], sample, statistics, known)

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
