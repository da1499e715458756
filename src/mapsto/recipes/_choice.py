"""What a recipe is, what it may look at, and what is decided when it has been chosen (`mapsto.recipes`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from mapsto.config import Budget, Training, from_record
from mapsto.errors import ConfigError
from mapsto.signature import Signature, format_call

if TYPE_CHECKING:
    import numpy as np

    from mapsto.types.base import DataType

# Of the recipes that fit a signature, the one of the highest rank is taken, that is the most specific.
PAIR = 4  # inputs and outputs are named: `image -> boxes`
OUTPUTS = 3  # the outputs alone: `any -> text`
INPUTS = 2  # the inputs alone: `image -> any`
MIXED = 1  # some of the inputs
ANYTHING = 0
LEARNING = 0.75  # of the minutes; the rest is read, planned and evaluated in


@dataclass(frozen=True)
class Facts:
    """What a recipe may look at.

    column_types: the fitted types by (side, slot); rows: training rows; minutes: of the budget, None when
    steps or epochs decide; speed: measures what this machine's convolutions reach, FLOP/s, when a recipe
    wants to know, and text_flops what nets of texts do; tokens: in the training rows' cells of unequal
    length; alignment_lengths: of each training row how many steps its input has, and how many its answer
    takes at least, where these are counted; started: from another run's weights; step_seconds: what a step
    of the recipe's model with such options takes here, measured; None where that cannot be; exchangeable:
    was it chance which rows are validation rather than training? learner, options: what was asked for, the
    options being of the recipe's model.
    """

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
    step_seconds: Callable[[Mapping[str, Any], Training], float] | None = None
    exchangeable: bool = False
    learner: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def measured_passes(self, options: Mapping[str, Any], training: Training) -> float | None:
        """As `passes`, of the recipe's model with such options, by its real step; None where there is none to
        measure."""
        if self.minutes is None or self.step_seconds is None:
            return None
        steps = LEARNING * 60 * self.minutes / self.step_seconds(options, training)
        return steps * (training.batch or 1) / self.rows

    @property
    def mixable(self) -> bool:
        """Do all answers hold for a whole row, so that rows and their losses may be mixed?"""
        outputs = [self.column_types["output", slot.name] for slot in self.signature.outputs]
        return not any(one.layout.ragged or one.annotates(self.signature) is not None for one in outputs)

    @property
    def linear(self) -> bool:
        """Has a linear model an answer to all that is asked?"""
        outputs = [self.column_types["output", slot.name] for slot in self.signature.outputs]
        return all(one.outputs and one.output().link for one in outputs)

    def input_type(self, name: str) -> Any:
        """The fitted type of the first input of this name of type."""
        return next(self.column_types["input", s.name] for s in self.signature.inputs if s.type == name)

    def output_type(self) -> Any:
        """The fitted type of the first output."""
        return self.column_types["output", self.signature.outputs[0].name]

    def passes(self, multiplications: float) -> float | None:
        """Passes over the training rows that the minutes allow a net of so many multiply-adds a row; None
        where minutes do not decide."""
        return (
            None
            if self.minutes is None
            else self.minutes * 60 * self.speed() / (6 * multiplications * self.rows)
        )


@dataclass(frozen=True)
class Recipe:
    """A family of signatures, and how it is learned.

    rank: which of the recipes that fit is taken, see above; decide: the settings, complete: {"options",
    "training", "budget", and where they are not empty "learner" (in place of the recipe's),
    "learner_options", "type_options", "metric", "why"};
    why: for the first line printed; units: what a step's rows are taken from; kinds: {type of an output: kind
    of head}, where it is not the type's first.
    """

    pattern: str
    rank: int
    fits: Callable[[Signature], bool]
    model: str
    decide: Callable[[Facts], dict[str, Any]]
    why: str
    learner: str = "supervised"
    units: Callable[[Facts], int] = lambda facts: facts.rows
    kinds: Mapping[str, str] = field(default_factory=dict)


def input_types(signature: Signature) -> list[str]:
    """Names of the types left of the arrow."""
    return [slot.type for slot in signature.inputs]


def output_types(signature: Signature) -> list[str]:
    """Names of the types right of it."""
    return [slot.type for slot in signature.outputs]


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
        """The inverse of `to_json`. ConfigError: a value is of another kind than its field, or is missing."""
        plain = {"type_options" if name == "rooms" else name: value for name, value in record.items()}
        training = from_record(Training, plain.pop("training"))
        lacking = [name for name in ("optimizer", "lr", "batch") if getattr(training, name) is None]
        if lacking:
            raise ConfigError(f"training: {lacking[0]} is missing.\nCopy the record again.")
        budget = from_record(Budget, plain.pop("budget"))
        plain |= {"training": training, "budget": budget, "best": plain["best"] or None}
        return from_record(cls, plain)

    def __str__(self) -> str:
        return (
            f"{format_call(self.model, self.model_options)},"
            f" {format_call(self.learner, self.learner_options)}"
        )
