"""Questions put to a run: what they look at, in which order they are asked, and that nothing of the run
changes by it."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from mapsto.assess.base import View
from mapsto.blocks import Paragraph, Section
from mapsto.data.open import open_source
from mapsto.data.resolve import as_asked
from mapsto.data.store import Store, stored
from mapsto.errors import FAILURES as ERRORS
from mapsto.errors import ConfigError, DataError, RunError, did_you_mean
from mapsto.events import Emit
from mapsto.learners.base import Learner
from mapsto.lite.rows import located
from mapsto.measure.predictions import TestPredictions
from mapsto.measure.scores import score
from mapsto.prediction import Keep, Predictions
from mapsto.registry import module, names
from mapsto.registry.trust import trust
from mapsto.run import Run
from mapsto.run.known_rows import in_words, learned_rows
from mapsto.source import Source
from mapsto.steps.prepare import reopen, store_of
from mapsto.training import memory

# The order of the report; any other says in its file which it comes AFTER.
ORDER = (
    "baselines",
    "writing",
    "transcripts",
    "tagging",
    "confusion",
    "classes",
    "reliability",
    "sets",
    "slices",
    "errors",
    "labels",
    "explanation",
    "robustness",
    "more_data",
    "cost",
)
SECONDS = 5.0  # for all questions on a small set
HEAVY = 5  # of the questions ask the net or learn anew; each may take so many-th a part of the seconds
FOLDS = "On all rows, each as the fold's net that never saw it predicted it."
TRAIN_ROWS = 5_000  # training rows predicted, as in `finish`
# Of a pass: below, torch's threads spin against each other, and with what else is busy, for more than they
# win (titanic, permuted, two busy cores: 0.3 s of processor time with one thread, 1.7 s with two).
QUICK = 0.2
# What data that nobody thought of, a net's arithmetic, the machine or a question from outside may do: a
# finished training must not end in
# a traceback, so the question then says so in place of an answer.
FAILURES = (*ERRORS, MemoryError)


class PredictionsBySplit(Mapping[str, Predictions]):
    """Predictions by split, each made when it is first asked for. made: those that are there already."""

    def __init__(self, learner: Learner, store: Store, made: Mapping[str, Predictions] | None = None):
        self._learner, self._store = learner, store
        self._splits = [split for split in ("train", "validation", "test") if store.size(split)]
        self._made = dict(made or {})

    def __getitem__(self, split: str) -> Predictions:
        if split not in self._splits:
            raise KeyError(split)
        if split not in self._made:
            most = TRAIN_ROWS if split == "train" else None
            self._made[split] = self._learner.measure(split, Keep(most=most, store=self._store)).sample
        return self._made[split]

    def __contains__(self, split: object) -> bool:
        return split in self._splits  # which makes no predictions

    def __iter__(self) -> Iterator[str]:
        return iter(self._splits)

    def __len__(self) -> int:
        return len(self._splits)


def view_of(
    run: Run, learner: Learner, store: Store, source: Source | None, found: Mapping[str, Predictions]
) -> View:
    """What questions look at when a training ends: the rows held back, or where none were the validation
    rows."""
    return View(run, learner, store, found, _split(found), source, groups=_groups(run, store))


def view_on(run: Run, data: Any = None, emit: Emit | None = None) -> View:
    """A finished run on new rows with answers, or on its own (its stored cells where the data has moved).
    DataError where no row can be read, RunError where the run's own data and its stored cells are both
    gone."""
    emit = emit or (lambda event: None)
    learner = run.learner
    if data is None:
        source = _own_source(run)
        store = store_of(run, lambda: source or reopen(run), emit)
        store.device = learner.device
        return view_of(run, learner, store, source, PredictionsBySplit(learner, store))
    source = as_asked(run.signature, open_source(data))
    signature = located(run, source, targets=True)
    store = stored(
        source,
        signature,
        run.types,
        lambda done, total: emit({"event": "encode", "rows": done, "total": total}),
    )
    store.device = learner.device
    unread = [*store.bad, *store.problems]
    if unread:
        why = " ".join(str(unread[0]["why"]).split())
        emit(
            {
                "event": "note",
                "text": (
                    f"{len(unread):,} cells or rows cannot be read and are left out; the first:"
                    f" {unread[0]['where']}: {why}"
                ),
            }
        )
    if not store.size("test"):
        raise DataError(
            f"{source.name}: expected rows to look at, found none that can be read.\nThe run learned:"
            f" {run.signature}"
        )
    view = View(run, learner, store, PredictionsBySplit(learner, store), "test", source)
    flattered = _flattered(view, learned_rows(run, source, signature))
    if flattered:
        emit({"event": "note", "text": flattered})
    return replace(view, flattered=flattered)


def _flattered(view: View, learned: np.ndarray | None) -> str:
    """What to think of figures on rows of which the run learned from some; "" where it did from none."""
    if learned is None or not learned.any():
        return ""
    held = view.held
    new, of = held.take(~learned[held.rows]), view.run.metrics_of
    figures = {
        slot: score(of(slot), new.predicted[slot], new.target[slot], new.present[slot]) for slot in new.target
    }
    return in_words(learned[held.rows], figures)


def questions() -> list[str]:
    """All questions, in the order of the report: one that ORDER does not name stands behind the one that it
    says it comes AFTER, or last."""
    known = names("assess")
    found = [name for name in ORDER if name in known]
    after = {name: getattr(module("assess", name), "AFTER", "") for name in known if name not in ORDER}
    while after:
        name = next((name for name in after if after[name] in found), None)
        if name is None:
            return [*found, *after]
        found.insert(found.index(after.pop(name)) + 1, name)
    return found


def titles() -> dict[str, str]:
    """{question: its title}, in the order of the report."""
    return {name: module("assess", name).TITLE for name in questions()}


def ask_all(
    view: View, names: Sequence[str] | None = None, seconds: float = SECONDS, emit: Emit | None = None
) -> list[Section]:
    """Sections of the questions named, or of all that make sense for the run. A named one that makes no sense
    says so. emit: hears of each before it is asked.

    Nothing of the run changes: modes, gradients, random numbers and devices are put back. ConfigError for a
    name that is none.
    """
    wanted = questions() if names is None else list(names)
    found = {name: _module(name) for name in wanted}
    sections = []
    whole = out_of_fold(view) or view
    for number, (name, asked) in enumerate(found.items()):
        if emit is not None:
            emit({"event": "question", "number": number, "total": len(found), "name": name})
        memory.release_heap()  # what one question freed is not for the next to build upon
        with threadpool_limits(
            1, user_api="blas"
        ):  # whose threads spin against each other on a busy machine; torch's do not
            section = ask(view if getattr(asked, "NET", False) else whole, name, asked, seconds / HEAVY)
        if section is None and names is not None:
            section = Section(
                name,
                asked.TITLE,
                "It does not apply here: nothing of what was learned, or of the rows at hand, can answer it.",
            )
        if section is not None:
            sections.append(section)
    return sections


def ask(view: View, name: str, asked: ModuleType, seconds: float) -> Section | None:
    """One question's section; None where it makes no sense. A question that fails becomes a section that says
    why."""
    with untouched(view.learner):
        try:
            if not getattr(asked, "TIMED", False):  # whose figures are those of any other use
                _few_threads(view)
            return _noted(view, asked, asked.assess(view, seconds)) if asked.asks(view) else None
        except FAILURES as problem:
            why = " ".join(str(problem).split()) or type(problem).__name__
            return Section(
                name,
                asked.TITLE,
                f"It could not be answered: {why[:300]}",
                figures={"failed": type(problem).__name__},
            )


def _noted(view: View, asked: ModuleType, section: Section) -> Section:
    """The section, which says so where its rows are no plain test rows."""
    if view.flattered:
        return replace(
            section,
            blocks=(Paragraph(f"{view.flattered}."), *section.blocks),
            figures={**section.figures, "flattered": view.flattered},
        )
    if view.split == "test" or getattr(asked, "TIMED", False):
        return section
    text = (
        f"On the {view.split} rows, because no rows were held back to test on; the weights were chosen by"
        " them, so these figures flatter a little."
    )
    return replace(section, blocks=(Paragraph(FOLDS if view.split == "folds" else text), *section.blocks))


def out_of_fold(view: View) -> View | None:
    """Of a cross-validation: every row as the fold's net that never saw it predicted it, with that fold's
    calibration. None for other runs, and where that was not kept."""
    if view.run.record.get("fold") != -1 or view.split == "test":
        return None
    kept = {
        slot.name: TestPredictions.load(view.run.path, number)
        for number, slot in enumerate(view.run.signature.outputs)
    }
    known = {slot: found for slot, found in kept.items() if found is not None and not found.statistics}
    if len(known) < len(kept):
        return None
    rows = functools.reduce(np.intersect1d, [found.rows for found in known.values()])
    parts = {
        slot: found.take(np.argsort(found.rows)[np.searchsorted(np.sort(found.rows), rows)])
        for slot, found in known.items()
    }
    joined = Predictions(
        {slot: part.predicted for slot, part in parts.items()},
        {slot: part.target for slot, part in parts.items()},
        {slot: part.present for slot, part in parts.items()},
        rows,
    )
    calibrated = Run(
        view.run.path, {**view.run.record, "calibration": {}}
    )  # each by its fold; nothing is left to do
    return replace(view, found={"folds": joined}, split="folds", run=calibrated)


def _few_threads(view: View) -> None:
    """One of torch's threads where a pass through the net is quick."""
    on_cpu = view.learner.device.type == "cpu"
    if on_cpu and torch.get_num_threads() > 1 and view.seconds_of(view.learner.evaluation_batch) < QUICK:
        torch.set_num_threads(1)


@contextmanager
def untouched(learner: Learner) -> Iterator[None]:
    """Put back what asking may change: the net's modes and gradients, torch's random numbers and threads."""
    threads = torch.get_num_threads()
    modes = {part: part.training for part in learner.model.modules()}
    grads = [(value, value.grad) for value in learner.model.parameters()]
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            yield
        finally:
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)
            for part, mode in modes.items():
                part.training = mode
            for value, grad in grads:
                value.grad = grad


def _module(name: str) -> ModuleType:
    if name not in questions() and not name.endswith(".py"):
        raise ConfigError(f"unknown question '{name}'.\n{did_you_mean(name, questions(), most=20)}")
    if name.endswith(".py"):
        trust(name, "a question")  # which stands on the command line, never in a record
    return module("assess", name)


def _split(found: Mapping[str, Predictions]) -> str:
    split = next((split for split in ("test", "validation", "train") if split in found), None)
    if split is None:
        raise DataError("expected rows to look at, found none.\nGive rows with answers: --data")
    return split


def _own_source(run: Run) -> Source | None:
    """The data the run was made from; None when it has moved, has changed or was given from memory."""
    try:
        return reopen(run)
    except (RunError, DataError):
        return None


def _groups(run: Run, store: Store) -> np.ndarray | None:
    """The group of each row of the store, where the run was asked to keep groups together."""
    groups = run.kept_rows().get("group")
    return groups if groups is not None and len(groups) == store.n else None
