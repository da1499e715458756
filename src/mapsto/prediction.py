"""What a person gets for one row, and for one output of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np


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


@dataclass(frozen=True)
class Answer:
    """What is known of one row. predictions: {output: Prediction}; problem: why the row could not be read,
    else ""."""

    where: str
    predictions: Mapping[str, Prediction]
    problem: str = ""


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
