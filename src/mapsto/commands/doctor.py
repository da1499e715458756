"""mapsto doctor: what is wrong with a run, in plain words."""

from __future__ import annotations

import argparse
import json
import textwrap
from typing import TYPE_CHECKING, Any

from mapsto.commands.base import takes_run
from mapsto.events import Emit
from mapsto.terminal.words import say

if TYPE_CHECKING:
    from mapsto.blocks import Section
    from mapsto.doctor import Diagnosis, Issue, Subject
    from mapsto.run import Run

HELP = "what is wrong with a run, in plain words, and what to try"
WIDTH = 110  # characters of a line


def arguments(command: argparse.ArgumentParser) -> None:
    takes_run(command)
    command.add_argument(
        "--overfit-one-batch",
        action="store_true",
        help="test instead: can a fresh copy of the net learn one batch by heart?",
    )
    command.add_argument(
        "--rate-range",
        action="store_true",
        help="test instead: which learning rates does a fresh copy of the net bear?",
    )


def do(asked: argparse.Namespace, emit: Emit) -> int:
    from mapsto.doctor import examine, section
    from mapsto.doctor._probes.overfit import overfit_one_batch
    from mapsto.doctor._probes.rates import rate_range
    from mapsto.run import Run

    run = Run.open(asked.run)
    if not run.chosen:
        return _undecided(run, asked.json)
    patient = patient_of(run)
    tests = [
        test
        for wanted, test in ((asked.overfit_one_batch, overfit_one_batch), (asked.rate_range, rate_range))
        if wanted
    ]
    if tests:
        for test in tests:
            _tell_test(test(patient), asked.json)
        return 0
    found = examine(patient)
    if asked.json:
        print(
            json.dumps(
                {
                    "run": str(run.path),
                    "status": run.status,
                    **found.to_json(),
                    "section": section(patient, found).to_json(),
                }
            )
        )
    else:
        say("\n".join(_lines(run, patient, found)))
    return 0


def patient_of(run: Run) -> Subject:
    """A run with its rows, where these can still be had."""
    from mapsto.doctor import Subject
    from mapsto.errors import MapstoError
    from mapsto.steps.prepare import reopen, store_of

    _as_planned(run)
    store, moved = None, ""
    try:
        store = store_of(run, lambda: reopen(run), lambda event: None)
    except (MapstoError, OSError) as problem:
        moved = str(problem)
    return Subject(run, store, moved, run.first_model)


def _as_planned(run: Run) -> None:
    """As many threads as the training found fastest: small nets are slowed down by more."""
    import torch

    from mapsto.files import read_json_lines

    plan = next(
        (
            decision["plan"]
            for decision in read_json_lines(run.path / "decisions.jsonl")
            if "plan" in decision
        ),
        None,
    )
    if plan:
        torch.set_num_threads(max(1, min(torch.get_num_threads(), plan["threads"])))


def _undecided(run: Run, as_json: bool) -> int:
    """A training that ended before its first step: its own error says what is wrong."""
    problem = run.record.get("problem") or "the training ended before anything was decided"
    if as_json:
        print(json.dumps({"run": str(run.path), "status": run.status, "problem": problem}))
    else:
        print(f"{run.path} ({run.status}): nothing was learned\n{textwrap.indent(problem, '  ')}")
    return 0


def _lines(run: Run, patient: Subject, found: Diagnosis) -> list[str]:
    from mapsto.doctor import signs
    from mapsto.files import is_locked
    from mapsto.report.text import aligned

    cut_off = run.status == "running" and not is_locked(run.path)
    many = len([one for one in found.complaints if not one.follows])
    head = f"{many} thing{'s are' if many != 1 else ' is'} wrong" if many else found.headline.rstrip(".")
    status = (
        f"cut off at step {patient.steps:,} or later, go on with: mapsto resume"
        if cut_off
        else f"{run.status}, {patient.steps:,} steps"
    )
    lines = [f"{run.path} ({status}): {head}"]
    if not_better := _not_better(run):
        lines = [
            f"{run.path} ({status}):",
            *_wrapped(not_better, "  "),
            f"  Beside that: {head[:1].lower()}{head[1:]}",
        ]
    number = 0
    for one in found.complaints:
        number += not one.follows
        lines += ["", *_complaint(one, "   from this follows: " if one.follows else f"{number}. ")]
    for one in found.notes:
        lines += ["", *_complaint(one, "note: ")]
    lines += (
        ["", *aligned([table.columns, *table.rows])] if (table := next(iter(signs(patient)), None)) else []
    )
    lines += ["", *_wrapped(f"looked for: {', '.join(found.looked) or 'nothing'}", "")]
    for reason, looks in found.unseen.items():
        lines += _wrapped(f"not looked for: {', '.join(looks)} ({reason})", "")
    return lines


def _not_better(run: Run) -> str:
    """Of a run that a simple baseline beats, that it does: whatever else is wrong, this comes first."""
    from mapsto.report.facts import first_verdict, scores

    found = scores(run) if run.metrics else []
    value, rival = (found[0].value, found[0].rival) if found and found[0].split == "test" else (None, None)
    return (
        ""
        if value is None or rival is None or found[0].better(value, rival[1]["value"])
        else first_verdict(found)
    )


def _complaint(one: Issue, mark: str) -> list[str]:
    indent = " " * (3 if not one.follows else 5)
    said = f"{one.what[:1].upper()}{one.what[1:]}" if not one.follows and not one.note else one.what
    return [
        *_wrapped(f"{mark}{said}", "", indent),
        *([] if one.follows else _wrapped(f"try: {one.advice}", indent, indent + "     ")),
    ]


def _wrapped(text: str, indent: str, rest: str = "  ") -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=rest,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _tell_test(section: Section, as_json: bool) -> None:
    from mapsto.report.text import lines_of

    told: Any = json.dumps(section.to_json()) if as_json else "\n".join(lines_of(section))
    print(told)
