"""Columns of a plain table as the checks see them, and which of them say nothing of their row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mapsto.data.unused import ALL_DIFFER, LEAST, TIME, is_named_like_an_id
from mapsto.signature import Slot

SHORT = 40  # characters of an id in the mean, at most


@dataclass(frozen=True, eq=False)
class Fact:
    """One column of a plain table, as a room gives it. part: "" where it is the whole cell, "moment" of a
    date, else a label's name or what was measured. values (m,): float64, nan where missing, when they have an
    order; else int64 codes: -1 missing, -2 not told apart.
    """

    side: str
    slot: Slot
    part: str
    values: np.ndarray

    @property
    def ordered(self) -> bool:
        return self.values.dtype.kind == "f"

    @property
    def known(self) -> np.ndarray:
        """(m,) bool: not missing."""
        return ~np.isnan(self.values) if self.ordered else self.values != -1

    @property
    def column(self) -> str:
        return self.slot.column

    def __str__(self) -> str:
        return f"'{self.column}'" + (f" ({self.part})" if self.part not in ("", "moment") else "")


def is_constant(fact: Fact) -> bool:
    """Does a column say the same in every row, or nothing?"""
    if not fact.known.any():
        return True
    return bool(fact.known.all()) and bool((fact.values == fact.values[0]).all()) and fact.values[0] != -2


def names_rows(cells: Sequence[Any] | None, distinct: np.ndarray) -> bool:
    """Are the texts of a column called an id short, and all different? cells (m): None where it is no text;
    distinct (k,): positions of rows with different inputs."""
    if cells is None or len(distinct) < LEAST:
        return False
    texts = {str(cells[i]) for i in distinct.tolist()}
    return len(texts) >= ALL_DIFFER * len(distinct) and sum(map(len, texts)) <= SHORT * len(texts)


def numbers_rows(
    fact: Fact,
    rows: np.ndarray,
    distinct: np.ndarray,
    cells_of: Callable[[Fact], Sequence[Any] | None],
) -> bool:
    """Are all values different, and whole numbers that would have met were they drawn by chance, that follow
    the rows' order or are named like an id; or equal steps; or names? rows (m,): their numbers."""
    if len(distinct) < LEAST or not fact.known.all():
        return False
    if not fact.ordered:
        cells = cells_of(fact)
        return cells is not None and len({str(cells[i]) for i in distinct.tolist()}) >= ALL_DIFFER * len(
            distinct
        )
    values = fact.values[distinct]
    if len(np.unique(values)) < ALL_DIFFER * len(values):
        return False
    steps = np.diff(values) / np.diff(rows[distinct])
    if (values != np.rint(values)).any():
        return bool(steps[0]) and np.allclose(steps, steps[0], rtol=1e-6)
    if TIME.search(fact.column):
        return False
    # as many numbers drawn from that range would meet ten times
    drawn_apart = np.ptp(values) < len(values) ** 2 / 20
    in_order = bool((steps > 0).all() or (steps < 0).all())
    return bool(drawn_apart or in_order or is_named_like_an_id(fact.column))
