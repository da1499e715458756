"""Columns of numbers that are none as they are written: ranges, pairs, several units. Each cell is a name of
its own then."""

from __future__ import annotations

import re

from mapsto.checks.base import Evidence, Finding, listed
from mapsto.data.unused import is_named_like_an_id

SHARE = 0.9  # of the different cells that must look so
FEW = 20  # different cells that may well be names of their own: 18-25, 26-35, …
LONGEST = 6  # characters around the numbers of a cell
_CODE = re.compile(r"[A-Za-z]+[-./ ]?\d")  # a letter before the first number: C85, E46 are codes
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def look(evidence: Evidence) -> list[Finding]:
    ordered = {fact.column for fact in evidence.as_columns if fact.ordered}
    columns = dict.fromkeys(slot.column for slot in (*evidence.inputs, *evidence.outputs))
    return [
        finding
        for column in columns
        if column not in ordered and not is_named_like_an_id(column)
        if (finding := _finding(column, _texts(evidence, column))) is not None
    ]


def _texts(evidence: Evidence, column: str) -> list[str]:
    """The different texts of a column's sample, in order."""
    return list(dict.fromkeys(cell.strip() for cell in evidence.scan.sample[column] if isinstance(cell, str)))


def _finding(column: str, texts: list[str]) -> Finding | None:
    some = [text for text in texts if _is_numeric(text)]
    if len(texts) <= FEW or len(some) < SHARE * len(texts):
        return None
    return Finding(
        "written",
        "warn",
        f"'{column}' holds numbers with something around them ({listed(some[:3])}): each is read as a name of"
        " its own",
        "which is larger, and by how much, is lost",
        "write one number a cell: a column for each of a pair or a range, one unit for all",
        (column,),
        len(some),
    )


def _is_numeric(text: str) -> bool:
    """Is a text little but numbers, and more than one?"""
    if _CODE.match(text):
        return False
    around = _NUMBER.sub("", text)
    return around != text and 0 < len(around.strip()) <= LONGEST and "_" not in around
