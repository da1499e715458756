"""What to do with a run, as lines to copy: why it is not better where it is not, what would make it
better, and how to use it. The order is that of docs/when-the-net-loses.md."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mapsto.blocks import Block, Code, Paragraph, Section
from mapsto.checks.base import Finding
from mapsto.registry.trust import flags
from mapsto.report import facts, gate
from mapsto.report.decisions import on_the_same_data
from mapsto.run import Run

MORE_MINUTES = 3  # times the minutes it learned are advised where it was still getting better
WORTH = 0.05  # of the error, by which twice the rows have to better it, to be worth a line

Step = tuple[str, list[str]]  # why, and the commands

DATE = re.compile(r"^\d{4}-\d\d-\d\d-")  # which every run's name is given


def next_steps(run: Run, sections: Sequence[Section], findings: Sequence[Finding], at: Path) -> Section:
    """sections: what was asked of the run; findings: of the data gate; at: how the run's folder is called."""
    found = facts.scores(run, sections)
    poor = not found or found[0].poor
    mend = [
        *_of_the_gate(run, findings),
        *(_of_a_loss(run, at) if poor and run.signature.inputs else []),
        *_of_time(run, at),
        *_of_questions(sections, at),
    ]
    using = _use(run, at)
    cautions = _cautions(run)
    blocks: list[Block] = [Paragraph("\n".join(f"- {one}" for one in cautions))] if cautions else []
    for why, commands in [*mend, using] if poor else [using, *mend]:
        blocks += [Paragraph(why), Code("\n".join(commands))] if commands else [Paragraph(why)]
    told = "See why it is not better before you use it." if poor else "It can be used as it is."
    return Section("next", "What to do next", told, tuple(blocks), sign="look" if cautions else "")


def _cautions(run: Run) -> list[str]:
    """What the training said last, without its advice, which has a step of its own."""
    said = run.record.get("cautions", [])
    return [f"{one[:1].upper()}{one[1:]}." for one in said if ": mapsto " not in one]


def _of_the_gate(run: Run, findings: Sequence[Finding]) -> Iterator[Step]:
    serious = gate.serious(findings)
    if serious:
        first = serious[0]
        others = f", and {len(serious) - 1} more" if len(serious) > 1 else ""
        why = f"The data has a fault: {first.what} (to mend it: {first.fix}){others}."
        yield why, on_the_same_data(run, "check")


def _of_a_loss(run: Run, at: Path) -> Iterator[Step]:
    """A simple model does as well: is the data right, does the net learn, is the simple one enough?"""
    look = on_the_same_data(run, "check")
    yield "Is the data what you think, and does the net learn from it?", [*look, _line("doctor", at)]
    name = f"{DATE.sub('', at.name)}-baseline"
    simple = on_the_same_data(run, "train", "--model", "baseline", "--out", str(at.parent), "--name", name)
    if simple and run.choice.model != "baseline":
        yield "Or take the simple model, which is a run like any other:", simple


def _of_time(run: Run, at: Path) -> Iterator[Step]:
    steps, best = run.record.get("steps", 0), run.record.get("best_step", 0)
    short = any("passes over the training rows" in one for one in run.record.get("cautions", []))
    if short or (steps and best == steps and not run.record.get("stopped")):
        minutes = max(1, round(MORE_MINUTES * run.record.get("seconds", 0) / 60))
        why = "It learned too short" if short else "It was still getting better at its last step"
        yield f"{why}: learn on, what it knows is kept.", [_line("extend", at, "--minutes", str(minutes))]


def _of_questions(sections: Sequence[Section], at: Path) -> Iterator[Step]:
    """What questions found that somebody can do something about."""
    figures = {section.name: section.figures for section in sections}
    doubted = sum(_numbers(figures, "labels", "doubted"))
    if doubted:
        why = f"{doubted:,.0f} labels are in doubt: look at them, mend those that are wrong, and train again."
        yield why, [_line("assess", at, "labels")]
    shares = [share for share in _numbers(figures, "more_data", "gain", "twice", 0) if share >= WORTH]
    if shares:
        why = f"Twice as many rows would take about {max(shares):.0%} off its error: learn on with new ones."
        yield why, [_line("extend", at, "--data", "NEW-ROWS")]


def _numbers(figures: Mapping[str, Any], question: str, *path: Any) -> list[float]:
    """A number that a question found, of each output."""
    found = []
    for figure in figures.get(question, {}).values():
        one: Any = figure
        for name in path:
            one = _part(one, name)
        found += [float(one)] if isinstance(one, (int, float)) else []
    return found


def _part(figure: Any, name: Any) -> Any:
    """Of a mapping what has that name, of a list what stands there; None where there is no such part."""
    if isinstance(figure, Mapping):
        return figure.get(name)
    listed = isinstance(figure, (list, tuple)) and isinstance(name, int)
    return figure[name] if listed and -len(figure) <= name < len(figure) else None


def _use(run: Run, at: Path) -> Step:
    trusted = shlex.split(flags(run.record))
    if run.signature.inputs:
        data = next(iter(run.record["data"]["locations"]), "FILES")
        predict = _line("predict", at, data, "--out", "answers.csv", *trusted)
        return "Answer new rows, and measure it on rows whose answers are known:", [
            predict,
            _line("evaluate", at, data, *trusted),
        ]
    usages = [run.output(slot.name).usage for slot in run.signature.outputs]
    usage = next((usage for usage in usages if usage is not None), None)
    if usage is None:
        return "It is asked by its learner alone.", []
    return usage.headline, [_line(usage.command, at, *usage.arguments, *trusted)]


def _line(command: str, at: Path, *words: str) -> str:
    return shlex.join(["mapsto", command, str(at), *words])
