"""Rows of a run's own test data, as requests hold them: what a person tries first."""

from __future__ import annotations

from typing import Any

import numpy as np

from mapsto.batch import key
from mapsto.errors import CellError, MapstoError
from mapsto.steps.prepare import reopen

PASSED, AMONG = 200_000, 1_000  # rows that are passed over for them at most; test rows they are chosen from
LARGEST = 2_000_000  # characters of a cell: what a page shows at once
TEST = 2  # of rows.npz's splits


def test_rows(run: Any, most: int) -> list[dict[str, Any]]:
    """At most `most`, taken by lot; [] where the data is gone or has changed."""
    try:
        source = reopen(run)
        split = run.kept_rows()["split"]
    except MapstoError:
        return []
    rows = np.flatnonzero(split[:PASSED] == TEST)[:AMONG]
    wanted = set(np.random.default_rng(key("examples", len(rows))).permutation(rows)[:most].tolist())
    found: list[dict[str, Any]] = []
    first = 0
    for chunk in source.chunks():
        if not wanted or first > max(wanted):
            break
        for row in sorted(one for one in wanted if first <= one < first + len(chunk)):
            cells = {name: column[row - first] for name, column in chunk.columns.items()}
            if (shown := _shown(run, cells)) is not None:
                found.append(shown)
        first += len(chunk)
    return found


def _shown(run: Any, cells: dict[str, Any]) -> dict[str, Any] | None:
    """None where a cell is gone or too large."""
    try:
        row = {
            slot.column: run.types["input", slot.name].to_web(cells[slot.column])
            for slot in run.signature.inputs
        }
    except (CellError, KeyError):
        return None
    return row if all(len(str(cell)) <= LARGEST for cell in row.values()) else None
