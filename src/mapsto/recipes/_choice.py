"""What a recipe may look at, and what is decided when it has been chosen (`mapsto.recipes`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from mapsto.config import Budget, Training
from mapsto.signature import Signature, format_call
from mapsto.types.base import DataType


@dataclass(frozen=True)
class Facts:
    """What a recipe may look at. rooms: the fitted rooms by (side, slot); rows: training rows; minutes: of
    the budget, None when steps or epochs decide; speed: measures this machine's convolutions, FLOP/s, when a
    recipe wants to know, and reaches what nets of texts make of it; tokens: in the training rows' cells of
    unequal length; said: of each training row how many steps its input has, and its answer takes at least,
    where these are counted; started: from another run's weights."""

    signature: Signature
    column_types: Mapping[tuple[str, str], DataType]
    rows: int
    minutes: float | None = None
    speed: Callable[[], float] = lambda: 0.0
    tokens: int = 0
    alignment_lengths: Callable[[], tuple[np.ndarray, np.ndarray] | None] = lambda: None
    started: bool = False
    found: Mapping[str, Any] = field(default_factory=dict)  # by the earlier run's model, where there is one
    text_flops: Callable[[], float] = lambda: 0.0

    @property
    def mixable(self) -> bool:
        """Do all answers hold for a whole row, so that rows and their losses may be mixed?"""
        outputs = [self.column_types["output", slot.name] for slot in self.signature.outputs]
        return not any(one.layout.ragged or one.annotates(self.signature) is not None for one in outputs)

    def passes(self, multiplications: float) -> float | None:
        """Passes over the training rows that the minutes allow a net of so many multiply-adds a row; None
        where minutes do not decide."""
        return (
            None
            if self.minutes is None
            else self.minutes * 60 * self.speed() / (6 * multiplications * self.rows)
        )


@dataclass(frozen=True)
class Choice:
    """Everything decided before the first step, complete: no None is left where a number is needed."""

    model: str
    model_options: Mapping[str, Any]
    learner: str
    learner_options: Mapping[str, Any]
    training: Training
    budget: Budget
    kinds: Mapping[str, str]
    type_options: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(
        default_factory=dict
    )  # side -> type -> options nobody asked otherwise
    best: tuple[str, str] | None = None
    reasons: tuple[str, ...] = ()
    found: Mapping[str, Any] = field(
        default_factory=dict
    )  # what the model's file found outside the data (`models.find`)

    def to_json(self) -> dict[str, Any]:
        """As a run's record holds it: there `type_options` is called "rooms", its first name."""
        found = {
            f.name: vars(getattr(self, f.name)) if f.name in ("training", "budget") else getattr(self, f.name)
            for f in fields(self)
        }
        return {"rooms" if name == "type_options" else name: value for name, value in found.items()}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Choice:
        best = tuple(record["best"]) if record["best"] else None
        known = {"type_options" if name == "rooms" else name: value for name, value in record.items()}
        return cls(
            **{
                **known,
                "training": Training(**record["training"]),
                "budget": Budget(**record["budget"]),
                "best": best,
                "reasons": tuple(record["reasons"]),
            }
        )

    def __str__(self) -> str:
        return (
            f"{format_call(self.model, self.model_options)},"
            f" {format_call(self.learner, self.learner_options)}"
        )
