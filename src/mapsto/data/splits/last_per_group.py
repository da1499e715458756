"""--time with --group: the last rows within each group test, those before them validate, as a ranking is
tested by what each user takes up next, and a forecast by how each series goes on.

Groups of fewer than three rows train, for they have no past to learn from beside what is held back.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from mapsto.config import Reading
from mapsto.data.scan import Scan
from mapsto.data.split import TEST, TRAIN, VALIDATION, Split, shares
from mapsto.errors import DataError
from mapsto.source import SPLITS

FEWEST = 3  # rows of a group from which some are held back


def claims(scan: Scan, reading: Reading) -> float:
    return 0.8 if scan.times is not None and scan.groups is not None else 0.0


def divide(scan: Scan, reading: Reading, fold: int | None) -> Split:
    """Splits that the data names stay; DataError where no group is long enough."""
    assert scan.times is not None and scan.groups is not None and fold is None
    of = np.where(scan.named == -1, TRAIN, scan.named).astype(np.int8)
    free = np.flatnonzero(of == TRAIN)
    order = free[np.lexsort((free, scan.times[free], scan.groups[free]))]
    groups = scan.groups[order]
    edges = [0, *(np.flatnonzero(groups[1:] != groups[:-1]) + 1).tolist(), len(order)]
    wanted = dict(zip((VALIDATION, TEST), shares(len(scan)), strict=True))
    wanted = {index: share for index, share in wanted.items() if not (scan.named == index).any()}
    for low, high in pairwise(edges):
        if high - low >= FEWEST:
            _hold_back(of, order[low:high], scan.times, wanted)
    if TEST in wanted and not (of == TEST).any():
        raise DataError(
            f"expected groups of {FEWEST} rows or more, of which the last can be held back; found none.\n"
            "Leave out --group, or --time."
        )
    parts = " and ".join(f"{(of == index).mean():.0%} {SPLITS[index]}" for index in (TEST, VALIDATION))
    return Split(of, f"the last rows in time of each group are held back: {parts}")


def _hold_back(of: np.ndarray, rows: np.ndarray, times: np.ndarray, wanted: dict[int, float]) -> None:
    """Give the last rows of one group, which are in the order of time, to other splits: one at least, and
    rows of one time together. The first stays in training."""
    end = len(rows)
    for index in (TEST, VALIDATION):
        if index not in wanted:
            continue
        start = end - max(1, round(wanted[index] * len(rows)))
        while start > 0 and times[rows[start - 1]] == times[rows[start]]:
            start -= 1
        if start < 1:
            return
        of[rows[start:end]] = index
        end = start
