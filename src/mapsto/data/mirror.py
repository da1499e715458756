"""Does a mirrored picture still mean the same? Asked of the training rows, because no name tells: shoes yes, digits no.

A five-nearest-neighbour classifier is scored on held-out training pictures, with and without mirrored copies among its neighbours.
Digits and letters lose by it, photographs gain.
"""

from __future__ import annotations

import numpy as np
import torch

from mapsto.batch import key
from mapsto.data.store import Store

MOST = 4000             # training pictures looked at
SIDE = 16               # pixels a side they are shrunk to
NEIGHBOURS = 5


def mirror_helps(store: Store, slot: str) -> tuple[bool, str]:
    """(yes or no, one sentence with the two accuracies) for the first output with classes; no when there is none or too few rows."""
    output = next((name.name for name in store.signature.outputs if "classes" in store.types["output", name.name].head_kinds), None)
    rows = store.rows("train")
    if output is None or len(rows) < 40:
        return False, "pictures are not mirrored in training (nothing to judge it by)"
    rows = np.random.default_rng(key("mirror", len(rows))).permutation(rows)[:MOST]
    raw = store.raw(rows)
    pixels = torch.nn.functional.adaptive_avg_pool2d(raw["input", slot].float(), SIDE)            # (n, C, 16, 16)
    target = raw["output", output].long().reshape(-1)
    known = target >= 0
    pixels, target = pixels[known], target[known]
    held = len(target) // 4
    plain, mirrored = pixels[held:].flatten(1), pixels[held:].flip(-1).flatten(1)
    asked, answers = pixels[:held].flatten(1), target[:held]
    without = _accuracy(asked, answers, plain, target[held:])
    with_ = _accuracy(asked, answers, torch.cat([plain, mirrored]), target[held:].repeat(2))
    helps = with_ > without
    return helps, f"pictures are {'' if helps else 'not '}mirrored in training (nearest neighbours: {without:.3f} without, {with_:.3f} with mirrored copies)"


def _accuracy(asked: torch.Tensor, answers: torch.Tensor, known: torch.Tensor, labels: torch.Tensor) -> float:
    if not len(asked):
        return 0.0
    found = torch.cat([labels[torch.cdist(part, known).topk(min(NEIGHBOURS, len(known)), largest=False).indices].mode(1).values for part in asked.split(500)])
    return float((found == answers).float().mean())
