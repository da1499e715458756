"""What moved the answer to one row: each part of a cell, or the whole cell, is hidden in turn, and weighs
what the answer given loses by it (occlusion, Zeiler & Fergus 2014; `mapsto.assess.explanation` asks it of
many rows)."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mapsto.run.answering import batch_of

MOST_PARTS = 49  # of a cell: 7 × 7 windows of a picture
FAINT = 0.1  # of the spread of answers: where nothing moves the answer more, marks are faint


def explained(run: Any, cells: Mapping[str, Any], output: str) -> dict[str, Any]:
    """{"output", "inputs": {column: {"picture": base64 of a png} or {"pieces": [[text, weight], …]}, or with
    several inputs {"weight"}}}, weights from -1, against the answer given, to 1, for it. cells: raw, by
    input. CellError: one cannot be read."""
    slots = run.signature.inputs
    values = {slot.name: run.types["input", slot.name].read(cells[slot.name]) for slot in slots}
    inside = {slot.name: _parts(run, slot.name, values[slot.name]) for slot in slots}
    rows, whose = [values], []
    for name, parts in inside.items():
        hidden = parts or ([None] if len(slots) > 1 and values[name] is not None else [])
        rows += [{**values, name: one} for one in hidden]
        whose += [name] * len(hidden)
    effect = _effect(run, rows, output)
    most = max(float(np.abs(effect).max(initial=0.0)), FAINT)
    told: dict[str, Any] = {}
    for slot in slots:
        weights = [float(effect[i] / most) for i, name in enumerate(whose) if name == slot.name]
        if inside[slot.name]:
            told[slot.column] = _marked(run, slot.name, values[slot.name], weights)
        elif weights:
            told[slot.column] = {"weight": weights[0]}
    return {"output": output, "inputs": told}


def _parts(run: Any, name: str, value: Any) -> list[Any]:
    return [] if value is None else run.types["input", name].parts(value, MOST_PARTS)


def _effect(run: Any, rows: Sequence[Mapping[str, Any]], output: str) -> np.ndarray:
    """(n - 1,): what the answer to the first row loses in each of the others."""
    encoded: dict[tuple[str, str], Any] = {}
    for slot in run.signature.inputs:
        column_type = run.types["input", slot.name]
        cells = column_type.encode_all([row[slot.name] for row in rows])
        ragged = column_type.layout.ragged
        encoded["input", slot.name] = (
            cells if ragged else np.stack(cells).astype(column_type.layout.dtype, copy=False)
        )
    size, found = run.learner.evaluation_batch, []
    for low in range(0, len(rows), size):
        batch = batch_of(run, run.signature, encoded, low, min(len(rows), low + size))
        found.append(run.learner.arrays(batch)[output])
    joined = {name: np.concatenate([one[name] for one in found]) for name in found[0]}
    kind = run.output(output)
    shown = kind.calibrated(joined, run.calibration.get(output, {}))
    clean, hidden = ({name: one[at] for name, one in shown.items()} for at in (slice(1), slice(1, None)))
    assert kind.effect is not None, "asked of outputs that have one"
    effect = np.asarray(kind.effect(clean, hidden), float)
    return effect / (kind.spread(shown) or 1.0)


def _marked(run: Any, name: str, value: Any, weights: Sequence[float]) -> dict[str, Any]:
    item = run.types["input", name].marked(value, weights)
    if item.picture:
        return {"picture": base64.b64encode(item.picture).decode()}
    return {"pieces": [[text, round(weight, 3)] for text, weight in item.pieces]}
