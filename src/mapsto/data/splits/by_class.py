"""--group naming what is learned: whole classes are held back, so that a learner is tested on classes of
which it has seen no row (few-shot and open-set learning; `Learner.unseen_classes`)."""

from __future__ import annotations

import numpy as np

from mapsto.config import Reading
from mapsto.data.scan import Scan
from mapsto.data.split import TEST, TRAIN, VALIDATION, Split, shares
from mapsto.data.splits._keys import by_keys, mixed_keys
from mapsto.errors import DataError
from mapsto.source import SPLITS

FEWEST = 3  # classes: one for each split


def claims(scan: Scan, reading: Reading) -> float:
    return 0.9 if scan.groups is not None and reading.group in scan.distinct else 0.0


def divide(scan: Scan, reading: Reading, fold: int | None) -> Split:
    """Splits that the data names stay. DataError: fewer than three classes."""
    assert scan.groups is not None
    if fold is not None:
        return by_keys(scan, reading, scan.groups, "by class", fold)
    of = np.where(scan.named == -1, TRAIN, scan.named).astype(np.int8)
    wanted = dict(zip((VALIDATION, TEST), shares(len(scan)), strict=True))
    wanted = {index: share for index, share in wanted.items() if not (scan.named == index).any()}
    classes = np.unique(scan.groups[of == TRAIN])
    if len(classes) < FEWEST and wanted:
        raise DataError(
            f"expected {FEWEST} classes or more in '{reading.group}', to hold some back, found"
            f" {len(classes)}.\nLeave out --group."
        )
    classes = classes[np.argsort(mixed_keys(classes, reading.split_seed), kind="stable")]
    held, start = [], 0
    for index, share in sorted(wanted.items(), reverse=True):
        stop = start + max(1, round(share * len(classes)))
        of[(of == TRAIN) & np.isin(scan.groups, classes[start:stop])] = index
        held.append(f"{stop - start:,} {SPLITS[index]}")
        start = stop
    return Split(of, f"whole classes of '{reading.group}' are held back: {', '.join(held)}")
