"""--group: rows of one group never straddle two splits."""

from __future__ import annotations

from mapsto.config import Reading
from mapsto.data.scan import Scan
from mapsto.data.split import Split
from mapsto.data.splits._keys import by_keys

FEW = (
    "--group names {n} groups, and {least} are needed to hold some back whole; name a column of more groups,"
    " or leave --group out"
)


def claims(scan: Scan, reading: Reading) -> float:
    return 0.5 if scan.groups is not None else 0.0


def divide(scan: Scan, reading: Reading, fold: int | None) -> Split:
    assert scan.groups is not None
    return by_keys(scan, reading, scan.groups, "by group", fold, FEW)
