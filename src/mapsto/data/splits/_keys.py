"""Rows divided by the hash of a key, so that rows of equal keys never straddle two splits and a row stays
where it was when others are added. Below 2,000 rows the shares are exact, class by class."""

from __future__ import annotations

import numpy as np

from mapsto.config import Reading
from mapsto.data.scan import Scan
from mapsto.data.split import TEST, TRAIN, VALIDATION, Split, shares
from mapsto.errors import DataError
from mapsto.source import SPLITS

STRATIFY = 2000  # rows below which shares are exact per class


def by_keys(scan: Scan, reading: Reading, keys: np.ndarray, how: str, fold: int | None) -> Split:
    """keys (n,) uint64; how: what they are, for the sentence that says it. fold: test on this part of
    `reading.folds`."""
    named = scan.named.copy()
    mixed = mixed_keys(keys, reading.split_seed)
    validation, test = shares(len(scan))
    if fold is not None:
        if (units := len(np.unique(keys))) < reading.folds:
            raise DataError(
                f"expected at least {reading.folds} different rows (or groups) for {reading.folds} folds,"
                f" found {units}.\nUse fewer folds."
            )
        part = _ranked(mixed, keys, scan, reading.folds)
        of = np.where(part == fold, TEST, TRAIN).astype(np.int8)
        _give(of, mixed_keys(keys, reading.split_seed + 1), keys, scan, {VALIDATION: validation})
        return Split(of, f"fold {fold + 1} of {reading.folds}")
    has = {index: bool((named == index).any()) for index in range(3)}
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
        parts = " and ".join(f"{(of == index).mean():.0%} {SPLITS[index]}" for index in wanted)
        few = (
            ""
            if all((of == index).any() for index in wanted)
            else " (too few different rows to hold more back)"
        )
        said.append(f"{parts} {how}{few}")
    of = np.where(of == -1, TRAIN, of).astype(np.int8)
    return Split(of, "; ".join(said))


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


def mixed_keys(keys: np.ndarray, seed: int) -> np.ndarray:
    """(n,) uint64: the keys under a seed, spread again (splitmix64)."""
    with np.errstate(over="ignore"):
        z = keys.astype(np.uint64) + np.uint64(
            (seed * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) & 0xFFFFFFFFFFFFFFFF
        )
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
