"""The settings of a training. Each field carries its sentence and unit; flags, help and checks derive from
here.

Nothing here knows torch. Options of types, models and learners live with them, in frozen dataclasses read by
`options_of`.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mapsto.cells import shorten
from mapsto.errors import ConfigError, did_you_mean

VERSION = "0.1.0"  # of mapsto, as pyproject.toml has it

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
NAMES = {int: "a whole number", float: "a finite number", bool: "true or false", str: "a text"}


def setting(default: Any, says: str, **more: Any) -> Any:
    """A dataclass field with its sentence; `choices=(…)` restricts it, `above=0`, `below=1` and `most=1`
    bound it; `several=True`: texts separated by commas, also given as a list; `metavar`: what the flag
    takes; `narrows=8`: a width, of which a smaller net has less, in multiples of this."""
    return field(default=default, metadata={"help": says, **more})


@dataclass(frozen=True)
class Reading:
    """How the data is opened, which columns count, and how rows are divided."""

    target: str | None = setting(
        None, "column to learn, when no signature is given (several: separate with commas)", several=True
    )
    drop: str | None = setting(
        None,
        "columns to leave out, separated by commas; without its split column the data is divided anew",
        several=True,
    )
    keep: str | None = setting(
        None,
        "columns to learn from though they only number or name the rows, separated by commas",
        several=True,
    )
    test: str | None = setting(None, "a separate file or folder of test rows", metavar="PATH")
    follow_links: bool = setting(
        False, "read what links in a folder, and names in a table's cells, lead to outside that folder, too"
    )
    root: str | None = setting(
        None,
        "the folder of the files that a table's cells name; default: the table's own, or one in it",
        metavar="FOLDER",
    )
    split_seed: int = setting(0, "seed of the hash that divides the rows", above=-1)
    group: str | None = setting(None, "column whose equal values never straddle the splits", metavar="COLUMN")
    time: str | None = setting(
        None,
        "column by which the last rows become validation and test; with --group, the last of each group",
        metavar="COLUMN",
    )
    weight: str | None = setting(None, "column of row weights (≥ 0)", metavar="COLUMN")
    folds: int = setting(0, "cross-validation: train this many times, every row tested once", above=-1)
    max_bad: float = setting(0.05, "share of unreadable rows above which training stops", above=-1e-9)
    store: str | None = setting(
        None,
        "how encoded pictures are kept; compressed loses nothing. Default: compressed where raw ones would"
        " fill half of the free memory or disk",
        choices=("raw", "compressed"),
    )
    allow: str | None = setting(
        None, "findings of the data gate to train in spite of", choices=("leakage", "one-answer")
    )


@dataclass(frozen=True)
class Budget:
    """How long to learn. The rate is laid out over the budget, so it ends annealed. Default: the recipe's
    minutes."""

    minutes: float | None = setting(None, "minutes from the command's start to the best weights", above=0)
    steps: int | None = setting(None, "optimizer steps", above=0)
    epochs: float | None = setting(None, "passes over the training rows", above=0)
    until: str | None = setting(
        None, "stop once the validation metric reaches this: accuracy=0.94", metavar="METRIC=N"
    )
    patience: float | None = setting(
        None,
        "early stopping: end after this share of the budget without a better metric (0: never)",
        above=-1e-9,
    )


@dataclass(frozen=True)
class Training:
    """The optimizer and what surrounds it. None: the recipe decides, and says so."""

    optimizer: str | None = setting(None, "optimizer", choices=("adamw", "sgd", "muon"))
    lr: float | None = setting(None, "peak learning rate", above=0)
    batch: int | None = setting(None, "rows per step (the global batch size)", above=0)
    micro_batch: int | None = setting(
        None, "rows per forward pass (gradient accumulation): the step's gradient stays the same", above=0
    )
    weight_decay: float | None = setting(
        None, "decoupled weight decay; never on norms and biases", above=-1e-9
    )
    momentum: float | None = setting(
        None, "momentum of sgd and muon, first beta of adamw", above=-1e-9, below=1
    )
    warmup: float | None = setting(
        None, "warm-up: share of the budget in which the learning rate rises", above=-1e-9, most=1
    )
    schedule: str | None = setting(
        None, "how the learning rate falls after warm-up", choices=("linear", "cosine", "constant", "flat")
    )
    clip: float | None = setting(
        None, "gradient clipping: largest gradient norm (0: never clip)", above=-1e-9
    )
    ema: float | None = setting(
        None, "decay of the moving average (EMA) of weights per step (0: none)", above=-1e-9, below=1
    )
    precision: str | None = setting(None, "arithmetic", choices=("float32", "tf32", "bfloat16", "float16"))
    seed: int = setting(0, "seed of everything random in training", above=-1)
    device: str | None = setting(None, "where to compute: cpu, cuda, cuda:1, mps", metavar="DEVICE")
    threads: int | None = setting(None, "processor threads", above=0)
    devices: int | None = setting(
        None,
        "processes that learn together, each a part of every batch: one a GPU, or sharing the processor",
        above=0,
    )
    plan: str = setting(
        "measured",
        "how arithmetic, memory format and compiling are chosen",
        choices=("measured", "default", "thorough"),
    )


@dataclass(frozen=True)
class Report:
    """What the pages written after a training may show."""

    no_samples: bool = setting(False, "show no row of the data in report.html and README.md")
    positive: str | None = setting(
        None, "of two classes the one that is looked for; default: the rarer", metavar="CLASS"
    )


GROUPS: tuple[type, ...] = (Reading, Budget, Training, Report)
PLAIN = ("model", "learner", "metric", "start", "lora", "fit_into")  # settings beside those of the groups


@dataclass(frozen=True)
class Settings:
    """Everything a person asked for, validated; what was not asked for is None and the recipe's to fill."""

    reading: Reading = Reading()
    budget: Budget = Budget()
    training: Training = Training()
    report: Report = Report()
    model: str | None = None
    learner: str | None = None
    metric: str | None = None
    start: str | None = (
        None  # a run whose model, rooms and weights it starts from, or hub:… for a public model
    )
    lora: str | None = None  # rank of the adapters that alone are trained of a public model
    fit_into: str | None = None  # what an export of it may take: "2 MB, 5 ms"

    @property
    def public(self) -> dict[str, Any]:
        """Options of the model `hub` where it starts from a public model; {} elsewhere."""
        if not (self.start or "").startswith("hub:"):
            return {}
        lora = self.lora
        return {
            "source": (self.start or "")[4:],
            **({} if lora is None else {"lora": int(lora) if str(lora).isdigit() else lora}),
        }

    def to_json(self) -> dict:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, record: Mapping) -> Settings:
        """The inverse of `to_json`. ConfigError: not what a record of settings holds."""
        rest = {key: record[key] for key in ("model", "learner", "metric")}
        more = {key: record.get(key) for key in ("lora", "fit_into")}
        groups = (
            from_record(Reading, record["reading"]),
            from_record(Budget, record["budget"]),
            from_record(Training, record["training"]),
            from_record(Report, record.get("report", {})),
        )
        return cls(*groups, **rest, start=record.get("start"), **more)


def settings_of(options: Mapping[str, Any]) -> Settings:
    """Flat options (`minutes=5, model="resnet"`) -> Settings. ConfigError names the option and the nearest
    match."""
    known = {f.name: group for group in GROUPS for f in dataclasses.fields(group)}
    plain = PLAIN
    for name in options:
        if name not in known and name not in plain:
            raise ConfigError(f"unknown option '{name}'.\n{did_you_mean(name, [*known, *plain], most=40)}")
    groups = [
        options_of(group, {k: v for k, v in options.items() if known.get(k) is group}, group.__name__.lower())
        for group in GROUPS
    ]
    settings = Settings(*groups, **{k: options[k] for k in plain if options.get(k) is not None})
    given = [k for k in ("minutes", "steps", "epochs") if getattr(settings.budget, k) is not None]
    if settings.reading.folds == 1:
        raise ConfigError("folds: expected 2 or more, got 1.\nLeave it out for one split.")
    training = settings.training
    if training.batch and training.micro_batch and training.micro_batch > training.batch:
        raise ConfigError(
            f"--micro-batch: expected at most the {training.batch} rows of --batch, got"
            f" {training.micro_batch}.\nLower it."
        )
    if settings.reading.folds and settings.reading.time:
        raise ConfigError("--time divides rows by time alone, --folds otherwise.\nKeep one of them.")
    if len(given) > 1:
        raise ConfigError(
            f"expected one budget, got {' and '.join('--' + k for k in given)}.\nKeep one of them."
        )
    return settings


def showing_settings(function: F) -> F:
    """A function of `**options` whose signature names every setting with its default, for `help` and
    editors."""
    asked, one = inspect.signature(function), inspect.Parameter
    spots = [spot for group in (*GROUPS, Settings) for spot in dataclasses.fields(group)]
    shown = [
        one(spot.name, one.KEYWORD_ONLY, default=spot.default, annotation=spot.type)
        for spot in spots
        if not dataclasses.is_dataclass(spot.default)
    ]
    kept = [given for given in asked.parameters.values() if given.kind is not one.VAR_KEYWORD]
    function.__signature__ = asked.replace(parameters=[*kept, *shown])  # type: ignore[attr-defined]
    return function


def options_of(kind: type[T], options: Mapping[str, Any], what: str) -> T:
    """Build the frozen dataclass `kind` from user options, checked against its fields. `what` names it in
    errors."""
    fields = {f.name: f for f in dataclasses.fields(kind) if f.init and not f.metadata.get("learned")}  # type: ignore[arg-type]
    hints = typing.get_type_hints(kind)
    checked = {}
    for name, value in options.items():
        if name not in fields:
            raise ConfigError(f"{what} has no option '{name}'.\n{did_you_mean(name, fields)}")
        checked[name] = _checked(value, hints[name], fields[name].metadata, f"{what}: {name}")
    return kind(**checked)


def from_record(kind: type[T], record: Mapping[str, Any], what: str = "") -> T:
    """A dataclass from the JSON of its fields, lists as tuples again; a name that it does not know is passed
    over. ConfigError: a value is of another kind than its field."""
    hints = typing.get_type_hints(kind)
    known = {f.name: record[f.name] for f in dataclasses.fields(kind) if f.name in record}  # type: ignore[arg-type]
    for name, value in known.items():
        if wrong := misfit(value, hints[name], f"{what or kind.__name__.lower()}.{name}"):
            raise ConfigError(wrong)
    return kind(**{name: tuples(value) for name, value in known.items()})


def tuples(value: Any) -> Any:
    """JSON's lists as tuples."""
    return tuple(tuples(item) for item in value) if isinstance(value, list) else value


@dataclass(frozen=True)
class Each:
    """The shape of a record whose every value has this one."""

    shape: Any


def misfit(value: Any, shape: Any, where: str = "") -> str:
    """What of a JSON value does not have a shape, in words; "" where all of it has. shape: a type as
    annotations write it (`dict[str, float]`, `list[str] | None`), `Each`, [shape] of a list, or {name: shape}
    of a record, where a name with ? at its end may be left out, or be null; a record may hold more than is
    named."""
    if isinstance(shape, Each):
        if not isinstance(value, dict):
            return f"{where or 'it'} is no record"
        found = (misfit(one, shape.shape, f"{where}.{name}"[:80]) for name, one in value.items())
        return next(filter(None, found), "")
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{where or 'it'} is no list"
        found = (misfit(one, shape[0], f"{where}[{k}]") for k, one in enumerate(value))
        return next(filter(None, found), "")
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return f"{where or 'it'} is no record"
        for name, inner in shape.items():
            bare = name.removesuffix("?")
            spot = f"{where}.{bare}" if where else bare
            if value.get(bare) is None and name.endswith("?"):
                continue
            if bare not in value:
                return f"{spot} is missing"
            if wrong := misfit(value[bare], inner, spot):
                return wrong
        return ""
    if fits(value, shape):
        return ""
    shown = repr(value)
    wanted = shape.__name__ if isinstance(shape, type) and not typing.get_args(shape) else shape
    return f"{where or 'it'} should be {wanted}, is {shown[:40]}{'…' * (len(shown) > 40)}"


def fits(value: Any, hint: Any) -> bool:
    """Is a JSON value one of this annotation? A list is a tuple, too; whole numbers have at most 64 bits."""
    kind, inner = typing.get_origin(hint) or hint, typing.get_args(hint)
    if kind is types.UnionType or kind is typing.Union:
        return any(fits(value, one) for one in inner)
    if kind is types.NoneType or hint is None:
        return value is None
    if kind in (int, float):
        whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63
        return whole or (kind is float and isinstance(value, float))
    if kind in (bool, str):
        return isinstance(value, kind)
    if kind is tuple and inner and inner[-1] is not ...:
        return isinstance(value, (list, tuple)) and len(value) == len(inner) and all(map(fits, value, inner))
    if kind in (tuple, list, Sequence):
        return isinstance(value, (list, tuple)) and (not inner or all(fits(one, inner[0]) for one in value))
    if kind in (dict, Mapping):
        named = isinstance(value, dict) and all(isinstance(name, str) for name in value)
        return named and (not inner or all(fits(one, inner[1]) for one in value.values()))
    return True


def _checked(value: Any, hint: Any, rules: Mapping[str, Any], what: str) -> Any:
    allowed = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    unset = value is None or (isinstance(value, str) and value.lower() == "none" and str not in allowed)
    if unset and type(None) in allowed:
        return None
    kinds = [kind for kind in allowed if kind is not type(None)]
    if rules.get("several") and isinstance(value, (list, tuple)):
        value = ",".join(map(str, value))
    for kind in kinds:
        try:
            value = _converted(value, kind)
            break
        except (ValueError, TypeError, OverflowError):
            continue
    else:
        names = " or ".join(NAMES.get(kind, getattr(kind, "__name__", str(kind))) for kind in kinds)
        raise ConfigError(f"{what}: expected {names}, got {shorten(value)}.")
    if "choices" in rules and value not in rules["choices"]:
        raise ConfigError(f"{what}: unknown value {value!r}.\n{did_you_mean(str(value), rules['choices'])}")
    if "above" in rules and not value > rules["above"]:
        bound = "≥ 0" if -1e-6 < rules["above"] < 0 or rules["above"] == -1 else f"more than {rules['above']}"
        raise ConfigError(f"{what}: expected a number {bound}, got {value!r}.")
    if "below" in rules and not value < rules["below"]:
        raise ConfigError(f"{what}: expected a number less than {rules['below']}, got {value!r}.")
    if "most" in rules and not value <= rules["most"]:
        raise ConfigError(f"{what}: expected a number of at most {rules['most']}, got {value!r}.")
    return value


def _converted(value: Any, kind: Any) -> Any:
    if kind is Any:
        return value
    if kind is bool:
        if isinstance(value, bool):
            return value
        raise ValueError
    if kind is int:
        if isinstance(value, bool) or int(value) != float(value) or abs(int(value)) >= 1 << 63:
            raise ValueError
        return int(value)
    if kind is float:
        if isinstance(value, bool) or not math.isfinite(float(value)):
            raise ValueError
        return float(value)
    if kind is str:
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            return str(value)
        raise ValueError
    if typing.get_origin(kind) is tuple:
        items = value if isinstance(value, (list, tuple)) else (value,)
        return tuple(_converted(item, typing.get_args(kind)[0]) for item in items)
    raise ValueError
