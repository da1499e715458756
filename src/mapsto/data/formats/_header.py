"""Does the first line of a table name its columns? Judged by what stands below it."""

from __future__ import annotations

import itertools
import re
import statistics
from collections import Counter
from collections.abc import Sequence

from mapsto.cells import is_missing

LEAST = 10  # rows below which nothing recurs
RECURS = 0.5  # of its rows: a column has at most so many different cells where they recur
AGAIN = 0.02  # of the rows: as often a header may stand again, where files were joined
CHANCE = 0.05  # that a row of data looks like a header
_NUMBER = re.compile(r"\s*[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?\s*%?\s*")
_DATE = re.compile(r"\s*\d[\d\-/:. TZ+]*")


def is_header(row: list[str], body: list[list[str]], known: Sequence[str], asked: Sequence[str]) -> bool:
    """Does the first row name the columns? known: names that another file of the table gave; asked: what a
    person has named."""
    if set(asked) & {" ".join(cell.split()) for cell in row}:
        return True
    if known and len({cell.strip() for cell in row} & set(known)) >= max(1, min(len(row), len(known)) // 2):
        return True
    if _consecutive(row):
        return not body or not _consecutive(body[0])
    votes = 0
    for index, cell in enumerate(row):
        column = [other[index] for other in body if index < len(other) and not is_missing(other[index])]
        if column and not is_missing(cell) and sum(_typed(value) for value in column) >= 0.9 * len(column):
            votes += -1 if _typed(cell) else 1
    if votes:
        return votes > 0
    if len(known) == len(row):
        return False
    if _stands_apart(row, body):
        return True
    cells = [cell.strip() for cell in row if cell.strip()]
    if not cells or len(set(cells)) < len(cells) or any(is_number(cell) for cell in cells):
        return False
    if any(
        len(cell) > 60 or cell[-1] in ".!?" or "\n" in cell or not (cell[0].isalpha() or cell[0] in "_#")
        for cell in cells
    ):
        return False
    if body and all(
        _reads_like(cell, [other[index] for other in body if index < len(other)])
        for index, cell in enumerate(row)
    ):
        return False
    return not any(
        cell.strip().lower() == other[index].strip().lower()
        for other in body
        for index, cell in enumerate(row)
        if index < len(other)
    )


def _reads_like(cell: str, column: Sequence[str]) -> bool:
    """Is it a text like those below it? A column's name has few words."""
    words = len(cell.split())
    return words >= 3 and words >= 0.5 * statistics.median(
        [len(other.split()) for other in column[:100]] or [0]
    )


def _typed(cell: str) -> bool:
    return is_number(cell) or _DATE.fullmatch(cell) is not None


def _consecutive(row: list[str]) -> bool:
    """Names that are numbers: '0,1,2,3' or 'country,1990,1991,1992'."""
    numbers = [int(cell) for cell in row if cell.strip().isdecimal()]
    return (
        len(numbers) >= 3
        and len(numbers) >= len(row) - 2
        and all(b == a + 1 for a, b in itertools.pairwise(numbers))
    )


def _stands_apart(row: list[str], body: list[list[str]]) -> bool:
    """Do the cells of the row not stand below it, in most columns whose cells recur? A row of data would
    do so only where it has rare cells in all of these."""
    below = [other for other in body if other != row]
    if len(body) - len(below) > AGAIN * len(body):
        return False
    chance, apart, there = 1.0, 0, 0
    for index, cell in enumerate(row):
        counts = Counter(other[index].strip() for other in below if index < len(other))
        if counts.total() < LEAST or len(counts) > RECURS * counts.total():
            continue
        if cell.strip() in counts:
            there += 1
            continue
        apart += 1
        chance *= (sum(count == 1 for count in counts.values()) + 1) / (counts.total() + 1)
    return apart >= there and chance < CHANCE


def is_number(cell: str) -> bool:
    """'1', '-1.5e3', '1,5', '20 %'."""
    return _NUMBER.fullmatch(cell) is not None
