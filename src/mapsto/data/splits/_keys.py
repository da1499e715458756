"""Rows divided by the hash of a key, so that rows of equal keys never straddle two splits and a row stays
where it was when others are added. Below 2,000 rows the shares are exact, class by class, and so
they are where few different keys would leave a split without its share."""

from __future__ import annotations

import numpy as np

from mapsto.config import Reading
from mapsto.data.scan import Scan
from mapsto.data.split import TEST, TRAIN, VALIDATION, Split, shares
from mapsto.errors import DataError
from mapsto.source import SPLITS

STRATIFY = 2000  # rows below which shares are exact per class
LEAST = 4  # different keys from which some are held back
FEW = (
    "the rows have {n} different inputs, and {least} are needed to hold some back; add rows, or give test"
    " rows by --test"
)
NEAR = 0.5  # of its share: a split of keys that stand in many rows may have that many rows more or fewer


def by_keys(
    scan: Scan, reading: Reading, keys: np.ndarray, how: str, fold: int | None, few: str = FEW
) -> Split:
    """keys (n,) uint64; how: what they are, for the sentence that says it; few: why there may be too few of
    them to hold some back, with their number {n} and that needed {least}, and what to do then. fold: test on
    this part of `reading.folds`."""
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
        return Split(of, f"fold {fold + 1} of {reading.folds}", True)
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
        held = [index for index in wanted if (of == index).any()]
        parts = " and ".join(f"{(of == index).mean():.0%} {SPLITS[index]}" for index in held)
        said += [f"{parts} {how}"] if held else []
        said += [nothing_left([SPLITS[index] for index in wanted if index not in held], keys[open_rows], few)]
    of = np.where(of == -1, TRAIN, of).astype(np.int8)
    return Split(of, "; ".join(filter(None, said)), VALIDATION in wanted)


def nothing_left(names: list[str], keys: np.ndarray, few: str) -> str:
    """What is to be said of splits that got no row."""
    if not names:
        return ""
    empty = f"no row is left for {' and '.join(names)}, so nothing is measured there"
    return f"{empty}: {few.format(n=len(np.unique(keys)), least=LEAST)}"


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
        chosen = np.full(len(among), TRAIN, np.int8)
        for index, share in wanted.items():
            # test from below, validation from above: smaller shares move rows to training only
            chosen[place < share if index == TEST else place >= 1 - share] = index
        if all(abs((chosen == index).mean() - share) <= NEAR * share for index, share in wanted.items()):
            of[among] = np.where(chosen == TRAIN, of[among], chosen)
            return
    strata = scan.strata[among] if scan.strata is not None else np.zeros(len(among), np.uint64)
    if len(among) >= STRATIFY or len(np.unique(strata)) > max(20, len(np.unique(keys[among])) // 4):
        strata = np.zeros(len(among), np.uint64)  # a number, or nearly: no classes to be fair to
    _give_exactly(of, among, mixed, keys, strata, wanted)


def _give_exactly(
    of: np.ndarray,
    among: np.ndarray,
    mixed: np.ndarray,
    keys: np.ndarray,
    strata: np.ndarray,
    wanted: dict[int, float],
) -> None:
    """Keys by their shares, class by class. A key whose rows are of several classes counts once, for the
    class that most of them are of; one that would bring a split far above its share of the rows trains."""
    units = _units(among, mixed, keys, strata)
    most = {index: (1 + NEAR) * share * len(among) for index, share in wanted.items()}
    held = dict.fromkeys(wanted, 0)
    taken: dict[int, int] = {}
    for own in units.values():
        free = list(own)
        for index, share in wanted.items():
            count = round(share * len(own)) or int(
                len(own) >= 4 or (len(units) == 1 and len(own) > len(wanted))
            )
            fitting = [unit for unit in free if unit[2] == 1 or unit[2] + held[index] <= most[index]][:count]
            for unit in fitting:
                taken[unit[1]] = index
                held[index] += unit[2]
                free.remove(unit)
    every = sorted((unit for own in units.values() for unit in own), key=lambda unit: (unit[2], unit[0]))
    for index in [index for index in wanted if not held[index]]:
        left = [unit for unit in every if unit[1] not in taken]
        if len(every) >= LEAST and len(left) > 1:
            taken[left[0][1]] = index
    of[among] = [taken.get(int(keys[row]), TRAIN) for row in among]


def _units(
    among: np.ndarray, mixed: np.ndarray, keys: np.ndarray, strata: np.ndarray
) -> dict[int, list[tuple[int, int, int]]]:
    """{stratum: (mixed key, key, its rows) in order} of the keys that most often stand in it."""
    pairs, counts = np.unique(np.stack([keys[among], strata]), axis=1, return_counts=True)
    home: dict[int, tuple[int, int]] = {}  # key: (rows in that stratum, stratum), the first of the fullest
    rows: dict[int, int] = {}
    for name, stratum, count in zip(*pairs.tolist(), counts.tolist(), strict=True):
        rows[name] = rows.get(name, 0) + count
        if count > home.get(name, (0, 0))[0]:
            home[name] = count, stratum
    known = dict(zip(keys[among].tolist(), mixed[among].tolist(), strict=True))
    found: dict[int, list[tuple[int, int, int]]] = {int(value): [] for value in np.unique(strata)}
    for name, (_, stratum) in home.items():
        found[stratum].append((known[name], name, rows[name]))
    return {stratum: sorted(units) for stratum, units in found.items()}


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
