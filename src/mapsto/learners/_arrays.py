"""What learners say, as numpy. Letters: B rows of a batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from mapsto.batch import Batch, Padded, Ragged
from mapsto.outputs.base import Baseline


def answered(rule: Baseline, batches: Iterator[Batch]) -> dict[str, dict[str, np.ndarray]]:
    """{baseline: arrays} of what a simple rule says of batches, in the order of their rows."""
    from mapsto.prediction.gathering import in_row_order

    found: dict[str, dict[str, list[np.ndarray]]] = {}
    rows = []
    for batch in batches:
        assert batch.rows is not None
        rows.append(to_numpy(batch.rows))
        for baseline, arrays in rule(batch).items():
            for name, value in arrays.items():
                found.setdefault(baseline, {}).setdefault(name, []).append(value)
    place = np.argsort(np.argsort(np.concatenate(rows), kind="stable"), kind="stable")
    return {
        baseline: {name: in_row_order(parts, place) for name, parts in arrays.items()}
        for baseline, arrays in found.items()
    }


def to_numpy(value: Any) -> np.ndarray:
    """(B, ...) as numpy; rows of unequal length as (B,) objects, each an array."""
    if isinstance(value, (Padded, Ragged)):
        value = value.cells() if isinstance(value, Padded) else list(value)
    if isinstance(value, list):
        rows = np.empty(len(value), object)
        for i, row in enumerate(value):
            rows[i] = to_numpy(row)
        return rows
    value = value.detach()
    return (value.float() if value.dtype in (torch.bfloat16, torch.float16) else value).cpu().numpy()
