"""Rows and cells that cannot be read or are not there."""

from __future__ import annotations

from collections import Counter

import numpy as np

from mapsto.checks.base import Evidence, Fact, Finding, listed, plural, to_drop

HEAVY, SOME = 0.9, 0.2  # shares of missing cells in a column: too few left to learn from; worth knowing
BAD = 0.005  # share of unreadable rows worth a warning


def look(evidence: Evidence) -> list[Finding]:
    return [*_unreadable(evidence), *_unlabelled(evidence), *_cells(evidence), *_left_out(evidence)]


def _unreadable(evidence: Evidence) -> list[Finding]:
    """Rows that go to quarantine: broken lines, and cells of the wrong kind."""
    store, total = evidence.store, evidence.store.n + len(evidence.store.bad)
    rows = {problem["row"] for problem in store.problems}
    count = len(store.bad) + len(rows)
    if not count:
        return []
    first = [*store.bad, *store.problems][:5]
    columns = Counter(problem["column"] for problem in store.problems)
    why = " ".join(str(first[0]["why"]).split())[:120]
    return [
        Finding(
            "unreadable",
            "warn" if count > BAD * total else "note",
            f"{plural(count, 'row')} of {total:,} cannot be read; the first: {first[0]['where']}: {why}",
            "they neither teach nor test",
            "mend them, or let them go: mapsto check DATA --fix OUT",
            tuple(columns),
            count,
            where=tuple(str(row["where"]) for row in first),
            examples=tuple(" ".join(str(row["why"]).split())[:120] for row in first),
        )
    ]


def _unlabelled(evidence: Evidence) -> list[Finding]:
    found = []
    used = int((evidence.split_of >= 0).sum())
    for slot in evidence.outputs:
        if count := evidence.store.unlabelled(slot.name):
            what = f"'{slot.column}' is missing in {plural(count, 'row')} of {used:,} (an empty cell, NA, ?, …)"
            found.append(Finding("unlabelled", "warn", what, "they neither teach nor test it", "fill them, or leave it so", (slot.column,), count))
    return found


def _cells(evidence: Evidence) -> list[Finding]:
    """Inputs with many cells missing."""
    found = []
    for level, low, high in (("warn", HEAVY, 1.0), ("note", SOME, HEAVY)):
        facts = [fact for fact in evidence.given if fact.part in ("", "moment") and low <= 1 - fact.known.mean() < high]
        if facts:
            columns = [fact.column for fact in facts]
            worst = max(1 - fact.known.mean() for fact in facts)
            what = f"{listed(columns)}: up to {worst:.0%} of the cells are missing{evidence.said_rows}"
            effect = "little is left to learn from" if level == "warn" else "missing is learned as a value of its own"
            rows = _rows(evidence, facts[0])
            found.append(Finding("missing", level, what, effect, to_drop(columns), tuple(columns), sum(int((~f.known).sum()) for f in facts), rows))
    return found


def _rows(evidence: Evidence, fact: Fact) -> tuple[int, ...]:
    return tuple(evidence.rows[np.flatnonzero(~fact.known)[:5]].tolist())


def _left_out(evidence: Evidence) -> list[Finding]:
    """Columns that are not learned from, as was said when types were found."""
    return [Finding("left out", "note", text, "it is not learned from", "name it in the signature to use it") for text in evidence.left_out]
