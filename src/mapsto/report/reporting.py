"""The last act of a training: questions asked, and the page and the card written. And `mapsto report`, which
draws them again.

sections.json   what was found, with what it shows: the page is drawn from it, also when the data is gone
report.html     the page
README.md       the model card
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mapsto.assess._ask import FAILURES, PredictionsBySplit, ask_all, view_of, view_on
from mapsto.assess.base import View
from mapsto.blocks import Section
from mapsto.cells import shorten
from mapsto.checks.base import read_findings
from mapsto.errors import ConfigError, MapstoError, RunError
from mapsto.events import Emit
from mapsto.files import COPY, read_json, write_json, write_text
from mapsto.prediction import Predictions
from mapsto.report.card import card
from mapsto.report.page import page, unanswered
from mapsto.report.samples import samples
from mapsto.run import Run
from mapsto.run.positive import set_positive
from mapsto.source import Source
from mapsto.steps.prepare import store_of

FORMAT = 1
TEXTS = dict.fromkeys(("name", "title", "headline"), str)
SECTION = {**TEXTS, "blocks": list[dict[str, Any]], "figures?": dict, "sign?": str}
PAGE, CARD, SECTIONS = "report.html", "README.md", "sections.json"


def written(
    run: Run, source: Source | None, emit: Emit, made: Mapping[str, Predictions] | None = None
) -> str:
    """Ask everything of a run just trained, keep what was found, draw it; the page's path. "" where it could
    not be written: that loses no training, and is said. source: the run's data, where it is at hand; made:
    what the run predicted of its splits, likewise.
    """
    emit({"event": "note", "text": "measured; writing the report"})
    try:
        ask(run, source, emit, made)
        return str(draw(run))
    except MapstoError as problem:
        emit({"event": "note", "text": f"no report was written: {problem}"})
    except KeyboardInterrupt:
        emit({"event": "note", "text": f"no report was written; to write it later: mapsto report {run.path}"})
    return ""


def redrawn(run: Run, private: bool, emit: Emit, positive: str | None = None) -> Path:
    """The page and the card from what was found when it was trained; asked for now where nothing was, or
    where another class is to be positive."""
    other = positive is not None and positive != run.settings.report.positive
    if positive is not None and other:
        set_positive(run, positive, kept=True)
    if other or not (run.path / SECTIONS).exists():
        ask(run, None, emit)
    return draw(run, private)


def ask(run: Run, source: Source | None, emit: Emit, made: Mapping[str, Predictions] | None = None) -> None:
    """Put every question to the run and keep the answers in sections.json. Where it cannot even be looked at,
    the answer is why."""
    example: dict[str, Any] = {}
    try:
        view = _view(run, source, emit, made)
        rows, example = _rows(run, view)
        sections = [*rows, *ask_all(view, emit=emit)]
    except FAILURES as problem:
        sections = [
            unanswered("questions", "What else is there to know?", " ".join(str(problem).split())[:600])
        ]
    _keep(run, sections, example)


def _view(run: Run, source: Source | None, emit: Emit, made: Mapping[str, Predictions] | None) -> View:
    """The run as questions look at it: with its data as it was given, or as it can be opened again."""
    if source is None:
        return view_on(run, None, emit)
    store = store_of(run, lambda: source, emit)
    store.device = run.learner.device
    return view_of(run, run.learner, store, source, PredictionsBySplit(run.learner, store, made))


def _rows(run: Run, view: View) -> tuple[list[Section], dict[str, Any]]:
    """Some rows as what they are, and one for the lines that show how to use the run; none where they may not
    be shown or have moved."""
    if view.source is None or run.settings.report.no_samples:
        return [], {}
    section, example = samples(run, view.store, view.source)
    return [section], example


def draw(run: Run, private: bool = True) -> Path:
    """report.html and README.md from what the run holds; the page's path. private False: no row of the data
    is shown."""
    private = private and not run.settings.report.no_samples
    sections, example = kept(run)
    findings = read_findings(run.path)
    try:
        texts = [make(run, sections, findings, example, private) for make in (page, card)]
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as problem:
        raise RunError(  # what was found is drawn as it was kept, whoever wrote it there
            f"{run.path}: what its {SECTIONS}, findings.json or run.json hold cannot be drawn"
            f" ({shorten(problem, 100)}).\n{COPY}"
        ) from problem
    for name, text in zip((PAGE, CARD), texts, strict=True):
        write_text(run.path / name, text)
    return run.path / PAGE


def _keep(run: Run, sections: list[Section], example: Mapping[str, Any]) -> None:
    """sections.json; without rows of the data where these may not be shown."""
    if run.settings.report.no_samples:
        sections, example = [section.public() for section in sections], {}
    write_json(
        run.path / SECTIONS,
        {"format": FORMAT, "sections": [section.to_json() for section in sections], "example": dict(example)},
    )


def kept(run: Run) -> tuple[list[Section], dict[str, Any]]:
    """What was found, and an example row by column; nothing where nothing was asked. RunError when it is
    damaged."""
    path = run.path / SECTIONS
    if not path.exists():
        return [], {}
    mend = f"Delete it, then: mapsto report {run.path}"
    record = read_json(path, {"sections": [SECTION], "example": dict[str, Any]}, mend)
    try:
        return [Section.from_json(one) for one in record["sections"]], record["example"]
    except (ValueError, KeyError, TypeError, ConfigError) as problem:
        raise RunError(f"{path}: is damaged ({problem}).\n{mend}") from None
