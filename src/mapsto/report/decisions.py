"""What was asked of a training, and what was decided, as sections and as the command that asks it again."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from mapsto.blocks import Block, Code, Paragraph, Section, Table
from mapsto.config import GROUPS, PLAIN, Reading
from mapsto.files import read_json_lines
from mapsto.report.facts import named
from mapsto.report.learning import held_out
from mapsto.run import Run
from mapsto.signature import format_call
from mapsto.terminal.words import short


def asked(run: Run) -> Section:
    """What was asked, as the command that asks it again."""
    data = run.record["data"]
    rows = [
        ("data", data["name"]),
        ("where it lay", ", ".join(data["locations"]) or "in memory"),
        ("fingerprint", data["fingerprint"]),
        ("asked for", _wanted(run)),
        ("understood as", signature(run, 600)),
        ("begun", run.record.get("created", "").replace("T", " ")),
    ]
    headline = f"Learn {signature(run, 200)} from {data['name']}."
    return Section(
        "asked",
        "What was asked",
        headline,
        (Code(command(run, run.path.absolute())), Table(("", ""), tuple(rows))),
    )


def _wanted(run: Run) -> str:
    """What was to be learned, as it was asked: a signature, a column, or nothing."""
    target = run.settings.reading.target
    said = (run.record.get("asked") or "").strip() or (f"--target {target}" if target else "")
    return said or "whatever the data suggests"


def signature(run: Run, most: int) -> str:
    """What maps to what, as people write it."""
    return short(run.record.get("signature_text", ""), most).replace("->", "→")


def command(run: Run, at: Path) -> str:
    """The command line that asks for this training; Python where the data lay in memory. at: how the run's
    folder is called."""
    locations, signature = run.record["data"]["locations"], (run.record.get("asked") or "").strip()
    options = wishes(run) | _placed(run, at)
    if not locations:
        given = "".join(f", {name}={value!r}" for name, value in options.items())
        return (
            "python -c 'import mapsto;"
            f" mapsto.train(rows{', ' + repr(signature) if signature else ''}{given})'  # rows: from memory"
        )
    words = ["mapsto", "train", *locations, *([signature] if signature else [])]
    return shlex.join([*words, *_typed(options)])


def on_the_same_data(run: Run, name: str, *words: str) -> list[str]:
    """A command on the same data, read in the same way; none where it lay in memory."""
    locations, signature = run.record["data"]["locations"], (run.record.get("asked") or "").strip()
    reading = {spot.name for spot in fields(Reading)}
    options = {option: value for option, value in wishes(run).items() if option in reading}
    typed = ["mapsto", name, *locations, *([signature] if signature else []), *_typed(options), *words]
    return [shlex.join(typed)] if locations else []


def _typed(options: Mapping[str, Any]) -> list[str]:
    """Options as they are typed."""
    words: list[str] = []
    for name, value in options.items():
        flag = f"--{ {'start': 'from'}.get(name, name).replace('_', '-') }"
        words += [flag] if value is True else [flag, str(value)]
    return words


def _placed(run: Run, at: Path) -> dict[str, str]:
    """Where the run lies and how it is called, where that is not the default: {"out", "name"}."""
    found = {} if at.parent.name == "runs" else {"out": str(at.parent)}
    dated = re.fullmatch(r"\d{4}-\d\d-\d\d-(.+)", at.name)
    usual = re.sub(r"[^\w.-]+", "-", run.record["data"]["name"]).strip("-.")[:40]  # as `Run.create` has it
    if dated and not re.fullmatch(rf"{re.escape(usual)}(-\d+)?", dated[1]):
        found["name"] = dated[1]
    return found


def wishes(run: Run) -> dict[str, Any]:
    """What was asked for beyond the defaults, by option."""
    settings = run.settings
    found = {name: getattr(settings, name) for name in PLAIN if getattr(settings, name) is not None}
    for group in GROUPS:
        held = next(value for value in vars(settings).values() if isinstance(value, group))
        found |= {
            spot.name: getattr(held, spot.name)
            for spot in fields(group)
            if getattr(held, spot.name) != spot.default
        }
    return found


def decided(run: Run) -> Section:
    """Every choice with its reason; what was said; what clock, memory or a person decided on the way."""
    choice, wanted = run.choice, wishes(run)
    training, budget = choice.training, choice.budget
    why = "; ".join(choice.reasons)
    rate = (
        f"{training.optimizer}, peak rate {training.lr:g}, {training.schedule},"
        f" {100 * (training.warmup or 0):.2g}% warm-up"
    )
    best = (
        f"{named(choice.best[1])} of {choice.best[0]} on {held_out(run)}"
        if choice.best
        else "the last weights"
    )
    rows = [
        ("model", format_call(choice.model, choice.model_options), _by("model", wanted, why)),
        ("way of learning", format_call(choice.learner, choice.learner_options), _by("learner", wanted)),
        (
            "optimizer",
            f"{rate}, weight decay {training.weight_decay:g}",
            _by("optimizer lr schedule warmup weight_decay", wanted),
        ),
        ("rows a step", f"{training.batch:,}", _by("batch", wanted)),
        ("how long", _budget(budget), _by("minutes steps epochs until patience", wanted)),
        ("which weights are best", best, _by("metric", wanted)),
        ("seed", str(training.seed), _by("seed", wanted, "the default")),
        ("arithmetic", run.record.get("plan", ""), "measured on this machine"),
    ]
    blocks: list[Block] = [Table(("what", "decided", "by"), tuple(rows))]
    if said := run.record.get("said", []):
        blocks.append(
            Paragraph("\n".join(["# What was noticed on the way", *(f"- {sentence}" for sentence in said)]))
        )
    if taken := _taken(run):
        blocks.append(
            Table(
                ("step", "decision"),
                tuple(taken),
                caption="What clock, memory or a person decided while it learned.",
            )
        )
    return Section(
        "decided",
        "What was decided, and why",
        f"{choice.model[:1].upper()}{choice.model[1:]}: {why}.",
        tuple(blocks),
    )


def _by(names: str, wanted: Mapping[str, Any], otherwise: str = "the recipe") -> str:
    given = [f"--{name.replace('_', '-')}" for name in names.split() if name in wanted]
    return f"asked for: {', '.join(given)}" if given else otherwise


def _budget(budget: Any) -> str:
    parts = [
        f"{budget.minutes:g} minutes" if budget.minutes else "",
        f"{budget.steps:,} steps" if budget.steps else "",
    ]
    parts += [
        f"at most {budget.epochs:.3g} passes over the rows" if budget.epochs else "",
        f"until {budget.until}" if budget.until else "",
    ]
    parts += [
        f"early stopping after {budget.patience:.0%} of it without a better metric" if budget.patience else ""
    ]
    return ", ".join(filter(None, parts))


def _taken(run: Run) -> list[tuple[int, str]]:
    """decisions.jsonl in words; the plan has a line of its own above."""
    found = []
    for one in read_json_lines(run.path / "decisions.jsonl"):
        parts = [
            f"end at step {one['total']:,}" if "total" in one else "",
            f"evaluate every {one['every']:,} steps" if "every" in one else "",
        ]
        parts += [
            f"rate × {one['rate']:g}" if "rate" in one else "",
            f"{one['micro_batch']:,} rows at once" if "micro_batch" in one else "",
            f"threads: {one['threads']}" if "threads" in one else "",
        ]
        parts += [f"stop: {one['stop']}" if "stop" in one else "", str(one.get("why", ""))]
        if text := ", ".join(filter(None, parts)):
            found.append((one["step"], text))
    return found if len(found) <= 40 else [*found[:20], *found[-20:]]
