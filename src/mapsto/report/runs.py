"""Several runs side by side, beside how good they are: how they are called, how they learned, what they cost,
what was done differently."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mapsto.blocks import Line, Lines, Section, Table
from mapsto.errors import RunError
from mapsto.files import read_json
from mapsto.report.facts import named, weights
from mapsto.run import Run
from mapsto.signature import format_call
from mapsto.terminal.words import duration, size

_DATE = re.compile(r"^\d{4}-\d\d-\d\d-")
MOST_POINTS = 60  # of a curve whose points are drawn
NAMED = 4  # settings that are named in a sentence


def opened(paths: Sequence[str | Path]) -> list[Run]:
    """The runs, each finished, no two the same. RunError."""
    runs = [Run.open(path) for path in paths]
    if len({run.path.resolve() for run in runs}) < max(2, len(runs)):
        raise RunError(
            f"expected two or more different runs, got {', '.join(str(run.path) for run in runs)}.\nRuns are"
            " listed by: mapsto runs"
        )
    for run in runs:
        if run.status != "done":
            raise RunError(
                f"{run.path}: the training is not finished, there is nothing to compare.\nGo on with: mapsto"
                f" resume {run.path}"
            )
    return runs


def called(runs: Sequence[Run]) -> tuple[str, ...]:
    """A name for each run: its own, or where two are alike its folder's, with what stands above it."""
    names = tuple(_DATE.sub("", run.path.resolve().name) for run in runs)
    if all(names) and len(set(names)) == len(names):
        return names
    for depth in (1, 2, 3):
        names = tuple("/".join(run.path.resolve().parts[-depth:]) for run in runs)
        if len(set(names)) == len(names):
            return names
    return tuple(str(run.path.resolve()) for run in runs)


def curves(runs: Sequence[Run], slot: str, metric: str, several: bool) -> Section | None:
    """The metric on validation rows over each other, by step. None where fewer than two runs were looked at
    while they learned."""
    lines = []
    for name, run in zip(called(runs), runs, strict=True):
        log = [entry for entry in run.history if entry.get("step")]
        known = [(one["step"], one.get("scores", {}).get(slot, {}).get(metric)) for one in log]
        if any(value is not None for _, value in known):
            steps, values = zip(*known, strict=True)
            lines.append(Line(name, steps, values, points=len(steps) <= MOST_POINTS))
    if len(lines) < 2:
        return None
    what = f"{named(metric)} on validation rows" + (f": {slot}" if several else "")
    title = f"How did they learn {slot}?" if several else "How did they learn?"
    told = f"{named(metric)[:1].upper()}{named(metric)[1:]} on each run's own validation rows, by step."
    return Section(f"curves-{slot}", title, told, (Lines(tuple(lines), "step", what),))


def cost(runs: Sequence[Run]) -> Section:
    """What each took, and takes."""
    rows = []
    for name, run in zip(called(runs), runs, strict=True):
        spent, known = run.record.get("cost", {}), weights(run)
        seconds = sum(part["seconds"] for part in spent.get("phases", {}).values()) or run.record.get(
            "seconds"
        )
        rows.append(
            (
                name,
                duration(seconds) if seconds else None,
                size(spent["memory"]) if "memory" in spent else None,
                known[0] if known else None,
                size(known[1]) if known else None,
                _milliseconds(run),
            )
        )
    columns = ("run", "time", "memory", "numbers in the net", "size", "ms an answer")
    alike = len({json.dumps(run.record.get("machine"), sort_keys=True) for run in runs}) == 1
    told = (
        "Measured on the same machine."
        if alike
        else "Measured on different machines: times cannot be compared."
    )
    return Section(
        "cost",
        "At what cost?",
        told,
        (Table(columns, tuple(rows), "ms an answer: among 64 asked for together, from encoded cells."),),
    )


def _milliseconds(run: Run) -> float | None:
    """As its report measured it."""
    path = run.path / "sections.json"
    try:
        sections = read_json(path, {"sections": [dict]})["sections"] if path.exists() else []
        return next(
            (float(one["figures"]["milliseconds"]["64"]) for one in sections if one["name"] == "cost"), None
        )
    except (ValueError, KeyError, TypeError, RunError):
        return None


def settings(runs: Sequence[Run]) -> Section:
    """What was done differently."""
    rows = []
    for name, values in (
        ("signature", [run.record.get("signature_text", "") for run in runs]),
        ("data", [f"{run.record['data']['name']} ({run.record['data']['fingerprint'][:8]})" for run in runs]),
        ("training rows", [run.record.get("rows", {}).get("train") for run in runs]),
        ("model", [format_call(run.choice.model, run.choice.model_options) for run in runs]),
        ("learner", [format_call(run.choice.learner, run.choice.learner_options) for run in runs]),
        *(
            (spot, [getattr(run.choice.training, spot) for run in runs])
            for spot in vars(runs[0].choice.training)
        ),
        ("steps", [run.record.get("steps") for run in runs]),
        ("plan", [run.record.get("plan", "").split(":")[0] for run in runs]),
        ("mapsto", [run.record.get("mapsto") for run in runs]),
    ):
        if len(set(map(str, values))) > 1:
            rows.append((name.replace("_", " "), *map(_written, values)))
    names = [row[0] for row in rows]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    told = f"They differ in {', '.join(names[:NAMED])}{more}."
    told = told if rows else "Nothing that is recorded differs between the runs."
    return Section(
        "settings",
        "What was done differently?",
        told,
        (Table(("", *called(runs)), tuple(rows)),) if rows else (),
    )


def _written(value: Any) -> str:
    return "—" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
