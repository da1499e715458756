"""The contract of a kind of answer: what stands right of the arrow, in one place.

A file in this folder is one kind of answer, and holds a class named after it: the head with its loss and its
decoding, the metrics, the calibration, what is trivial to answer, how an answer is wrong, how it is written
and shown. A type names the kinds that it can be (`DataType.outputs`); the pair of inputs and output decides
which (`mapsto.recipes`). An `Output` is a fitted type as one of these kinds.

`head` and `metrics` must be there. Everything else is what somebody may ask of answers: what is None or empty
does not apply, and is left out wherever it is asked for. `mapsto.testing.check_output` holds a kind to this
contract.

Letters: n rows, B rows of a batch, K classes, labels or numbers that an answer is, P parts of an input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import numpy as np

from mapsto.metrics import Arrays, Metric, mean_of, ratio_of
from mapsto.types.number.numerals import brief

if TYPE_CHECKING:
    from mapsto.batch import Batch, Ragged
    from mapsto.blocks import Block
    from mapsto.outputs._head import Head
    from mapsto.prediction import Prediction

TINY = 1e-12  # a probability of 0 costs its logarithm
COVERAGE = 0.9  # what sets and intervals promise
PAIRS = 10  # of classes that are most confused

Baseline = Callable[[Any], dict[str, dict[str, np.ndarray]]]  # of a batch {baseline: {name: (B, ...)}}


def __getattr__(name: str) -> Any:
    """`Head` and `mean_of_views` come when they are used: they need PyTorch, telling answers does not."""
    if name in ("Head", "mean_of_views"):
        from mapsto.outputs import _head

        return getattr(_head, name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


class SectionPart(NamedTuple):
    """What a question says of one output. Captions do not name the output: the question does where there are
    several."""

    headline: str
    blocks: tuple[Block, ...]
    figures: dict[str, Any]


@dataclass(frozen=True)
class Usage:
    """How a run that is given nothing is used, where that is not by `mapsto predict`: the command and its
    usual arguments, the call in Python (of `run`), what these do in a few words, and in a sentence."""

    command: str
    arguments: tuple[str, ...]
    python: str
    invitation: str
    headline: str


@dataclass(frozen=True)
class Groups:
    """Rows in parts that may be covered differently: (name, how much of each row's truth is held). ordered:
    do they have an order of their own?"""

    caption: str
    what: str
    parts: Sequence[tuple[str, np.ndarray]]
    ordered: bool = False


@dataclass(frozen=True)
class Coverage:
    """What sets or intervals hold of the truth. inside (n,): how much of each row's truth, 0 to 1, nan where
    it has none; sentence: may name {coverage}, {low}, {high}, {n} and {told}, which says all of these."""

    inside: np.ndarray
    sentence: str
    figures: Mapping[str, Any] = field(default_factory=dict)
    blocks: tuple[Block, ...] = ()
    groups: Groups | None = None


class Decoder(Protocol):
    """A head, or a kind of answer that decodes by itself."""

    def decode(self, predicted: Mapping[str, np.ndarray]) -> list[Prediction]: ...


@dataclass(frozen=True)
class Output:
    """A kind of answer, of a fitted type. predicted: the arrays (n, ...) that its head predicts; target: what
    the type collates, (n, ...)."""

    type: Any

    # ---- how it is called ----

    task: ClassVar[str] = ""  # what a model card calls it, as in "tabular-classification"
    unit: ClassVar[str] = "rows"  # what metrics count
    noun: ClassVar[str] = "class"  # what one of `type.classes` is
    # columns of a table of answers: what a Prediction holds, and what its detail holds
    fields: ClassVar[tuple[str, ...]] = ("value", "probability", "set")
    usage: ClassVar[Usage | None] = None  # None: it is asked by `mapsto predict`
    exclusive: ClassVar[bool] = False  # is the truth one of `type.classes`, and no other?
    graded: ClassVar[bool] = False  # is an answer more or less wrong, rather than right or wrong?

    # ---- what is learned ----

    def head(self, width: int) -> Head:
        """What a net of hidden `width` ends in."""
        raise TypeError(f"{type(self).__name__} has no head")

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What is said of predictions; the first decides what "best" means unless --metric does."""
        return ()

    @property
    def loss_metric(self) -> str:
        """The metric that `as_loss` tells the loss from that is learned by; "": none does."""
        return ""

    def as_loss(self, value: float) -> float:
        """A value of `loss_metric` as the loss that training logs."""
        return value

    @property
    def row_metric(self) -> Metric | None:
        """The first metric that is a mean over rows or labels: it can be compared between any two sets of
        rows, however few or alike their targets are."""
        return next((metric for metric in self.metrics if metric.reduce in (mean_of, ratio_of)), None)

    def min_input_steps(self, arrays: Ragged) -> np.ndarray | None:
        """(n,) how many steps of the input each encoded answer takes at least; None where any number will
        do."""
        return None

    # ---- row by row: all three or none ----

    row_loss: ClassVar[Callable[..., np.ndarray] | None] = None
    # predicted, target -> (n,) how wrong, nan where nothing is known
    wrong: ClassVar[Callable[..., np.ndarray] | None] = None  # predicted, target -> (n,) bool
    truth: ClassVar[Callable[..., dict[str, np.ndarray]] | None] = None
    # target, a prediction of the same width -> arrays as if predicted

    @property
    def rowwise(self) -> bool:
        """Is it known of each row how wrong its answer is?"""
        return self.row_loss is not None

    # ---- calibration ----

    def calibrate(self, predicted: Arrays, target: np.ndarray) -> dict[str, Any]:
        """What makes predictions honest, as JSON, learned on validation rows whose answer is known; {} where
        there is nothing to calibrate."""
        return {}

    def calibrated(self, predicted: Arrays, fitted: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Predicted arrays with what `calibrate` found applied, the likeliest answer left as it is. Not to be
        applied twice."""
        return dict(predicted)

    searched: ClassVar[bool] = False
    # are answers searched for token by token, so that of two as likely either may be found?

    has_intervals: ClassVar[bool] = False  # does it answer a number, around which an interval can be told?

    def interval(self, predicted: Arrays, fitted: Mapping[str, Any]) -> np.ndarray | None:
        """(n,) half of the width of the 90% interval around each value; None where there is none."""
        return None

    def from_graph(self, predicted: Arrays) -> dict[str, np.ndarray]:
        """What a head predicts, of what its graph does (`Head.predict_graph`)."""
        return dict(predicted)

    def decode(self, predicted: Arrays) -> list[Prediction]:
        """What a head's `decode` says, where that needs no head: so an exported net tells its answers."""
        raise TypeError(f"{type(self).__name__} does not decode")

    def predictions(self, head: Decoder, predicted: Arrays, fitted: Mapping[str, Any]) -> list[Prediction]:
        """Calibrated arrays for people: one Prediction a row, with the ends of its interval where it has
        one."""
        return list(head.decode(predicted))

    def web_options(self) -> dict[str, Any]:
        """What the script beside this kind (NAME.js) tells an answer by in a browser, beside the type's
        fields."""
        return {"answers": list(self.type.answers)}

    def truths(self, head: Decoder, target: np.ndarray, predicted: Arrays) -> list[str]:
        """The true answers in the data's own words."""
        assert self.truth is not None
        return [in_words(found.value) for found in head.decode(self.truth(target, predicted))]

    def describe(self, head: Decoder, predicted: Arrays, fitted: Mapping[str, Any]) -> list[str]:
        """Calibrated answers in words, with their probability or the ends of their interval."""
        words = []
        for found in self.predictions(head, predicted, fitted):
            more = f" ({found.probability:.2f})" if found.probability is not None else ""
            more = f" ({in_words(found.low)} to {in_words(found.high)})" if found.low is not None else more
            words.append(in_words(found.value) + more)
        return words

    # ---- what is trivial to answer ----

    link: ClassVar[str] = (
        ""  # of a linear model of it: "softmax", "identity" or "logistic"; "": there is none
    )
    trivial: ClassVar[str] = ""  # the name of the answer that knows nothing: the mean of `as_numbers`
    prior: ClassVar[float] = 1.0  # how many neighbours the trivial answer counts for

    @property
    def width(self) -> int:
        """Numbers K that an answer is to a plain model."""
        return max(1, len(self.type.classes))

    def as_numbers(self, target: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What a plain model should say: (n, K), and a mask of what is known, (n, K) or (n, 1)."""
        raise TypeError(f"{type(self).__name__} is learned by no plain model")

    def from_numbers(self, means: np.ndarray) -> dict[str, np.ndarray]:
        """What a plain model says, (n, K), as a head predicts it."""
        raise TypeError(f"{type(self).__name__} is learned by no plain model")

    def baseline(self, name: str, batches: Iterator[Batch]) -> Baseline | None:
        """Where plain features tell no trivial answer: what a simple rule learns of the output `name` from
        batches of training rows, as a function from a batch to {baseline: what the head would predict}."""
        return None

    # ---- what questions ask; None: does not apply ----

    confusion: ClassVar[Callable[..., SectionPart] | None] = None
    # predicted, target -> what is taken for what
    coverage: ClassVar[Callable[..., Coverage] | None] = None
    # calibrated, target, fitted -> what sets or intervals hold; asked where `fitted` has any
    confidence: ClassVar[Callable[..., tuple[np.ndarray, np.ndarray]] | None] = None
    # predicted, target -> probabilities and what they are of, as `measure.ece` takes them
    events: ClassVar[Callable[..., np.ndarray] | None] = None
    # predicted, target, units (n,) -> (3, U, K): of each class in each unit rows, rows said to be of it, and
    # both
    chances: ClassVar[Callable[[Arrays], np.ndarray] | None] = None
    # calibrated -> (n, K): how likely each of `type.classes` is
    effect: ClassVar[Callable[..., np.ndarray] | None] = None
    # one row predicted, P rows predicted with a part hidden each -> (P,) what the answer loses

    def spread(self, predicted: Arrays) -> float:
        """The unit of `effect`: what is much."""
        return 1.0

    marked: ClassVar[Callable[..., Marked] | None] = None  # predicted, target -> what answers mark in a text
    written: ClassVar[Callable[..., Written] | None] = (
        None  # predicted, target -> texts that answer something
    )
    heard: ClassVar[Callable[..., tuple[list[str], list[str]]] | None] = None
    # predicted, target -> (true texts, those heard)

    # ---- two runs side by side ----

    def merged_with(self, other: Output) -> Output:
        """In whose terms the answers of two runs can be told, `other` being the other's. ConfigError where
        their answers are of different kinds."""
        return type(self)(self.type.merged_with(other.type))

    def translate_to(
        self, other: Output, predicted: Arrays, target: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Predictions and targets of this type in the terms of another that came from `merged_with`."""
        return dict(predicted), target


@dataclass(frozen=True)
class Marked:
    """What answers mark in the texts they speak of. what: a kind of mark, for people; within: the input;
    rows: a line of a table for each kind, (name, F1, precision, recall, right, answered, there); figures: the
    same by kind; mistakes (n,): marks missed or wrongly there; there (n,) bool: is anything to be marked?
    sentence: of the mistakes; shown: (row, the text) -> the text in parts as it is, and as it was
    answered."""

    what: str
    within: str
    rows: tuple[tuple[Any, ...], ...]
    figures: Mapping[str, Any]
    mistakes: np.ndarray
    there: np.ndarray
    headline: str
    shown: Callable[[int, Any], tuple[tuple[str, tuple[tuple[str, str, bool], ...]], ...]]


@dataclass(frozen=True)
class Written:
    """Texts that answer something, beside what they are measured by. said (n,); references: of each row;
    similarity (n,): how near the nearest is, 0 to 1; nats (n,): of a token of the first reference; lengths
    (n,): its tokens; relative (n,): tokens said for each of these."""

    said: list[str]
    references: list[list[str]]
    similarity: np.ndarray
    nats: np.ndarray
    lengths: np.ndarray
    relative: np.ndarray


def in_words(value: Any) -> str:
    """A decoded value: several labels with commas, numbers with four digits."""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return brief(value) if isinstance(value, float) else str(value)


def largest(counts: np.ndarray) -> list[tuple[int, int]]:
    """Places of the largest counts above 0, largest first, in reading order where equal."""
    order = np.argsort(-counts, axis=None, kind="stable")[:PAIRS]
    return [(int(at) // counts.shape[1], int(at) % counts.shape[1]) for at in order if counts.flat[at] > 0]
