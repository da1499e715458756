"""What recipes share: usual settings of each optimizer, and how many rows a step takes."""

from __future__ import annotations

import math

from mapsto.config import Training

ADAMW = Training(
    optimizer="adamw",
    lr=1e-3,
    weight_decay=0.01,
    momentum=0.9,
    warmup=0.1,
    schedule="linear",
    clip=1.0,
    ema=0.0,
)
MUON = Training(
    optimizer="muon",
    lr=0.02,
    weight_decay=0.01,
    momentum=0.95,
    warmup=0.03,
    schedule="linear",
    clip=1.0,
    ema=0.0,
)
# Convolutions on pictures, and on spectra, which are pictures: short, at a high rate, weights averaged.
CONVOLUTIONS = Training(
    optimizer="muon",
    lr=0.03,
    weight_decay=0.015,
    momentum=0.9,
    warmup=0.15,
    schedule="linear",
    clip=0.0,
    ema=0.995,
)
# (lr, momentum, weight decay) where a person asks for another optimizer than the recipe's.
UNTUNED = {"adamw": (1e-3, 0.9, 0.02), "sgd": (0.05, 0.9, 5e-4), "muon": (0.02, 0.95, 0.01)}


def batch_for(rows: int, steps_per_epoch: int, low: int, high: int) -> int:
    """Rows of a step such that a pass takes about so many steps: the nearest power of two within bounds."""
    return power_of_two(max(rows, 1) / steps_per_epoch, low, high)


def batch_below(rows: int, steps_per_epoch: int, low: int, high: int) -> int:
    """Rows of a step such that a pass takes at least so many steps: a power of two, rounded down."""
    return max(low, min(high, 1 << max(0, (rows // steps_per_epoch).bit_length() - 1)))


def power_of_two(wanted: float, low: int, high: int) -> int:
    """The power of two nearest to what is wanted, within bounds."""
    return int(min(high, max(low, 2 ** round(math.log2(wanted + 1e-9)))))


def resnet9_multiplications(side: int) -> float:
    """Multiply-adds of resnet9 at width 32 for one picture of side x side pixels: 17 million at 28."""
    return 17e6 * (min(side, 40) / 28) ** 2
