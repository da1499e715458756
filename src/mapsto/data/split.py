"""Which rows train, validate and test. What the data names is respected.

How the others are divided, the files of `data/splits` say. Each holds

    claims(scan, reading) -> float          how sure it is that this way was asked for; the surest divides
    divide(scan, reading, fold) -> Split    fold: test on this part of `reading.folds`; None for one split
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapsto.config import Reading
from mapsto.data.scan import Scan
from mapsto.errors import DataError
from mapsto.registry import module, names
from mapsto.source import SPLITS

ROOM = "data/splits"
TRAIN, VALIDATION, TEST = range(3)
FEW_UNITS, REPEATS = 100, 10  # different rows below which, and times each stands there on average: a survey


@dataclass(frozen=True)
class Split:
    """of (n,) int8: index into SPLITS, -1 = in none. said: how it was done, a sentence. exchangeable: was it
    chance which rows are validation rather than training, so that they may change places?"""

    of: np.ndarray
    said: str
    exchangeable: bool = False

    def rows(self, name: str) -> np.ndarray:
        """(n,) int64 row numbers."""
        return np.flatnonzero(self.of == SPLITS.index(name))


def shares(rows: int) -> tuple[float, float]:
    """(validation, test) shares: small sets give more to measuring, because 1 in 10 of 500 says little."""
    return (0.15, 0.20) if rows < 5_000 else (0.10, 0.10) if rows < 200_000 else (0.05, 0.05)


def split(scan: Scan, reading: Reading, fold: int | None = None) -> Split:
    """Divide the rows. fold: test on this part of `reading.folds`. DataError when a part would be empty."""
    if len(scan) < 2:
        raise DataError(
            "expected at least 2 rows, found 1.\nOne row cannot be learned from and tested on; add rows."
        )
    gone = _to_be_predicted(scan)
    if gone.any():
        rest = split(scan.only(~gone), reading, fold)
        of = np.full(len(scan), -1, np.int8)
        of[~gone] = rest.of
        named = " and ".join(SPLITS[k] for k in np.unique(scan.named[gone]).tolist())
        what = f"{gone.sum():,} rows named {named} hold no answer: they are to be predicted, not to test"
        return Split(of, f"{what}; of the others: {rest.said}", rest.exchangeable)
    sure = {name: module(ROOM, name).claims(scan, reading) for name in names(ROOM)}
    return module(ROOM, max(sure, key=lambda name: sure[name])).divide(scan, reading, fold)


def _to_be_predicted(scan: Scan) -> np.ndarray:
    """(n,) bool: rows that the data names test or validation where none of that name has an answer, as in a
    competition's test file."""
    gone = np.zeros(len(scan), bool)
    for index in (VALIDATION, TEST):
        named = scan.named == index
        if named.any() and not named.all() and scan.unanswered[named].all():
            gone |= named
    return gone


def few_different(keys: np.ndarray) -> bool:
    """Are equal rows the rule, as in a survey of three questions? keys (n,) of their inputs."""
    units = len(np.unique(keys))
    return units < FEW_UNITS and len(keys) >= REPEATS * units


def split_added(scan: Scan, reading: Reading, before: np.ndarray) -> Split:
    """Divide rows of which the first are divided already: before (m,) their splits, in which they stay. A
    later row that equals one of them in its inputs, or is of its group, goes where that one is, to the test
    before all; the others are divided as ever.
    """
    m = len(before)
    assert len(scan) >= m, "the rows that were there come first"
    added = Split(np.full(len(scan) - m, TRAIN, np.int8), "", True)
    if len(scan) - m > 1:
        added = split(scan.only(slice(m, None)), reading)
    of = added.of.copy()
    known, own = np.zeros(len(of), bool), np.full(len(of), TRAIN, np.int8)
    within = scan.groups is None or scan.times is not None  # --time with --group divides each group
    known_by = [] if few_different(scan.hashes) else [scan.hashes]
    known_by += [] if within or scan.groups is None else [scan.groups]
    for keys in known_by:
        for index in (TRAIN, VALIDATION, TEST):
            there = np.isin(keys[m:], keys[:m][before == index])
            own[there], known = np.maximum(own[there], index), known | there
    of[known] = own[known]
    counts = ", ".join(f"{(of == index).sum():,} {SPLITS[index]}" for index in range(3))
    also = (
        f"; {known.sum():,} of the new ones belong to rows that were there, and go where those are"
        if known.any()
        else ""
    )
    return Split(
        np.concatenate([before, of]).astype(np.int8),
        f"the {m:,} rows it had stay divided as they were, new ones: {counts}{also}",
        added.exchangeable,
    )
