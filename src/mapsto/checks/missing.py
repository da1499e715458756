"""Rows and cells that cannot be read or are not there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from mapsto.batch import Ragged
from mapsto.cells import is_missing
from mapsto.checks.base import EXAMPLES, PIECE, Evidence, Finding, listed, plural, to_drop
from mapsto.signature import Slot

HEAVY, SOME = 0.9, 0.2  # shares of missing cells in a column: too few left to learn from; worth knowing
BAD = 0.005  # share of unreadable rows worth a warning


def look(evidence: Evidence) -> list[Finding]:
    return [
        *_unreadable(evidence),
        *_unlabelled(evidence),
        *_ungiven(evidence),
        *_cells(evidence),
        *_left_out(evidence),
    ]


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
    """Outputs of which some rows in use hold nothing: of every type, asked of the encoded cells."""
    found = []
    used = np.flatnonzero(evidence.split_of >= 0)
    for slot in evidence.outputs:
        rows = _unknown(evidence, slot, used)
        if count := len(rows):
            what = (
                f"'{slot.column}' is missing in {plural(count, 'row')} of {len(used):,} (an empty cell, NA,"
                " ?, …)"
            )
            effect, fix, some = (
                "they neither teach nor test it",
                "fill them, or leave it so",
                tuple(rows[:EXAMPLES].tolist()),
            )
            found.append(Finding("unlabelled", "warn", what, effect, fix, (slot.column,), count, some))
    return found


def _unknown(evidence: Evidence, slot: Slot, used: np.ndarray) -> np.ndarray:
    """Those of the rows for which nothing is known of an output, ascending."""
    column_type, spot, found = evidence.column_type("output", slot), ("output", slot.name), []
    for low in range(0, len(used), PIECE):
        rows = used[low : low + PIECE]
        cells = evidence.store.raw(rows, {spot})[spot]
        known = column_type.present(cells).reshape(len(rows), -1).any(1).cpu().numpy()
        if isinstance(cells, Ragged) and column_type.layout.paces:  # no boxes are an answer, no words none
            known &= cells.lengths.numpy() > 0
        found.append(rows[~known])
    return np.concatenate(found) if found else used


def _ungiven(evidence: Evidence) -> list[Finding]:
    """Rows of which no input holds anything: an answer to nothing."""
    shares = dict(_shares(evidence))
    if not evidence.inputs or {slot.column for slot in evidence.inputs} != set(shares):
        return []
    empty = np.flatnonzero(np.logical_and.reduce(list(shares.values())))
    if not len(empty):
        return []
    columns = tuple(shares)
    what = (
        f"{plural(len(empty), 'row')} of {len(evidence.rows):,} hold{'s' * (len(empty) == 1)} nothing in"
        f" {listed(columns)}"
    )
    rows = tuple(evidence.rows[empty[:EXAMPLES]].tolist())
    effect, fix = "an answer to nothing is learned", "mend them, or leave them out"
    return [
        Finding(
            "nothing given", "warn", f"{what}{evidence.said_rows}", effect, fix, columns, len(empty), rows
        )
    ]


def _cells(evidence: Evidence) -> list[Finding]:
    """Inputs with many cells missing."""
    found = []
    shares = list(_shares(evidence))
    for level, low, high in (("warn", HEAVY, 1.0), ("note", SOME, HEAVY)):
        those = [(column, missing) for column, missing in shares if low <= missing.mean() < high]
        if those:
            columns = [column for column, _ in those]
            worst = max(missing.mean() for _, missing in those)
            what = (
                f"{listed(columns)}: {'up to ' if len(those) > 1 else ''}{worst:.0%} of the cells are"
                f" missing{evidence.said_rows}"
            )
            effect = (
                "little is left to learn from"
                if level == "warn"
                else "missing is learned as a value of its own"
            )
            rows = tuple(evidence.rows[np.flatnonzero(those[0][1])[:5]].tolist())
            count = sum(int(missing.sum()) for _, missing in those)
            found.append(
                Finding("missing", level, what, effect, to_drop(columns), tuple(columns), count, rows)
            )
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
        if not text.startswith("left out"):
            continue
        column = text[text.find("'") + 1 : text.rfind("'")] if "'" in text else ""
        name = "id" if "differs in nearly every row" in text else "left out"
        found.append(
            Finding(
                name,
                "note",
                text,
                "it is not learned from",
                f"nothing to do; {to_drop([column])} says so",
                (column,),
                1,
            )
        )
    return found
