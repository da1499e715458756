"""Columns that say the same in every row: nothing can be learned from them."""

from __future__ import annotations

from mapsto.checks.base import Evidence, Finding, listed, to_drop


def look(evidence: Evidence) -> list[Finding]:
    columns = evidence.constant_columns
    if not columns:
        return []
    return [
        Finding(
            "constant",
            "warn",
            f"{listed(columns)} {'says' if len(columns) == 1 else 'say'} the same in every"
            f" row{evidence.said_rows}",
            "nothing can be learned from it",
            to_drop(columns),
            tuple(columns),
            len(columns),
        )
    ]
