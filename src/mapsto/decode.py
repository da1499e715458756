"""What a person gets for one row and one output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Prediction:
    """value: in the data's own terms. probability: of that value, None where there is none. low, high: an interval that
    holds the true number 9 times in 10 (None where there is none). detail: what else is known, e.g. each class's probability."""

    value: Any
    probability: float | None = None
    low: Any = None
    high: Any = None
    detail: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        known = {"value": self.value, "probability": self.probability, "low": self.low, "high": self.high}
        return {name: value for name, value in known.items() if value is not None or name == "value"}
