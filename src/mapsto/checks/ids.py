"""Columns that number or name the rows: every value differs, and they count upward, follow the rows' order,
or are names."""

from __future__ import annotations

import re

import numpy as np

from mapsto.checks.base import Evidence, Fact, Finding, listed, to_drop
from mapsto.signature import Slot

LEAST = 20  # rows
SHORT = 40  # characters of an id in the mean, at most
ALL = 0.999  # share of rows that must differ: a few rows may stand twice
NAME = re.compile(
    r"(^|[^a-z])(id|ids|uid|uuid|guid|key|index|idx|no|nr|rowid|row|serial|record)([^a-z]|$)", re.IGNORECASE
)
TIME = re.compile(r"year|month|week|day|date|hour|time|age", re.IGNORECASE)  # these count something
CAMEL = re.compile(r"[a-z](Id|ID|Key|Index|No|Nr)$")  # PassengerId


def look(evidence: Evidence) -> list[Finding]:
    columns = found(evidence)
    if not columns:
        return []
    told = (
        "differ in every row and only number" if len(columns) > 1 else "differs in every row and only numbers"
    )
    return [
        Finding(
            "id",
            "warn",
            f"{listed(columns)} {told} them{evidence.said_rows}",
            "the net may learn single rows by their number, which says nothing of new ones",
            to_drop(columns),
            tuple(columns),
            len(columns),
        )
    ]


def found(evidence: Evidence) -> list[str]:
    """Columns of ids; never the one rows are divided by in time, nor the only input."""
    if len(evidence.inputs) < 2:
        return []
    asked = [fact for fact in evidence.given if not fact.part and fact.column != evidence.reading.time]
    named = [slot for slot in evidence.inputs if NAME.search(slot.column) or CAMEL.search(slot.column)]
    return [fact.column for fact in asked if _numbers_rows(fact, evidence)] + [
        slot.column for slot in named if _names_rows(slot, evidence)
    ]


def _names_rows(slot: Slot, evidence: Evidence) -> bool:
    """Are the texts of a column called an id short, and all different?"""
    cells = evidence.texts(slot)
    distinct = evidence.distinct_rows.tolist()
    if cells is None or len(distinct) < LEAST:
        return False
    texts = {str(cells[i]) for i in distinct}
    return len(texts) >= ALL * len(distinct) and sum(map(len, texts)) <= SHORT * len(texts)


def _numbers_rows(fact: Fact, evidence: Evidence) -> bool:
    """Are all values different, and whole numbers that would have met were they drawn by chance, that follow
    the rows' order or are named like an id; or equal steps; or names?"""
    distinct = evidence.distinct_rows
    if len(distinct) < LEAST or not fact.known.all():
        return False
    if not fact.ordered:
        cells = evidence.cells(fact.column)
        return cells is not None and len({str(cells[i]) for i in distinct.tolist()}) >= ALL * len(distinct)
    values = fact.values[distinct]
    if len(np.unique(values)) < ALL * len(values):
        return False
    steps = np.diff(values) / np.diff(evidence.rows[distinct])
    if (values != np.rint(values)).any():
        return bool(steps[0]) and np.allclose(steps, steps[0], rtol=1e-6)
    if TIME.search(fact.column):
        return False
    drawn_apart = (
        np.ptp(values) < len(values) ** 2 / 20
    )  # as many numbers drawn from that range would meet ten times
    in_order = bool((steps > 0).all() or (steps < 0).all())
    return bool(drawn_apart or in_order or NAME.search(fact.column) or CAMEL.search(fact.column))
