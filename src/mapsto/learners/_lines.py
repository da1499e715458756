"""Linear models beside nets (`mapsto.models._bag`): held-out rows say how much they count.

Letters: n rows, M members.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import torch
from torch import Tensor

from mapsto.batch import Batch
from mapsto.learners.base import Scores, to_numpy
from mapsto.metrics import Metric
from mapsto.models._bag import Bag
from mapsto.outputs.base import Head, Output

SHARES = tuple(step / 10 for step in range(11))  # of lines
SCALES = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4)  # of what nets and lines say together


class Answering(Protocol):
    """What is asked of a learner here: `learners.base.Learner`, and what it says of rows that were held
    out."""

    autocast: Any

    def ready(self, batch: Batch) -> Batch: ...
    def held_out(self, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]: ...
    def output(self, slot: str) -> Output: ...
    def metrics(self, slot: str) -> tuple[Metric, ...]: ...


@torch.inference_mode()
def settled(learner: Answering, bag: Bag, batches: Iterable[Batch]) -> Scores:
    """Settle how much the lines count by rows that neither they nor the nets learned, then the scores of
    calibrated answers to these rows: a net goes on telling classes apart long after it became too sure of
    them, which one temperature mends (Berta et al. 2025, arXiv:2501.19195)."""
    bag.eval()
    told = []
    for batch in batches:
        ready = learner.ready(batch)
        with learner.autocast:
            told.append((*learner.held_out(ready), ready.targets, ready.present, ready.weight))
    scores: Scores = {}
    for place, (slot, head) in enumerate(bag.heads.items()):
        *columns, weights = zip(*told, strict=True)
        nets, lines, target, present = (_joined([part.get(slot) for part in parts]) for parts in columns)
        weight = _joined(list(weights))
        known = present.reshape(len(present), -1).any(1)
        if not known.any():
            continue
        output, mixed, target = learner.output(slot), nets[known].float(), target[known]
        if lines is not None and head.holds_line:
            counts = None if weight is None else weight[known]
            share = best_share(head, mixed, lines[known].float(), target, output.link != "identity", counts)
            bag.share[place] = share
            mixed = (1 - share) * mixed + share * lines[known]
        predicted = {name: to_numpy(value) for name, value in head.predict(mixed).items()}
        truth = target.cpu().numpy()
        honest = output.calibrated(predicted, output.calibrate(predicted, truth))
        scores[slot] = {one.name: one.reduce(one.rows(honest, truth)) for one in learner.metrics(slot)}
    return scores


def _joined(parts: list[Any]) -> Any:
    return None if parts[0] is None else torch.cat(parts)


def best_share(
    head: Head, nets: Tensor, lines: Tensor, target: Tensor, scaled: bool, weight: Tensor | None = None
) -> float:
    """How much lines shall count beside nets, both (n, M, ...), for the least loss; scaled: at whatever scale
    suits best, for a temperature follows. weight (n,): how much each row counts."""
    own, line = nets.mean(1), lines.mean(1)
    scales = SCALES if scaled else (1.0,)

    def loss(share: float) -> float:
        mixed = (1 - share) * own + share * line
        losses = (head.loss(scale * mixed, target)[0] for scale in scales)
        return min(float((one if weight is None else one * weight).mean()) for one in losses)

    return min(SHARES, key=loss)
