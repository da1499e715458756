"""`--fit-into "2 MB, 5 ms"`: the net made so small that its export keeps a size and a time.

Before the budget is spent, the recipe's net is exported in 8 bits and measured; where it takes too much,
narrower ones are, for the largest that keeps both. Weights need not be learned for that: a step on a few
hundred rows makes a run whose export is as large and as fast as the finished one's.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from mapsto import models
from mapsto.config import Budget
from mapsto.data.store import Store
from mapsto.deploy._card import size
from mapsto.deploy._making import export
from mapsto.errors import ConfigError, RunError
from mapsto.events import Emit
from mapsto.run import Run
from mapsto.signature import format_call
from mapsto.training.limit import Limit, limit_of

FORMS = ("int8", "onnx")  # of export, the first that can be made
ROWS = 400  # of each split, of the run that is measured: novelty keeps no more of small limits
TRIES = 5  # exports that are measured, each some ten seconds
WORTH = 1.2  # times the weights that a net must have to be tried beside one that keeps the limit
LOSS = 0.005  # of a metric, that 8 bits may cost
ROOM = 0.95  # of the limit: a learned net may keep a layer in float, and clocks differ
STEP = 0.85  # between the shares of weights that are thought of


@dataclass(frozen=True)
class Tried:
    """A net's export, measured. seconds: of one row on one core, the median."""

    options: Mapping[str, Any]
    parameters: int
    bytes: int
    seconds: float
    form: str

    def keeps(self, limit: Limit, room: float = 1.0) -> bool:
        return self.bytes <= room * limit.bytes and self.seconds <= room * limit.seconds

    def __str__(self) -> str:
        return f"{self.parameters:,} weights: {_takes(self.bytes, self.seconds)}"


def fit_into(run: Run, store: Store, emit: Emit) -> None:
    """Narrow the run's net until its export keeps what was asked for. ConfigError: none does."""
    if run.record["data"].get("kind", "rows") != "rows":
        raise ConfigError(
            "--fit-into: its data has no rows on which an export could be measured.\nLeave it out."
        )
    text = run.settings.fit_into or ""
    limit, usual = limit_of(text), dict(run.choice.model_options)
    tried: list[Tried] = []
    options: Mapping[str, Any] | None = usual
    while options is not None and len(tried) < TRIES:
        tried.append(_measured(run, store, options))
        emit({"event": "note", "text": f"to fit into {text}: {tried[-1]}"})
        if len(tried) == 1 and tried[0].keeps(limit, ROOM):
            break
        options = _next(run, usual, tried, limit)
    kept = [one for one in tried if one.keeps(limit, ROOM)]
    found = max(kept, key=lambda one: one.parameters, default=None)
    if found is None:
        least = min(tried, key=lambda one: one.bytes)
        raise ConfigError(
            f"--fit-into {text}: the smallest {run.choice.model} tried takes"
            f" {_takes(least.bytes, least.seconds)}.\nAllow more, or choose another --model."
        )
    choice = replace(run.choice, model_options=found.options)
    net = format_call(choice.model, choice.model_options)
    emit({"event": "note", "text": f"learned is {net}: {found}"})
    run.save(choice=choice.to_json(), fits={"asked": text, "tried": [asdict(one) for one in tried]})
    del run.choice  # cached of the record


def export_that_fits(run: Run, emit: Emit) -> None:
    """The finished run's export beside it, measured once more; what it keeps goes into the record."""
    fits = run.record.get("fits")
    if fits is None:
        return
    limit = limit_of(fits["asked"])
    form, target, parity = _exported(run, emit, run.path.parent, LOSS)
    took, seconds = parity["bytes"]["export"], parity["speed"]["export"]["p50_ms"] / 1000
    kept = took <= limit.bytes and seconds <= limit.seconds
    run.save(
        fits={**fits, "export": str(target), "form": form, "bytes": took, "seconds": seconds, "kept": kept}
    )
    said = "fits into" if kept else "does not fit into"
    emit({"event": "note", "text": f"{said} {fits['asked']}: {target}, {_takes(took, seconds)}"})


def _takes(count: float, seconds: float) -> str:
    return f"{size(count)}, {1000 * seconds:.2g} ms for a row"


def _next(
    run: Run, usual: Mapping[str, Any], tried: Sequence[Tried], limit: Limit
) -> Mapping[str, Any] | None:
    """Options of the largest net that is expected to keep the limit, larger than those that keep it and
    smaller than those that do not; the smallest where none is expected to. None where nothing is left."""
    low = max((one.parameters for one in tried if one.keeps(limit, ROOM)), default=0)
    high = min((one.parameters for one in tried if not one.keeps(limit, ROOM)), default=0)
    between = [(count, options) for count, options in _narrower(run, usual) if WORTH * low < count < high]
    fitting = [options for count, options in between if _expected(count, tried).keeps(limit, ROOM)]
    return fitting[0] if fitting else between[-1][1] if between and not low else None


def _narrower(run: Run, usual: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(weights, options) of ever narrower nets."""
    share, last = 1.0, usual
    while share > 1e-4:
        share *= STEP
        options = models.narrowed(run.choice.model, usual, share)
        if options == last:
            continue
        last = options
        try:
            yield _parameters(run, options), options
        except ConfigError:
            continue  # a width that its heads do not divide


def _parameters(run: Run, options: Mapping[str, Any]) -> int:
    choice = run.choice
    net = models.build(choice.model, run.signature, run.types, options, choice.kinds, choice.found)
    return sum(value.numel() for value in net.parameters())


def _expected(parameters: int, tried: Sequence[Tried]) -> Tried:
    """Of another net: by the line through the last two, or in proportion to the only one."""
    last, before = tried[-1], tried[-2] if len(tried) > 1 else Tried({}, 0, 0, 0.0, "")
    share = (parameters - last.parameters) / ((before.parameters - last.parameters) or 1)
    count, seconds = (
        now + share * (then - now)
        for now, then in ((last.bytes, before.bytes), (last.seconds, before.seconds))
    )
    return Tried({}, parameters, int(count), seconds, "")


def _measured(run: Run, store: Store, options: Mapping[str, Any]) -> Tried:
    """An export of the run's net with such options, after one step on some of its rows."""
    from mapsto.steps.finish import finish
    from mapsto.training.trainer import Trainer

    with tempfile.TemporaryDirectory() as folder:
        small = _small(run, store, options, Path(folder))
        some = Store(store.folder, run.signature, run.types, small.kept_rows()["split"], None, store.groups)
        learner = small.new_learner(small.new_model(), some)
        trainer = Trainer(learner, small.path, small.choice.budget, small.choice.best)
        trainer.fit()
        finish(small, trainer, some, 0.0)
        form, _, parity = _exported(small, lambda event: None, Path(folder), inf)
        speed = parity["speed"]["export"]["p50_ms"] / 1000
        parameters = sum(value.numel() for value in learner.model.parameters())
        return Tried(options, parameters, parity["bytes"]["export"], speed, form)


def _small(run: Run, store: Store, options: Mapping[str, Any], folder: Path) -> Run:
    """A run of the same data with few of its rows, none of them test rows, and one step."""
    split = np.full(store.n, -1, run.kept_rows()["split"].dtype)
    for number, name in enumerate(("train", "validation")):
        split[store.rows(name)[:ROWS]] = number
    choice = replace(run.choice, model_options=options, budget=Budget(steps=1))
    settings = replace(run.settings, budget=Budget(steps=1))
    settings = replace(settings, training=replace(settings.training, plan="default"))
    record = {**run.record, "choice": choice.to_json(), "settings": settings.to_json(), "status": "running"}
    small = Run.create(folder, "fit", record)
    np.savez(small.path / "rows.npz", split=split)
    return small


def _exported(run: Run, emit: Emit, folder: Path, most_loss: float) -> tuple[str, Path, Mapping[str, Any]]:
    """(form, folder, parity) of the first form that can be made; in 8 bits a net may not become smaller."""
    problem: RunError | None = None
    for form in FORMS:
        try:
            place = _free(folder / f"{run.path.name}-{form}")
            return form, *export(run.path, form, place, emit, most_loss)
        except RunError as found:
            problem = problem or found
    assert problem is not None
    raise problem


def _free(path: Path) -> Path:
    """A place where nothing stands yet."""
    places = (path if k == 1 else path.with_name(f"{path.name}-{k}") for k in range(1, 100_000))
    return next(place for place in places if not place.exists())
