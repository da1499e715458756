"""What a net answers to rows that were put together from others', as numbers: of a class how probable it is,
of a number itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mapsto.assess.base import View
from mapsto.batch import Batch
from mapsto.outputs.base import Output

MOST_CLASSES = 4  # that are followed, where there are more than two


def in_numbers(output: Output) -> bool:
    """Can its answers be followed as they rise and fall?"""
    return output.chances is not None or (output.graded and output.has_intervals)


def followed(view: View, slot: str) -> dict[str, int]:
    """{name: column of `answers`}: of two classes the positive one, of more the most frequent, of a number
    itself."""
    output = view.output(slot)
    if output.chances is None:
        return {slot: 0}
    chances = output.chances(view.of(slot)[0])
    order = np.argsort(-chances.mean(0), kind="stable")
    if len(order) == 2 and output.exclusive:
        place, asked = view.positive(slot)
        order = np.array([place]) if asked else order[1:]
    classes = view.column_type(slot).classes
    return {classes[k]: int(k) for k in order[:MOST_CLASSES]}


def answers(view: View, slots: Sequence[str], batch: Batch) -> dict[str, np.ndarray]:
    """{output: (n, A)}: calibrated, A its classes or 1."""
    size, found = view.learner.evaluation_batch, {slot: list[np.ndarray]() for slot in slots}
    for low in range(0, batch.size, size):
        arrays = view.learner.arrays(batch.slice(low, low + size))
        for slot in slots:
            output = view.output(slot)
            predicted = output.calibrated(arrays[slot], view.fitted(slot))
            chances = output.chances
            found[slot].append(predicted["value"][:, None] if chances is None else chances(predicted))
    return {slot: np.concatenate(parts).astype(np.float64) for slot, parts in found.items()}


def put_together(batch: Batch, size: int, inputs: Mapping[str, Any]) -> Batch:
    """Rows whose inputs come from several: without their truth, for they never were."""
    bare = dataclasses.replace(batch, targets={}, present={}, rows=None, weight=None, cuts=(), parts={})
    return dataclasses.replace(bare, inputs=dict(inputs), size=size)
