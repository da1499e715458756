"""How much memory does it take to measure predictions that are large: generated masks, made as they are asked
for, by a net that says of every pixel how probable each class is?

    python -m benchmarks.evaluate_masks [--rows 2000] [--side 256] [--classes 21]

The peak is that of the process, above what it held when the net had seen its first rows. Held whole, 2,000
such predictions are 11 GB.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mapsto.batch import Batch, Batches, key
from mapsto.config import Training
from mapsto.learners.base import Learner
from mapsto.metrics import Metric
from mapsto.outputs.base import Head
from mapsto.prediction import Keep
from mapsto.signature import parse
from mapsto.training import memory

MOST = 600  # MB above the net's own


class Masks(Batches):
    """Pictures (B, 1, H, W) whose masks are bands of light; nothing is held."""

    def __init__(self, rows: int, side: int, classes: int):
        self.n, self.side, self.classes = rows, side, classes

    def size(self, split: str) -> int:
        return self.n

    def iterate(self, split: str, batch: int, most: int | None = None) -> Iterator[Batch]:
        for low in range(0, self.n, batch):
            yield self.batch(np.arange(low, min(self.n, low + batch)))

    def batch(self, rows: np.ndarray, draw: Any = None) -> Batch:
        draws = torch.Generator().manual_seed(key("masks", int(rows[0])))
        light = torch.rand(len(rows), 1, self.side, self.side, generator=draws)
        target = (light[:, 0] * self.classes).long()
        return Batch({"picture": light}, {"mask": target}, len(rows), torch.from_numpy(rows))


class Pixels(Head):
    """A class for each pixel: (B, K, H, W) -> probability (B, K, H, W), value (B, H, W)."""

    expects = "map"

    def predict(self, output: Tensor, options: Any = None) -> dict[str, Any]:
        return {"probability": output.softmax(1), "value": output.argmax(1)}


class Heads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mask = Pixels()

    def items(self) -> list[tuple[str, Head]]:
        return [("mask", self.mask)]


class Net(nn.Module):
    def __init__(self, classes: int):
        super().__init__()
        self.heads, self.project = Heads(), nn.Conv2d(1, classes, 3, padding=1)

    def forward(
        self, inputs: Mapping[str, Any], condition: Any = None, size: int | None = None
    ) -> dict[str, Tensor]:
        return {"mask": self.project(inputs["picture"])}


def overlaps(classes: int) -> Metric:
    """Mean intersection over union."""

    def rows(predicted: Mapping[str, np.ndarray], target: np.ndarray) -> np.ndarray:
        said, counts = predicted["value"].reshape(len(target), -1), []
        for a, b in zip(said, target.reshape(len(target), -1), strict=True):
            both, first, second = (np.bincount(one, minlength=classes) for one in (a[a == b], a, b))
            counts.append([*both, *(first + second - both)])
        return np.array(counts, np.float64).reshape(len(target), 2 * classes)

    def reduce(statistics: np.ndarray) -> float:
        both, union = np.split(statistics.sum(0), 2)
        return float((both[union > 0] / union[union > 0]).mean())

    return Metric("miou", "Mean intersection over union of the classes.", rows, reduce)


class Segment(Learner):
    def metrics(self, slot: str) -> tuple[Metric, ...]:
        assert isinstance(self.store, Masks)
        return (overlaps(self.store.classes),)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, usual in (("rows", 2000), ("side", 256), ("classes", 21), ("batch", 16)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    asked = parser.parse_args()
    masks = Masks(asked.rows, asked.side, asked.classes)
    training = Training(batch=asked.batch)
    learner = Segment(Net(asked.classes), parse("picture -> mask"), {}, masks, training)
    with torch.inference_mode():
        learner.model(masks.batch(np.arange(min(asked.rows, asked.batch))).inputs)
    before, start = memory.peak(), time.monotonic()
    found = learner.measure("test", Keep())
    took = (memory.peak() - before) / 1e6
    values = found.values("mask", learner.metrics("mask"))
    print(f"{len(found):,} masks, {len(found.sample.rows)} held, miou {values['miou']:.4f}")
    print(f"{took:.0f} MB above the net's own (bar: {MOST}), {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
