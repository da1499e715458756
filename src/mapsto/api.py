"""The main path: train, and what a run can do afterwards. Readable as one function each.

cli.main -> api.train -> api.fit -> Trainer.fit -> Trainer.learn -> Learner.step -> Trainer.update ->
Updater.apply -> optimizer.step
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mapsto.config import Budget, Reading, settings_of, showing_settings
from mapsto.data.open import open_source
from mapsto.data.resolve import as_asked
from mapsto.errors import DataError, MapstoError, RunError
from mapsto.events import Emit
from mapsto.files import locked
from mapsto.run import Run
from mapsto.run.segments import leave_behind, put_back, set_aside
from mapsto.run.streamed import refuse_streamed, way_on
from mapsto.source import Source
from mapsto.steps.early import absolute, check_early, trusted
from mapsto.steps.prepare import part_of, parts_of, prepare, reading_of_new, record_of, reopen, store_of
from mapsto.steps.solve import budget_after
from mapsto.training.checkpoint import NAME, PREVIOUS, same_weights
from mapsto.training.plan import Plan
from mapsto.training.timer import Timer
from mapsto.training.trainer import Trainer

if TYPE_CHECKING:
    from mapsto.prediction import Predictions


@showing_settings
def train(
    data: Any,
    signature: str | None = None,
    *,
    out: str | Path = "runs",
    name: str | None = None,
    emit: Emit | None = None,
    started: float | None = None,
    trust: Iterable[str | Path] = (),
    **options: Any,
) -> Run:
    """Learn the map `signature` from `data`; everything decided on the way is written into the run.

    data: a path (folder, table, archive, arrays), several paths, a pandas or polars frame, a list of dicts.
    options: `minutes`, `steps`, `model`, `metric`, … as the command line has them (`mapsto train --help`).
    trust: own files that the run to start from was made with. emit: called with every event; None prints
    them. Raises MapstoError; nothing half-written is left where nothing was learned.
    """
    started = time.monotonic() if started is None else started
    emit = emit or _printer()
    settings = absolute(settings_of(options))
    code = trusted(settings, trust)
    check_early(settings)
    source = as_asked(signature, open_source(data, settings.reading))
    asked = {
        "data": record_of(source),
        "asked": signature,
        "settings": settings.to_json(),
        "code": code,
    }
    run = Run.create(Path(out), name or source.name, asked | ({"fold": -1} if settings.reading.folds else {}))
    try:
        if settings.start and not settings.public:
            from mapsto.run.warm_start import start_from

            start_from(run, settings.start)
        return _fit_folds(run, source, emit) if settings.reading.folds else fit(run, source, emit, started)
    except BaseException:
        _discard_if_empty(run)
        raise


def fit(
    run: Run, source: Source | None = None, emit: Emit | None = None, started: float | None = None
) -> Run:
    """Do what the record says and what is not done yet: train, resume, extend and reproduce all end here."""
    started, emit = time.monotonic() if started is None else started, emit or _printer()
    timer = Timer(time.monotonic() - started)
    with locked(run.path):
        leave_behind(run)  # where a kill came before it
        with _failure_recorded(run):
            if not run.chosen:
                prepare(run, source or reopen(run), emit)
            store = store_of(run, lambda: source or reopen(run), emit)
            _fit_into(run, store, emit)
            emit(
                {"event": "fit", "run": str(run.path), "choice": str(run.choice), "rows": store.size("train")}
            )
            devices = run.choice.training.devices or 1
            if devices > 1:  # they leave a last checkpoint, from which this process goes on
                from mapsto.training.processes import learn_together

                learn_together("mapsto.steps.worker", run.path, devices, started, emit)
            learner = run.new_learner(run.first_model(), store)
            trainer = Trainer(
                learner,
                run.path,
                budget_after(run, learner, store),
                run.choice.best,
                emit,
                elapsed=time.monotonic() - started,
            )
            timer.lap("reading and deciding")
            trainer.fit()
            timer.lap("learning")
            from mapsto.steps.finish import finish  # measuring is imported when there is something to measure

            done, made = finish(run, trainer, store, time.monotonic() - started)
            timer.lap("measuring")
            seconds = round(timer.seconds, 2)  # the same on the page as in the terminal
            run.save(cost=timer.record(learner.device), seconds=seconds)
            done["seconds"] = seconds
            for checkpoint in (NAME, PREVIOUS):
                (run.path / checkpoint).unlink(missing_ok=True)
        if "fold" not in run.record:  # a cross-validation is reported, and told, as a whole
            _report_and_tell(run, done, source, emit, made)
        elif run.record["fold"] != -1:
            emit(done)
    return run


def planned(data: Any, signature: str | None = None, emit: Emit | None = None, **options: Any) -> Plan:
    """The plan that `train` would take for the same words, with what was measured for it. Nothing is learned,
    no run is left."""
    started, emit = time.monotonic(), emit or _printer()
    settings = absolute(settings_of(options))
    trusted(settings)
    check_early(settings)
    source = as_asked(signature, open_source(data, settings.reading))
    with TemporaryDirectory() as folder:
        record = {"data": record_of(source), "asked": signature, "settings": settings.to_json()}
        run = Run.create(Path(folder), "plan", record)
        prepare(run, source, emit)
        learner = run.new_learner(run.new_model(), store_of(run, lambda: source, emit))
        trainer = Trainer(learner, None, run.choice.budget, None, emit, time.monotonic() - started)
        trainer.prepare()
    return trainer.plan


def load(path: str | Path, trust: Iterable[str | Path] = ()) -> Run:
    """Open a run: `load(path).predict(rows)`; while it is being extended it answers as before. trust: own
    files that it was made with, which nothing but being named here lets it execute."""
    from mapsto.registry.trust import trust_all

    trust_all(trust)
    return Run.open_to_answer(path)


def resume(
    path: str | Path, data: Any = None, emit: Emit | None = None, trust: Iterable[str | Path] = ()
) -> Run:
    """Go on with a training that was cut off, exactly. A finished run is returned as it is. trust: as of
    `load`."""
    from mapsto.registry.trust import trust_all

    trust_all(trust)
    run, emit = Run.open(path), emit or _printer()
    if run.status == "done":
        if not (run.path / "model.safetensors").exists():
            run.model  # noqa: B018  (says that the weights are missing, and what to do)
        text = f"{run.path} is finished; to learn on: mapsto extend {run.path} --minutes 5"
        emit({"event": "note", "text": text})
        return run
    refuse_streamed(run)
    extended = "parts" in run.record["data"]
    source = (
        None
        if data is None
        else (
            reopen(run, data)
            if extended
            else as_asked(run.record["asked"], open_source(data, run.settings.reading))
        )
    )
    if run.record.get("fold") == -1:
        return _fit_folds(run, source or reopen(run), emit)
    return fit(run, source, emit)


def extend(
    path: str | Path, data: Any = None, emit: Emit | None = None, before: Any = None, **budget: Any
) -> Run:
    """Learn on from a finished run's best weights, with a new budget and, when `data` is given, on new rows
    and new classes too.

    The rows it had are learned together with the new ones, and are divided as they were; both are measured.
    before: these rows again, where they came from memory (a tuple, where several times). What was there moves
    to `segments/<k>` inside the run, so the record stays complete.
    """
    from mapsto.steps.cautions import tell_unchanged

    run, emit, started = Run.open(path), emit or _printer(), time.monotonic()
    if run.status != "done":
        raise RunError(f"{run.path}: the training is not finished.\nGo on with: mapsto resume {run.path}")
    given = settings_of(budget)
    if (asked := given.budget) == Budget():
        asked = Budget(minutes=run.choice.budget.minutes or 5.0)
    reading = reading_of_new(run, given.reading)
    # an error before anything is touched
    source, known = (None, {}) if data is None else _with_new(run, data, before, reading)
    with locked(run.path):
        kept = set_aside(run)
        run = Run.open(run.path)
        settings = replace(run.settings, budget=asked)
        settings = settings if data is None else replace(settings, reading=reading)
        record = {
            "status": "running",
            "settings": settings.to_json(),
            "start_from": f"{kept}/model.safetensors",
            "segment": kept,
        }
        if data is None:
            choice = replace(run.choice, budget=replace(asked, patience=asked.patience or 0.0))
            run.save(**record, choice=choice.to_json())
        else:
            run.record["known_types"], run.record["known_choice"] = run.record["types"], run.record["choice"]
            del run.record["choice"]
            run.save(**record, **known, asked=run.record["signature_text"])
        leave_behind(run)
        run = Run.open(run.path)
    try:
        return tell_unchanged(fit(run, source, emit, started), kept, emit)
    except MapstoError:
        if not any((run.path / name).exists() for name in (NAME, PREVIOUS, "model.safetensors")):
            put_back(run, kept)
        raise


def reproduce(path: str | Path, emit: Emit | None = None) -> tuple[Run, bool]:
    """Execute a finished run's record again, decisions and all, into a folder beside it. (the new run, are
    the weights equal bit for bit)."""
    run, emit = Run.open(path), emit or _printer()
    refuse_streamed(run)
    if run.status != "done":
        raise RunError(
            f"{run.path}: the training is not finished, there is nothing to compare with.\nGo on with: mapsto"
            f" resume {run.path}"
        )
    record = {
        key: value
        for key, value in run.record.items()
        if key not in ("status", "created", "format", "mapsto")
    }
    record["choice"] = {
        **record["choice"],
        "budget": {**record["choice"]["budget"], "minutes": None, "steps": None, "epochs": None},
    }
    again = Run.create(run.path.parent, f"{run.path.name[11:]}-reproduced", record)
    for name in ("decisions.jsonl", "rows.npz"):
        shutil.copyfile(run.path / name, again.path / name)
    if "start_from" in run.record:
        (again.path / run.record["start_from"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(run.path / run.record["start_from"], again.path / run.record["start_from"])
    again = fit(again, None, emit)
    equal = same_weights(run.path, again.path)
    emit({"event": "reproduced", "equal": equal, "run": str(again.path), "of": str(run.path)})
    return again, equal


def report(
    path: str | Path, private: bool = True, emit: Emit | None = None, positive: str | None = None
) -> Path:
    """Draw a finished run's page and model card again, from what it holds: its data may have moved. What was
    never asked is asked first, and all is where `positive` names another class than before. private False: no
    row of the data is shown. The page's path."""
    from mapsto.report import reporting

    run = Run.open(path)
    if run.status != "done":
        raise RunError(
            f"{run.path}: the training is not finished, there is nothing to report yet.\nGo on with:"
            f" {way_on(run.path, run.record)}"
        )
    with locked(run.path):
        return reporting.redrawn(run, private, emit or _printer(), positive)


def _with_new(run: Run, data: Any, before: Any, reading: Reading) -> tuple[Source, dict[str, Any]]:
    """The rows that a run has, then the new ones; and what its record says of them. RunError where the first
    cannot be read again, DataError where the new ones do not fit."""
    from mapsto.data.added import added

    if "fold" in run.record:
        raise RunError(
            f"{run.path}: learned from all its rows, by --folds, so none is left to test on.\nTrain on all of"
            " them: mapsto train OLD NEW"
        )
    try:
        had = reopen(run, before)
    except (RunError, DataError) as problem:
        raise RunError(
            f"{run.path}: new rows are learned together with those it has, else it forgot these, and they"
            f" cannot be read again.\n{str(problem).splitlines()[0]}\nPut them back, or give them:"
            " mapsto.api.extend(run, new, before=old)"
        ) from None
    new = as_asked(run.signature, open_source(data, reading))
    source = added(had, new, run.signature, (reading.group, reading.time, reading.weight))
    parts = [*parts_of(run), part_of(new, reading)]
    locations = (
        [place for part in parts for place in part["locations"]]
        if all(part["locations"] for part in parts)
        else []
    )
    rows = len(run.kept_rows()["split"])
    data = {"name": source.name, "locations": locations, "fingerprint": source.fingerprint, "parts": parts}
    return source, {"data": data, "rows_before": rows}


def _fit_folds(run: Run, source: Source, emit: Emit) -> Run:
    """Cross-validation: every row is tested once by a net that never saw it; then the run's own net learns
    from all rows but validation. What is done already is not done again."""
    from mapsto.steps.folds import pooled

    started, count, parts = time.monotonic(), run.settings.reading.folds, []
    asked = {key: run.record[key] for key in ("data", "asked", "settings", "code") if key in run.record}
    for fold in range(count):
        emit({"event": "note", "text": f"fold {fold + 1} of {count}"})
        there = next((part for part in Run.list(run.path / "folds") if part.record["fold"] == fold), None)
        part = there or Run.create(run.path / "folds", f"fold-{fold + 1}", {**asked, "fold": fold})
        parts.append(part if part.status == "done" else fit(part, source, emit))
    emit({"event": "note", "text": "the final net, from all rows"})
    fit(run, source, emit)
    with locked(run.path):
        done = pooled(run, parts, time.monotonic() - started)
        _report_and_tell(run, done, source, emit)
    return run


def _report_and_tell(
    run: Run,
    done: Mapping[str, Any],
    source: Source | None,
    emit: Emit,
    made: Mapping[str, Predictions] | None = None,
) -> None:
    """Write the report, behind the export where one was asked for, then tell the result; that in any case."""
    from mapsto.report import reporting

    page = ""
    try:
        if run.settings.fit_into:
            from mapsto.deploy._fitting import export_that_fits

            export_that_fits(run, emit)
        page = reporting.written(run, source, emit, made)
    finally:
        emit({**done, "report": page})


def _fit_into(run: Run, store: Any, emit: Emit) -> None:
    """Narrow the net to what `--fit-into` asks for, once."""
    if run.settings.fit_into and "fits" not in run.record:
        from mapsto.deploy._fitting import fit_into  # exports, which no other training imports

        fit_into(run, store, emit)


@contextmanager
def _failure_recorded(run: Run) -> Iterator[None]:
    """A training that ends in an error says so in its record."""
    try:
        yield
    except MapstoError as problem:
        with suppress(MapstoError):  # a full disk: the error itself is on its way
            run.save(status="failed", problem=str(problem))
        raise


def _discard_if_empty(run: Run) -> None:
    """A run that never came to a first checkpoint is no run: nothing half-written stays."""
    kept = (NAME, PREVIOUS, "model.safetensors", "quarantine.csv")
    if run.path.exists() and not any(any(run.path.rglob(name)) for name in kept):
        shutil.rmtree(run.path, ignore_errors=True)


def _printer() -> Emit:
    from mapsto.terminal import printer

    return printer()


__all__ = ["extend", "fit", "load", "planned", "report", "reproduce", "resume", "train"]
