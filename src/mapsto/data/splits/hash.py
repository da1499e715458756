"""By a hash of each row's inputs: equal rows never straddle two splits. Where equal rows are the rule, as in
a survey of few questions, too few different ones would be left to divide: there each row is its own."""

from __future__ import annotations

import numpy as np

from mapsto.config import Reading
from mapsto.data.scan import Scan
from mapsto.data.split import Split, few_different
from mapsto.data.splits._keys import by_keys, mixed_keys


def claims(scan: Scan, reading: Reading) -> float:
    return 0.1


def divide(scan: Scan, reading: Reading, fold: int | None) -> Split:
    if few_different(scan.hashes):
        how = f"row by row, for only {len(np.unique(scan.hashes)):,} of {len(scan):,} have different inputs"
        return by_keys(scan, reading, _each_its_own(scan.hashes), how, fold)
    return by_keys(scan, reading, scan.hashes, "by a hash of each row's inputs", fold)


def _each_its_own(keys: np.ndarray) -> np.ndarray:
    """(n,) uint64: equal keys told apart by which of them it is, so that rows added later change none."""
    order = np.argsort(keys, kind="stable")
    ranked = keys[order]
    first = np.concatenate([[True], ranked[1:] != ranked[:-1]])
    start = np.maximum.accumulate(np.where(first, np.arange(len(keys)), 0))
    which = np.empty(len(keys), np.uint64)
    which[order] = np.arange(len(keys)) - start
    with np.errstate(over="ignore"):
        return keys.astype(np.uint64) ^ mixed_keys(which, 1)
