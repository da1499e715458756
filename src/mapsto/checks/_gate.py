"""The gate that a training passes: what the checks found goes into the run and is said once; a leak stops
it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from mapsto.checks import look
from mapsto.checks.base import Evidence, Finding, to_drop
from mapsto.checks.leakage import ALLOW, LEAKAGE
from mapsto.errors import DataError
from mapsto.events import Emit
from mapsto.files import write_json

MOST = 8  # warnings said; the others are counted


def gate(evidence: Evidence, run: Path, emit: Emit, samples: bool = True) -> None:
    """findings.json in the run's folder, warnings told. DataError when one stops, unless it is allowed.
    samples: may cells be written?"""
    found = look(evidence)
    if not samples:
        found = [dataclasses.replace(finding, examples=()) for finding in found]
    write_json(run / "findings.json", [finding.to_json() for finding in found])
    stops = refusing(found, evidence.reading.allow)
    if stops:
        raise DataError(refusal(stops, [slot.column for slot in evidence.inputs]))
    said = [finding for finding in found if finding.level != "note"]
    for finding in said[:MOST]:
        emit({"event": "finding", **finding.to_json()})
    if len(said) > MOST:
        emit({"event": "said", "text": f"and {len(said) - MOST} more warnings: see findings.json"})


def refusing(found: Sequence[Finding], allow: str | None) -> list[Finding]:
    """The findings that stop a training."""
    return [finding for finding in found if finding.level == "stop" and finding.name != allow]


def refusal(stops: Sequence[Finding], inputs: Sequence[str]) -> str:
    """Three lines: what, what it would do, and both ways out. inputs: the columns left of the arrow, which
    must not all be left out."""
    first = stops[0]
    leaks = [finding for finding in stops if finding.name == first.name == LEAKAGE]
    columns = list(dict.fromkeys(column for finding in leaks for column in finding.columns))
    more = f"; and {len(stops) - 1} more (mapsto check)" if len(stops) > 1 else ""
    ways = first.fix
    if len(leaks) > 1:
        left = set(inputs) - set(columns)
        ways = f"{to_drop(columns) if left else 'other columns left of the arrow'}{ALLOW}"
    return f"{first.what}{more}.\n{_sentence(first.effect)}\nWays out: {ways}."


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
