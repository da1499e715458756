"""The data gate: every file of this folder is asked what is wrong with the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mapsto.cells import shorten
from mapsto.checks.base import EXAMPLES, LEVELS, Evidence, Finding
from mapsto.registry import module, names

SECONDS, CHECK_SECONDS = (
    20.0,
    300.0,
)  # that checks share: before a training, and where nothing else is asked for


def look(evidence: Evidence, seconds: float = SECONDS) -> list[Finding]:
    """What every check found, the gravest first, with names and cells of the example rows; and which was cut
    short. seconds: that they share."""
    found: list[Finding] = []
    clock = evidence.clock
    clock.seconds = seconds
    for name in names("checks"):
        begun = clock.begin()
        found += module("checks", name).look(evidence)
        taken = clock.end(begun)
        if clock.cut:
            found.append(_cut_short(name, clock.cut, taken))
    found.sort(key=lambda finding: LEVELS.index(finding.level))
    return _with_examples(found, evidence)


def _cut_short(name: str, cut: Sequence[str], taken: float) -> Finding:
    return Finding(
        "cut-short",
        "warn",
        f"the check '{name}' looked at {' and '.join(cut)} in its {taken:.0f} seconds",
        "what is wrong with the others was not looked for",
        f"mapsto check, which takes up to {CHECK_SECONDS:.0f} seconds",
        count=len(cut),
    )


def _with_examples(found: list[Finding], evidence: Evidence) -> list[Finding]:
    """Names of the rows and the cells concerned: one pass over the source, no further than the last of
    them."""
    wanted = {row for finding in found for row in finding.rows[:EXAMPLES]}
    cells: dict[int, tuple[str, dict[str, Any]]] = {}
    first = 0
    for chunk in evidence.source.chunks() if wanted else ():
        for row in wanted.intersection(range(first, first + len(chunk))):
            cells[row] = (
                chunk.where[row - first],
                {name: column[row - first] for name, column in chunk.columns.items()},
            )
        first += len(chunk)
        if len(cells) == len(wanted):
            break
    return [_with_example(finding, cells, evidence) for finding in found]


def _with_example(
    finding: Finding, cells: Mapping[int, tuple[str, dict[str, Any]]], evidence: Evidence
) -> Finding:
    """The finding with the names of its first rows and their cells, where it does not say them itself. cells:
    of a row its name and its cells."""
    rows = finding.rows[:EXAMPLES]
    known = [cells[row] for row in rows if row in cells]
    where = tuple(name for name, _ in known)
    examples = tuple(_shown(row, finding, evidence) for _, row in known)
    return replace(finding, rows=rows, where=finding.where or where, examples=finding.examples or examples)


def _shown(cells: Mapping[str, Any], finding: Finding, evidence: Evidence) -> str:
    """A row's cells in the columns concerned and the targets, on one line."""
    columns = [*finding.columns, *(slot.column for slot in evidence.outputs)]
    columns = columns if finding.columns else [*(slot.column for slot in evidence.inputs[:4]), *columns]
    return ", ".join(f"{name}={shorten(cells[name])}" for name in dict.fromkeys(columns) if name in cells)
