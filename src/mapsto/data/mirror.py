"""Does a mirrored picture still mean the same? Asked of the training rows, because no name tells: cats yes,
digits no.

Pictures held out are classified by their nearest neighbour among the others, as they are and mirrored.
Measured with it: digits fall from .98 to .34, Fashion-MNIST's clothes from .80 to .57 (shoes all point one
way), CIFAR-10's photographs not at all.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import adaptive_avg_pool2d

from mapsto.batch import key
from mapsto.data.store import Store

MOST = 4000  # training pictures looked at
HELD = 500  # of these, pictures classified
SIDE = 32  # pixels a side they are shrunk to
KEPT = 0.85  # share of the accuracy that mirrored pictures must keep


def mirror_is_safe(store: Store, slot: str) -> tuple[bool, str]:
    """(yes or no, one sentence with the two accuracies), by the first output with classes; no where there is
    nothing to judge it by."""
    output = next(
        (
            name.name
            for name in store.signature.outputs
            if store.types["output", name.name].output().exclusive
        ),
        None,
    )
    rows = np.random.default_rng(key("mirror", store.size("train"))).permutation(store.rows("train"))[:MOST]
    if output is None or len(rows) < 40:
        return (
            False,
            "training pictures are not mirrored: nothing to judge it by (change with image(augment=…))",
        )
    parts, labels_of = [], []
    for part in np.array_split(rows, -(-len(rows) // 256)):  # a few full-sized pictures at a time
        raw = store.raw(part)
        pixels = raw["input", slot].float()
        parts.append(adaptive_avg_pool2d(pixels, SIDE) if pixels.shape[-1] > SIDE else pixels)  # (n, C, h, w)
        labels_of.append(raw["output", output].long().reshape(-1))
    pixels, target = torch.cat(parts), torch.cat(labels_of)
    pixels, target = pixels[target >= 0], target[target >= 0]
    held = min(HELD, len(target) // 4)
    known, labels = pixels[held:].flatten(1), target[held:]

    def accuracy(asked: torch.Tensor) -> float:
        return float((labels[torch.cdist(asked.flatten(1), known).argmin(1)] == target[:held]).float().mean())

    plain, mirrored = accuracy(pixels[:held]), accuracy(pixels[:held].flip(-1))
    safe = mirrored >= KEPT * plain
    figures = f"nearest neighbours find {plain:.3f} as they are, {mirrored:.3f} mirrored"
    return safe, f"training pictures are {'' if safe else 'not '}mirrored: {figures} (image(augment=…))"
