"""Columns that number or name the rows: every value differs, and they count upward, follow the rows' order,
or are names."""

from __future__ import annotations

from mapsto.checks.base import Evidence, Finding, listed, to_drop


def look(evidence: Evidence) -> list[Finding]:
    columns = evidence.id_columns
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
