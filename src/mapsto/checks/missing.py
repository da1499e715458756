"""Rows and cells that cannot be read or are not there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from mapsto.cells import is_missing
from mapsto.checks.base import Evidence, Finding, listed, plural, to_drop

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
    shares = list(_shares(evidence))
    for level, low, high in (("warn", HEAVY, 1.0), ("note", SOME, HEAVY)):
        those = [(column, missing) for column, missing in shares if low <= missing.mean() < high]
        if those:
            columns = [column for column, _ in those]
            worst = max(missing.mean() for _, missing in those)
            what = f"{listed(columns)}: {'up to ' if len(those) > 1 else ''}{worst:.0%} of the cells are missing{evidence.said_rows}"
            effect = "little is left to learn from" if level == "warn" else "missing is learned as a value of its own"
            rows = tuple(evidence.rows[np.flatnonzero(those[0][1])[:5]].tolist())
            count = sum(int(missing.sum()) for _, missing in those)
            found.append(Finding("missing", level, what, effect, to_drop(columns), tuple(columns), count, rows))
    return found


def _shares(evidence: Evidence) -> Iterator[tuple[str, np.ndarray]]:
    """(column, (m,) bool: is the cell missing) of every input that can be asked."""
    for fact in evidence.given:
        if fact.part in ("", "moment"):
            yield fact.column, ~fact.known
    for slot in evidence.inputs:
        if (cells := evidence.texts(slot)) is not None:
            yield slot.column, np.array([is_missing(cell) for cell in cells])


def _left_out(evidence: Evidence) -> list[Finding]:
    """Columns that are not learned from, as was said when types were found: names and ids, and empty ones."""
    found = []
    for text in evidence.left_out:
        column = text[text.find("'") + 1 : text.rfind("'")] if "'" in text else ""
        name = "id" if "differs in nearly every row" in text else "left out"
        found.append(Finding(name, "note", text, "it is not learned from", f"nothing to do; {to_drop([column])} says so", (column,), 1))
    return found
