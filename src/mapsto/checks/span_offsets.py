"""Answers that do not stand where the data says they begin, and stand elsewhere in their text exactly once:
they are taken from there."""

from __future__ import annotations

from mapsto.cells import Annotated
from mapsto.checks.base import EXAMPLES, Evidence, Finding, plural


def look(evidence: Evidence) -> list[Finding]:
    found = []
    signature = evidence.store.signature
    for slot in evidence.outputs:
        column_type = evidence.column_type("output", slot)
        within = column_type.annotates(signature)
        if within is None:
            continue
        texts, answers = (
            evidence.cells(signature.column_of(within)),
            evidence.cells(slot.column),
        )
        if texts is None or answers is None:
            continue
        rows = [
            row
            for row, *pair in zip(evidence.rows.tolist(), answers, texts, strict=True)
            if column_type.misplaced(Annotated(*pair))
        ]
        if rows:
            what = (
                f"'{slot.column}' of {plural(len(rows), 'row')} does not stand at its answer_start, and"
                " elsewhere in its text once"
            )
            effect = "it is taken from where it stands"
            fix = "count answer_start in characters from 0"
            found.append(
                Finding(
                    "moved",
                    "warn",
                    f"{what}{evidence.said_rows}",
                    effect,
                    fix,
                    (slot.column,),
                    len(rows),
                    tuple(rows[:EXAMPLES]),
                )
            )
    return found
