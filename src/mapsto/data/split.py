"""Which rows train, validate and test.

What the data names is respected. The rest is divided by the hash of a row's inputs, so that equal rows never
straddle two splits and a row stays where it was when others are added. Below 2,000 rows the shares are exact,
class by class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapsto.config import Reading
from mapsto.data.scan import Scan
from mapsto.errors import DataError
from mapsto.source import SPLITS

STRATIFY = 2000  # rows below which shares are exact per class
TRAIN, VALIDATION, TEST = range(3)


@dataclass(frozen=True)
class Split:
    """of (n,) int8: index into SPLITS, -1 = in none. said: how it was done, one sentence."""

    of: np.ndarray
    said: str

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
    named = scan.named.copy()
    keys = scan.groups if scan.groups is not None else scan.hashes
    mixed = _mixed(keys, reading.split_seed)
    validation, test = shares(len(scan))
    if fold is not None:
        if (units := len(np.unique(keys))) < reading.folds:
            raise DataError(
                f"expected at least {reading.folds} different rows (or groups) for {reading.folds} folds,"
                f" found {units}.\nUse fewer folds."
            )
        part = _ranked(mixed, keys, scan, reading.folds)
        of = np.where(part == fold, TEST, TRAIN).astype(np.int8)
        _give(of, _mixed(keys, reading.split_seed + 1), keys, scan, {VALIDATION: validation})
        return Split(of, f"fold {fold + 1} of {reading.folds}")
    has = {index: bool((named == index).any()) for index in range(3)}
    if scan.times is not None and not has[TEST]:
        return _by_time(named, scan.times, validation, test)
    wanted = {index: share for index, share in ((TEST, test), (VALIDATION, validation)) if not has[index]}
    said = [f"{SPLITS[i]} as the data names it" for i in (VALIDATION, TEST) if has[i]]
    of = named
    open_rows = (of == -1) if has[TRAIN] and (of == -1).any() else (of == -1) | (of == TRAIN)
    if not open_rows.any():
        raise DataError(
            "expected training rows, but the data names every row validation or test.\nName some of them"
            " train."
        )
    if wanted:
        chosen = np.where(open_rows, np.int8(TRAIN), of).astype(np.int8)
        _give(chosen, mixed, keys, scan, wanted, only=open_rows)
        of = chosen
        how = "by group" if scan.groups is not None else "by a hash of each row's inputs"
        parts = " and ".join(f"{(of == index).mean():.0%} {SPLITS[index]}" for index in wanted)
        few = (
            ""
            if all((of == index).any() for index in wanted)
            else " (too few different rows to hold more back)"
        )
        said.append(f"{parts} {how}{few}")
    of = np.where(of == -1, TRAIN, of).astype(np.int8)
    return Split(of, "; ".join(said))


def split_added(scan: Scan, reading: Reading, before: np.ndarray) -> Split:
    """Divide rows of which the first are divided already: before (m,) their splits, in which they stay. A
    later row that equals one of them in its inputs, or is of its group, goes where that one is, to the test
    before all; the others are divided as ever.
    """
    m = len(before)
    assert len(scan) >= m, "the rows that were there come first"
    of = (
        split(scan.after(m), reading).of.copy()
        if len(scan) - m > 1
        else np.full(len(scan) - m, TRAIN, np.int8)
    )
    known, own = np.zeros(len(of), bool), np.full(len(of), TRAIN, np.int8)
    for keys in (scan.hashes,) if scan.groups is None else (scan.hashes, scan.groups):
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
    )


def _give(
    of: np.ndarray,
    mixed: np.ndarray,
    keys: np.ndarray,
    scan: Scan,
    wanted: dict[int, float],
    only: np.ndarray | None = None,
) -> None:
    """Move shares of the TRAIN rows of `of` to other splits, in place."""
    among = np.flatnonzero((of == TRAIN) if only is None else (only & (of == TRAIN)))
    if len(among) >= STRATIFY:
        place = mixed[among] / 2.0**64  # [0, 1): fixed shares of hash space, stable when rows are added
        for (
            index,
            share,
        ) in (
            wanted.items()
        ):  # test from below, validation from above: smaller shares move rows to training only
            of[among[place < share if index == TEST else place >= 1 - share]] = index
        return
    strata = scan.strata[among] if scan.strata is not None else np.zeros(len(among), np.uint64)
    if len(np.unique(strata)) > max(20, len(among) // 4):  # a number, or nearly: no classes to be fair to
        strata = np.zeros(len(among), np.uint64)
    taken: dict[int, int] = {}
    for value in np.unique(strata):
        members = among[strata == value]
        units = sorted({(int(mixed[row]), int(keys[row])) for row in members})
        free = [unit for unit in units if unit[1] not in taken]
        start = 0
        for index, share in wanted.items():
            count = round(share * len(units)) or int(
                len(units) >= 4 or (len(np.unique(strata)) == 1 and len(units) > len(wanted))
            )
            for _, name in free[start : start + count]:
                taken[name] = index
            start += count
    of[among] = [taken.get(int(keys[row]), TRAIN) for row in among]


def _ranked(mixed: np.ndarray, keys: np.ndarray, scan: Scan, folds: int) -> np.ndarray:
    """(n,) the fold of each row: equal keys share one; small sets are dealt out class by class."""
    if len(keys) >= STRATIFY:
        return ((mixed >> np.uint64(11)) % np.uint64(folds)).astype(np.int64)
    strata = (
        scan.strata
        if scan.strata is not None and len(np.unique(scan.strata)) <= max(20, len(keys) // 4)
        else np.zeros(len(keys), np.uint64)
    )
    of_key: dict[int, int] = {}
    order = np.lexsort((mixed, strata))
    for row in order:
        of_key.setdefault(int(keys[row]), len(of_key) % folds)
    return np.array([of_key[int(name)] for name in keys])


def _by_time(named: np.ndarray, times: np.ndarray, validation: float, test: float) -> Split:
    """The last rows in time become validation and test: equal times stay together."""
    low, high = np.quantile(times, [1 - validation - test, 1 - test])
    of = np.where(times >= high, TEST, np.where(times >= low, VALIDATION, TRAIN)).astype(np.int8)
    if not (of == TRAIN).any():
        raise DataError(
            "expected different times in the --time column, found one.\nChoose another column, or leave"
            " --time out."
        )
    of = np.where(named == VALIDATION, VALIDATION, of).astype(np.int8)
    return Split(of, f"the last {test:.0%} in time test, the {validation:.0%} before them validate")


def _mixed(keys: np.ndarray, seed: int) -> np.ndarray:
    """(n,) uint64: the keys under a seed, spread again (splitmix64)."""
    with np.errstate(over="ignore"):
        z = keys.astype(np.uint64) + np.uint64(
            (seed * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) & 0xFFFFFFFFFFFFFFFF
        )
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
