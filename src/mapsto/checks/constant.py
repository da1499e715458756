"""Columns that say the same in every row: nothing can be learned from them."""

from __future__ import annotations

from mapsto.checks.base import Evidence, Fact, Finding, listed, to_drop

LEAST = 20  # rows below which one value says little


def look(evidence: Evidence) -> list[Finding]:
    columns = found(evidence)
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


def found(evidence: Evidence) -> list[str]:
    """Input columns that hold one value, or nothing, in every row."""
    if len(evidence.rows) < LEAST:
        return []
    columns = [fact.column for fact in evidence.given if fact.part in ("", "moment") and _same(fact)]
    texts = [(slot.column, cells) for slot in evidence.inputs if (cells := evidence.texts(slot)) is not None]
    return columns + [column for column, cells in texts if all(cell == cells[0] for cell in cells)]


def _same(fact: Fact) -> bool:
    if not fact.known.any():
        return True
    return bool(fact.known.all()) and bool((fact.values == fact.values[0]).all()) and fact.values[0] != -2
