"""How much a trained net listens to each input: what becomes of its answers when one input's values are dealt
to other rows (permutation importance: Breiman 2001; Fisher, Rudin & Dominici 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mapsto.assess.base import taken
from mapsto.batch import Batch, key
from mapsto.doctor.base import FEWEST, WORK, Subject

MOST_INPUTS = 64  # of wide tables the first so many are looked at


@dataclass(frozen=True)
class Importance:
    """Of one input. change: how much the outputs change, as a share of their spread over rows; worse:
    {output: rise of its mean loss}."""

    change: float
    worse: Mapping[str, float]


def importance(patient: Subject) -> dict[str, Importance]:
    """{input: how much it matters} on rows the net did not learn from."""
    return patient.once("importance", lambda: _importance(patient))


def _importance(patient: Subject) -> dict[str, Importance]:
    slots = [slot.name for slot in patient.run.signature.inputs][:MOST_INPUTS]
    rows = int(WORK / 4 / (1 + patient.multiplications) / len(slots)) if slots else 0
    batch = patient.held.slice(0, min(patient.held.size, max(FEWEST, rows)))
    plain = patient.outputs(batch)
    before = patient.rows_of(plain, batch)
    found = {}
    for name in slots:
        outputs = patient.outputs(_dealt(batch, name))
        after = patient.rows_of(outputs, batch)
        found[name] = Importance(
            change(plain, outputs), {slot: after[slot][1] - mean for slot, (_, mean) in before.items()}
        )
    return found


def _dealt(batch: Batch, name: str) -> Batch:
    """The batch with one input's values dealt to other rows: every row gets another one's."""
    ring = np.random.default_rng(key("doctor", "importance", name)).permutation(batch.size)
    order = np.empty_like(ring)
    order[ring] = np.roll(ring, 1)
    return replace(batch, inputs={**batch.inputs, name: taken(batch.inputs[name], order)})


def change(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> float:
    """The largest over outputs of the mean change, as a share of the output's spread over rows. nan where no
    output varies."""
    shares = []
    for slot, plain in before.items():
        spread = float(plain.float().std(0).mean())
        if spread > 1e-7 * (1 + float(plain.float().abs().mean())):
            shares.append(float((after[slot].float() - plain.float()).abs().mean()) / spread)
    return max(shares, default=float("nan"))


def heard_at_first(patient: Subject) -> dict[str, float]:
    """{input: change of the fresh net's outputs on a few rows}: 0 where no path leads from the input to any
    output."""
    model, batch = patient.first.eval(), patient.learned.slice(0, min(patient.learned.size, 2 * FEWEST))

    def outputs(rows: Batch) -> dict[str, Tensor]:
        with torch.no_grad():
            return patient.learner(model).outputs(rows)

    plain = outputs(batch)
    return {
        slot.name: change(plain, outputs(_dealt(batch, slot.name)))
        for slot in patient.run.signature.inputs[:MOST_INPUTS]
    }
