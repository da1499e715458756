"""The doctor: what is wrong with a run, in plain words, each with the number behind it. One file in this
folder is one group of complaints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mapsto.blocks import Block, Line, Lines, Paragraph, Section, Table
from mapsto.doctor.base import Issue, Subject
from mapsto.errors import MapstoError
from mapsto.registry import module, names

# What a net or learner from a file, or data nobody thought of, may do: the doctor then says what it could not
# look at, and goes on.
FAILURES = (MapstoError, ValueError, TypeError, AttributeError, LookupError, RuntimeError, ArithmeticError)


@dataclass(frozen=True)
class Diagnosis:
    """complaints: what is wrong, causes first, then what follows from them; notes: worth knowing, no
    sickness; looked: what was looked for; unseen: what could not be looked at, {reason: looks}."""

    complaints: tuple[Issue, ...]
    notes: tuple[Issue, ...]
    looked: tuple[str, ...]
    unseen: Mapping[str, tuple[str, ...]]

    @property
    def headline(self) -> str:
        if not self.complaints:
            return (
                "Nothing wrong was found."
                if not self.unseen
                else "Nothing wrong was found in what could be looked at."
            )
        first = self.complaints[0].what
        more = len(self.complaints) - 1
        return f"{first[:1].upper()}{first[1:]}{f' ({more} more)' if more else ''}."

    def to_json(self) -> dict[str, Any]:
        return {
            "complaints": [vars(one) for one in self.complaints],
            "notes": [vars(one) for one in self.notes],
            "looked": self.looked,
            "unseen": dict(self.unseen),
        }


def examine(patient: Subject) -> Diagnosis:
    """Every complaint of every file, causes first. What cannot be looked at is said, and hinders nothing
    else."""
    found: list[Issue] = []
    looked: list[str] = []
    unseen: dict[str, list[str]] = {}
    for name in names("doctor"):
        for look, complaints in module("doctor", name).PROBES.items():
            try:
                found += complaints(patient)
                looked.append(look)
            except FAILURES as problem:
                unseen.setdefault(_reason(problem), []).append(look)
    ordered = by_cause(found)
    return Diagnosis(
        tuple(one for one in ordered if not one.note),
        tuple(one for one in ordered if one.note),
        tuple(looked),
        {reason: tuple(looks) for reason, looks in unseen.items()},
    )


def _reason(problem: Exception) -> str:
    """Why it could not be looked at. What Python says of a net it does not fit is no reason for people."""
    if isinstance(problem, (AttributeError, TypeError, LookupError)):
        return "not possible with this kind of net or data"
    return f"{problem}".strip().splitlines()[0] if f"{problem}".strip() else type(problem).__name__


def by_cause(found: list[Issue]) -> list[Issue]:
    """Causes first, those that explain most before others, each followed by what follows from it; then the
    notes that no complaint explains."""
    issues = sorted((one for one in found if not one.note), key=lambda one: -len(one.explains))
    causes: list[Issue] = []
    for one in issues:
        if not any(_explained_by(one, other, causes) for other in issues):
            causes.append(one)
    rest = [one for one in issues if one not in causes]
    ordered: list[Issue] = []
    for cause in causes:
        ordered += [
            cause,
            *(replace(one, follows=cause.name) for one in rest if _root(one, causes, issues) is cause),
        ]
    explained = {name for one in issues for name in one.explains}
    return ordered + [one for one in found if one.note and one.name not in explained]


def _explained_by(one: Issue, other: Issue, causes: list[Issue]) -> bool:
    """Does it follow from the other? Of two that explain each other, the one already a cause wins, which is
    the one that explains more."""
    mutual = other.name in one.explains
    return one.name != other.name and one.name in other.explains and (not mutual or other in causes)


def _root(one: Issue, causes: list[Issue], issues: list[Issue]) -> Issue:
    """The cause that explains it: itself, or through another complaint."""
    direct = next((cause for cause in causes if one.name in cause.explains), None)
    if direct is not None:
        return direct
    between = next(other for other in issues if one.name in other.explains and other is not one)
    return _root(between, causes, [other for other in issues if other is not one])


def section(patient: Subject, diagnosis: Diagnosis) -> Section:
    """What the report shows of it."""
    blocks: list[Block] = []
    said = (*diagnosis.complaints, *diagnosis.notes)
    if said:
        rows = tuple(
            (
                one.what,
                one.advice,
                f"follows from: {one.follows}" if one.follows else "note" if one.note else "",
            )
            for one in said
        )
        blocks.append(Table(("what is wrong", "what to try", ""), rows))
    blocks += [*signs(patient), *_curve(patient)]
    blocks.append(
        Paragraph(
            f"Looked for: {', '.join(diagnosis.looked)}."
            if diagnosis.looked
            else "Nothing could be looked at."
        )
    )
    blocks += [
        Paragraph(f"Not looked for: {', '.join(looks)} ({reason})")
        for reason, looks in diagnosis.unseen.items()
    ]
    return Section(
        "doctor",
        "Is anything wrong with this training?",
        diagnosis.headline,
        tuple(blocks),
        {one.name: dict(one.figures) for one in said},
    )


def signs(patient: Subject) -> list[Table]:
    """Each output's loss before the first step, beside its theoretical value, and after the last; none where
    they cannot be measured."""
    try:
        first, learned, held = patient.first_losses, patient.learned_losses, patient.held_losses
    except FAILURES:
        return []
    head = (
        "loss of",
        "before the first step",
        "of a constant answer",
        "on training rows",
        "on rows held back",
    )
    rows = tuple(
        (name, one.mean, one.constant, learned[name].mean, held[name].mean)
        for name, one in first.items()
        if name in learned and name in held
    )
    return [
        Table(
            head,
            rows,
            "A constant answer ignores the inputs: log K for K equally frequent classes, the variance of a"
            " number.",
        )
    ]


def _curve(patient: Subject) -> list[Block]:
    """The training loss, beside what an answer costs that ignores the inputs."""
    try:
        steps, losses = patient.training_losses
    except FAILURES:
        return []
    lines = [Line("training loss", tuple(steps.tolist()), tuple(losses.tolist()))]
    try:
        constants = [one.constant for one in patient.first_losses.values()]
        lines.append(
            Line("a constant answer", (int(steps[0]), int(steps[-1])), (sum(constants), sum(constants)))
        )
    except FAILURES:
        return [Lines(tuple(lines), "step", "loss")]
    return [Lines(tuple(lines), "step", "loss")]


__all__ = ["Diagnosis", "Issue", "Subject", "examine", "section", "signs"]
