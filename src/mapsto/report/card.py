"""README.md of a run: a model card with the page's facts, and metadata as the Hugging Face Hub reads it.
Nothing is invented: what mapsto does not know (licence, language, intended use) is left out, and the card
says so."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mapsto.blocks import Code, Paragraph, Section, Table
from mapsto.checks.base import Finding
from mapsto.report import decisions, facts, leaderboard
from mapsto.report.markup import clean
from mapsto.report.scales import figure
from mapsto.report.use import reproduce, use
from mapsto.run import Run
from mapsto.terminal.words import short

PIPELINES = frozenset(  # those the Hub has
    {
        "image-classification",
        "audio-classification",
        "text-classification",
        "text-generation",
        "tabular-classification",
        "tabular-regression",
    }
)
WORDS = frozenset(
    {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}
)  # which YAML takes for values
BEGINS = {"- ": "- ", "# ": "### "}  # of lines that are no sentences: in a list, a heading
HUB = {"auc": "roc_auc", "r2": "r_squared"}  # metrics by the Hub's names, where they differ


def card(
    run: Run,
    sections: Sequence[Section],
    findings: Sequence[Finding],
    example: Mapping[str, Any],
    private: bool = True,
) -> str:
    """The card's text: front matter, then markdown. Its commands are typed in the folder that holds the
    run."""
    at, found = Path(run.path.name), facts.scores(run, sections)
    name = run.record["data"]["name"]
    parts = [
        f"# {_plain(name)}",
        f"`{_code(short(run.record.get('signature_text', ''), 400))}`, learned by mapsto.",
        *(
            f"**{_plain(str(score))}** of {_plain(score.slot)} on {score.figures['n']:,} {score.split}"
            f" {score.unit}. {facts.verdict(score)}"
            for score in found
        ),
        *([] if found else [facts.verdict(None)]),
        "The page `report.html` beside this file shows all of it.",
    ]
    parts += (
        _section(replace(leaderboard.metrics(run, sections), headline=""))
        + _section(facts.data(run, private))
        + _gate(findings)
    )
    parts += _section(decisions.decided(run)) + _learned(run)
    parts += _found(sections)
    parts += _limits(run, findings, found)
    parts += (
        _section(use(run, example, private, at)) + _section(reproduce(run, at)) + _section(facts.machine(run))
    )
    return f"---\n{yaml(metadata(run))}---\n\n" + "\n\n".join(filter(None, parts)) + "\n"


def _learned(run: Run) -> list[str]:
    """What the way of learning found out and says of itself: rounds, the privacy spent, a return."""
    if not (found := run.record.get("learned")):
        return []
    lines = [f"- {_plain(name.replace('_', ' '))}: {_plain(str(value))}" for name, value in found.items()]
    return ["## What the way of learning says", "\n".join(lines)]


def metadata(run: Run) -> dict[str, Any]:
    """What the Hub reads. A pipeline only where it has one; licence and language are not known."""
    found, name = facts.scores(run), clean(run.record["data"]["name"])
    pipeline = pipeline_of(run)
    record: dict[str, Any] = {
        "library_name": "mapsto",
        "tags": ["mapsto", run.choice.model, *([pipeline] if pipeline else [])],
    }
    if pipeline:
        record["pipeline_tag"] = pipeline
    split = facts.scored(run)
    if split != "test":
        return record
    record["metrics"] = list(dict.fromkeys(HUB.get(score.metric, score.metric) for score in found))
    results = []
    for slot, metrics in run.metrics[split].items():
        known = [
            {
                "type": HUB.get(metric, metric),
                "name": f"{facts.named(metric)} of {slot}",
                "value": one["value"],
            }
            for metric, one in metrics.items()
            if one["value"] is not None
        ]
        task = {"type": pipeline or "other"}
        results.append(
            {
                "task": task,
                "dataset": {"name": name, "type": re.sub(r"[^\w.-]+", "-", name), "split": split},
                "metrics": known,
            }
        )
    record["model-index"] = [
        {"name": clean(run.path.name), "results": [one for one in results if one["metrics"]]}
    ]
    return record


def pipeline_of(run: Run) -> str | None:
    """The Hub's word for such a map: one kind of input, one kind of answer."""
    inputs = {run.types["input", slot.name].modality for slot in run.signature.inputs}
    tasks = {run.output(slot.name).task for slot in run.signature.outputs}
    inputs = inputs or {run.types["output", slot.name].modality for slot in run.signature.outputs}
    name = f"{next(iter(inputs))}-{next(iter(tasks))}" if len(inputs) == len(tasks) == 1 else ""
    return name if name in PIPELINES else None


def yaml(value: Any, depth: int = 0) -> str:
    """Plain values as YAML: mappings and lists in blocks, texts in double quotes."""
    pad = "  " * depth
    if isinstance(value, Mapping):
        return "".join(f"{pad}{_key(key)}:{_below(inner, depth)}" for key, inner in value.items())
    first = 2 * (depth + 1)  # a mapping begins on the line of its dash
    return "".join(
        (
            f"{pad}- {yaml(inner, depth + 1)[first:]}"
            if isinstance(inner, Mapping) and inner
            else f"{pad}-{_below(inner, depth)}"
        )
        for inner in value
    )


def _below(value: Any, depth: int) -> str:
    if isinstance(value, (Mapping, list)):
        return f"\n{yaml(value, depth + 1)}" if value else " {}\n" if isinstance(value, Mapping) else " []\n"
    return f" {_scalar(value)}\n"


def _key(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z_][\w-]*", text) and text.lower() not in WORDS else _scalar(text)


def _scalar(value: Any) -> str:
    """A number as it is, anything else in double quotes; letters that cannot be seen are escaped."""
    if isinstance(value, (int, float)):
        return re.sub(r"^(-?\d+)e", r"\1.0e", json.dumps(value))  # YAML 1.1 reads 5e-7 as a text
    shown = clean(value).replace("\\", "\\\\").replace('"', '\\"')
    return (
        '"' + "".join(letter if letter.isprintable() else f"\\U{ord(letter):08x}" for letter in shown) + '"'
    )


# --- markdown -------------------------------------------------------------------------------------


def _plain(text: Any) -> str:
    """Text out of the data, so that markdown and html see letters and nothing else."""
    return re.sub(r"([\\*_\[\]|#~`])", r"\\\1", html.escape(clean(text), quote=False)).replace("\n", " ")


def _code(text: str) -> str:
    return clean(text).replace("`", "'").replace("\n", " ")


def _section(section: Section) -> list[str]:
    """Title, answer, and what of it is text; figures are the page's."""
    parts = [f"## {section.title}", _plain(section.headline)]
    for block in section.blocks:
        if isinstance(block, Paragraph):
            parts.append(
                "\n".join(
                    f"{BEGINS[line[:2]]}{_said(line[2:])}" if line[:2] in BEGINS else _said(line)
                    for line in block.text.split("\n")
                )
            )
        elif isinstance(block, Code):
            fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", block.text)), default=0))
            parts.append(f"{fence}{block.language}\n{clean(block.text)}\n{fence}")
        elif isinstance(block, Table):
            parts.append(_table(block))
    return parts


def _said(line: str) -> str:
    """A sentence, its `names` left as code."""
    return "".join(
        f"`{_code(part)}`" if i % 2 else _plain(part) for i, part in enumerate(re.split(r"`([^`\n]+)`", line))
    )


def _table(block: Table, most: int = 60) -> str:
    rows = [
        [
            _plain("" if cell is None else figure(cell) if isinstance(cell, (int, float)) else cell)[:300]
            for cell in row
        ]
        for row in block.rows[:most]
    ]
    more = f"\n\n… and {len(block.rows) - most:,} more." if len(block.rows) > most else ""
    head = ["| " + " | ".join(map(_plain, block.columns)) + " |", "|" + " --- |" * len(block.columns)]
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in rows)]) + more


def _gate(findings: Sequence[Finding]) -> list[str]:
    """What the data gate found, without its examples."""
    told = [
        f"- **{_plain(one.name)}**: {_said(one.what)} {_said(one.effect)}"
        for one in findings
        if one.level != "note"
    ]
    return ["### What the data gate found", "\n".join(told)] if told else []


def _found(sections: Sequence[Section]) -> list[str]:
    """Every question with its answer."""
    told = [
        f"- **{_plain(section.title)}** {_said(section.headline)}"
        for section in sections
        if section.headline and section.name != facts.PAIRED  # its verdict stands on top
    ]
    return ["## What was found", "\n".join(told)] if told else []


def _limits(run: Run, findings: Sequence[Finding], found: Sequence[facts.Score]) -> list[str]:
    """What the figures do not say."""
    rows = run.record.get("rows", {})
    name, tested = _plain(run.record["data"]["name"]), sum(score.figures["n"] for score in found[:1])
    chance = "the intervals tell how far chance alone can move them, not what else may differ"
    told = [
        (
            f"It learned from {rows.get('train', 0):,} rows of {name} and nothing else; on rows from another"
            " place or time expect less."
        ),
        (
            f"Its figures are of {tested:,} {facts.scored(run)} rows of the same data: {chance}."
            if tested
            else "It was not tested: no row was held back."
        ),
        (
            "Which columns may be used, who may be harmed by a wrong answer, the licence of the data and the"
            " intended use are not known to mapsto: whoever publishes this model should say so here."
        ),
    ]
    if any(one.level == "stop" for one in findings):
        told.insert(0, "The data gate found a fault that makes the figures doubtful; see above.")
    return ["## Limits", "\n".join(f"- {line}" for line in told)]
