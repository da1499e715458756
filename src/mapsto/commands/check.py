"""mapsto check: what is wrong with data, before anything is learned from it."""

from __future__ import annotations

import argparse
import dataclasses
import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mapsto.commands.base import data_and_signature, flags, settings, takes_words
from mapsto.config import Reading, settings_of
from mapsto.events import Emit
from mapsto.terminal.words import say

if TYPE_CHECKING:
    from mapsto.checks.base import Finding

HELP = "what is wrong with data, before anything is learned from it; exit code 1: a training would stop"
WIDTH = 110  # characters of a line
COMMON = flags("fix target drop keep test group time allow json")
EXAMPLES = (
    ("mapsto check photos/", "a folder of pictures for each class"),
    ('mapsto check houses.csv "* -> price:number"', "a table"),
    ('mapsto check houses.csv "* -> price:number" --fix clean', "and a cleaned copy of it"),
)


def arguments(command: argparse.ArgumentParser) -> None:
    takes_words(command)
    command.add_argument(
        "--fix", metavar="OUT", help="write a cleaned copy into this new folder, with a log of every change"
    )
    settings(command, Reading)


def do(asked: argparse.Namespace, emit: Emit) -> int:
    from mapsto.checks import CHECK_SECONDS, look
    from mapsto.checks._clean import clean, refuse_to_overwrite
    from mapsto.checks._gate import refusing
    from mapsto.data.open import open_source
    from mapsto.data.resolve import as_asked
    from mapsto.steps.rows import make_ready

    data, signature = data_and_signature(asked.words)
    given = settings_of(
        {
            spot.name: value
            for spot in dataclasses.fields(Reading)
            if (value := getattr(asked, spot.name)) is not None
        }
    )
    if asked.fix:
        refuse_to_overwrite(Path(asked.fix))
    source = open_source(data, given.reading)
    lenient = dataclasses.replace(
        given, reading=dataclasses.replace(given.reading, max_bad=1.0)
    )  # bad rows are findings here, not errors
    evidence = make_ready(as_asked(signature, source), signature, lenient, emit).evidence
    found = look(evidence, CHECK_SECONDS)
    told = {
        "event": "checked",
        "data": source.name,
        "signature": str(evidence.store.signature),
        "rows": evidence.store.n,
        **_counts(found),
    }
    _tell(found, told, asked.json)
    if asked.fix:
        changes = clean(evidence, Path(asked.fix))
        _tell_fix(Path(asked.fix), len(changes), asked.json)
    return 1 if refusing(found, given.reading.allow) else 0


def _counts(found: Sequence[Finding]) -> dict[str, int]:
    return {level: sum(finding.level == level for finding in found) for level in ("stop", "warn", "note")}


def _tell(found: Sequence[Finding], told: dict[str, Any], as_json: bool) -> None:
    """Findings, the gravest first; the count of each kind."""
    if as_json:
        for finding in found:
            print(json.dumps({"event": "finding", **finding.to_json()}, ensure_ascii=False))
        print(json.dumps(told, ensure_ascii=False))
        return
    from mapsto.terminal.words import short

    say(f"{told['data']}: {told['rows']:,} rows, {short(told['signature'])}")
    for finding in found:
        say("\n".join(_lines(finding)))
    names = (
        ("stop", "stops a training", "stop a training"),
        ("warn", "warning", "warnings"),
        ("note", "note", "notes"),
    )
    parts = [
        f"{told[level]} {one if told[level] == 1 else many}" for level, one, many in names if told[level]
    ]
    print(", ".join(parts) if parts else "nothing found")


def _lines(finding: Finding) -> list[str]:
    head = {"stop": "STOP", "warn": "warning", "note": "note"}[finding.level]
    lines = ["", *_wrapped(f"{head}: {finding.what}", "")]
    lines += _wrapped(finding.effect, "  ") if finding.effect else []
    lines += _wrapped(f"fix: {finding.fix}", "  ") if finding.fix else []
    examples = finding.examples or [""] * len(finding.where)
    lines += [
        f"  {place}{': ' if cells else ''}{cells}"[:WIDTH]
        for place, cells in list(zip(finding.where, examples, strict=False))[:3]
    ]
    return lines


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_on_hyphens=False,
        break_long_words=False,
    )


def _tell_fix(out: Path, count: int, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"event": "cleaned", "out": str(out), "changes": count}))
    else:
        print(
            f"\n{out}: a cleaned copy, {count:,} change{'s' * (count != 1)} (listed in {out / 'changes.csv'})"
        )
