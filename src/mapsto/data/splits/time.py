"""--time: the last rows test, those before them validate, where the data names no test rows."""

from __future__ import annotations

import numpy as np

from mapsto.config import Reading
from mapsto.data.scan import Scan
from mapsto.data.split import TEST, TRAIN, VALIDATION, Split, shares
from mapsto.data.splits._keys import nothing_left
from mapsto.errors import DataError
from mapsto.source import SPLITS

FEW = "--time names {n} different times; name a column that tells more of them apart, or leave --time out"


def claims(scan: Scan, reading: Reading) -> float:
    return 0.6 if scan.times is not None and not (scan.named == TEST).any() else 0.0


def divide(scan: Scan, reading: Reading, fold: int | None) -> Split:
    assert scan.times is not None and fold is None
    validation, test = shares(len(scan))
    return _by_time(scan.named, scan.times, validation, test)


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
    said = [f"the last {(of == TEST).mean():.0%} in time test"]
    said += [f"the {(of == VALIDATION).mean():.0%} before them validate"] if (of == VALIDATION).any() else []
    empty = [name for index, name in enumerate(SPLITS) if not (of == index).any()]
    return Split(of, "; ".join(filter(None, [", ".join(said), nothing_left(empty, times, FEW)])))
