"""Boxes around the things in a picture, right of the arrow: type, head and metrics, all in this file.

Each cell of the net's map says whether the middle of a box lies in it, where in it, and how large the box is
(Zhou et al. 2019, "Objects as Points", without its keypoint heatmaps). Letters: B batch, N boxes of all rows,
D width, h w the map.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from mapsto.batch import Draw, Ragged
from mapsto.cells import Annotated, Column, is_missing, shorten
from mapsto.errors import CellError
from mapsto.metrics import Arrays, Metric, pooled_f1
from mapsto.outputs.base import Head, Output
from mapsto.prediction import Prediction
from mapsto.signature import Signature
from mapsto.types._geometry import inverse, move_boxes
from mapsto.types.base import DataType, Layout, last_spatial, learned

SURE = 0.3  # the least probability of a box that is answered
SAME = 0.5  # intersection over union from which two boxes are one


@dataclass(frozen=True)
class Boxes(DataType):
    """[[left, top, right, bottom], …] in pixels of the picture; [] where there is none. Stored: float32 (n, 4) as
    they are, one row of nan where nobody has looked."""

    outputs: ClassVar[tuple[str, ...]] = ("detections",)
    modality: ClassVar[str] = "image"

    side: int = learned(0)  # of the square in which the net sees the picture

    @classmethod
    def sniff(cls, column: Column) -> float:
        known = column.known[:100]
        return 0.9 * np.mean([_is_boxes(cell) for cell in known]) if known else 0.0

    def annotates(self, signature: Signature) -> str:
        return last_spatial(signature, None, "boxes")

    def read(self, cell: Any) -> np.ndarray | None:
        cell = cell.cell if isinstance(cell, Annotated) else cell
        if not isinstance(cell, (list, tuple)) and is_missing(cell):
            return None
        if not _is_boxes(cell):
            raise CellError(f"expected boxes, got {shorten(cell)}.\nWrite [[left, top, right, bottom], …].")
        return np.array(cell, np.float32).reshape(-1, 4)

    def fit(self, values: Sequence[Any], spec: Mapping[str, Any]) -> Self:
        return replace(self, side=spec["inputs"][spec["into"]].layout.shape[-1])

    @property
    def layout(self) -> Layout:
        return Layout("float32", (None, 4), paces=False)

    def encode(self, value: np.ndarray | None) -> np.ndarray:
        return np.full((1, 4), np.nan, np.float32) if value is None else value

    def present(self, arrays: Ragged) -> Tensor:
        return torch.tensor([not bool(row.isnan().any()) for row in arrays], dtype=torch.bool)

    def collate(self, arrays: Ragged, draw: Draw | None, geometry: Tensor | None = None) -> Ragged:
        """Ragged (N, 4), where the boxes lie in what the net sees; those that left it are without area."""
        assert geometry is not None
        return Ragged(move_boxes(arrays.flat, geometry[arrays.row]).clamp(0, self.side), arrays.lengths)

    def output(self, kind: str | None = None) -> Output:
        return Detected(self)


@dataclass(frozen=True)
class Detected(Output):
    """Predicted: value, (n,) arrays of boxes (k, 4), and their probability, (n,) arrays (k,)."""

    def head(self, width: int) -> Head:
        return Detections(width, self.type.side)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return METRICS


def _is_boxes(cell: Any) -> bool:
    return isinstance(cell, (list, tuple)) and all(isinstance(box, (list, tuple)) and len(box) == 4 for box in cell)


class Detections(Head):
    """map (B, D, h, w) -> (B, 5, h, w): is the middle of a box here, where in the cell, and the logarithms of width
    and height in cells."""

    expects = "map"

    def __init__(self, width: int, side: int):
        super().__init__()
        self.side = side
        self.conv = nn.Conv2d(width, 5, 1)
        nn.init.constant_(self.conv.bias[0], -3.0)  # most cells hold no middle (RetinaNet's prior)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.conv(hidden)

    def loss(self, output: Tensor, target: Ragged, present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Nats a picture of where middles lie, and the distances of place and size of each box."""
        output, cell = output.float(), self.side / output.shape[-1]
        known = torch.ones(len(output), device=output.device) if present is None else present.float()
        size = (target.flat[:, 2:] - target.flat[:, :2]) / cell  # nan where nobody has looked
        there = (size > 0.1).all(1)
        row, size, place = target.row[there], size[there], ((target.flat[:, :2] + target.flat[:, 2:]) / 2 / cell)[there]
        at = place.long().clamp(0, output.shape[-1] - 1)
        middles = torch.zeros_like(output[:, 0])
        middles[row, at[:, 1], at[:, 0]] = 1.0
        seen = binary_cross_entropy_with_logits(output[:, 0], middles, reduction="none").sum((1, 2))
        answered = output[row, 1:, at[:, 1], at[:, 0]]
        wanted = torch.cat([place - at, size.log()], 1)
        apart = (torch.cat([answered[:, :2].sigmoid(), answered[:, 2:]], 1) - wanted).abs().sum(1)
        return known * seen.index_add(0, row, apart), known

    def predict(self, output: Tensor, options: Any = None) -> dict[str, list[Tensor]]:
        """Boxes (n, 4) of each row in what the net sees, the surest first, and their probabilities (n,)."""
        cell, ends = self.side / output.shape[-1], torch.arange(output.shape[-1], device=output.device)
        sure = output[:, 0].float().sigmoid().flatten(1)
        corner = torch.stack(torch.meshgrid(ends, ends, indexing="xy"))
        middle, half = output[:, 1:3].float().sigmoid() + corner, output[:, 3:].float().clamp(max=3).exp() / 2
        boxes = (torch.cat([middle - half, middle + half], 1) * cell).clamp(0, self.side).flatten(2).transpose(1, 2)
        kept = [_apart(row, chances) for row, chances in zip(boxes, sure, strict=True)]
        return {
            "value": [row[those] for row, those in zip(boxes, kept, strict=True)],
            "probability": [row[those] for row, those in zip(sure, kept, strict=True)],
        }

    def decode(self, predicted: Mapping[str, np.ndarray]) -> list[Prediction]:
        """In pixels of the picture itself, where the way back is known."""
        found = [torch.from_numpy(row) for row in predicted["value"]]
        if "geometry" in predicted:
            back = inverse(torch.from_numpy(predicted["geometry"]))
            limits = torch.from_numpy(predicted["extent"]).repeat(1, 2)
            found = [move_boxes(row, matrix).clamp(min=0).minimum(most) for row, matrix, most in zip(found, back, limits, strict=True)]
        return [Prediction([[round(side, 1) for side in box] for box in row.tolist()]) for row in found]


def _apart(boxes: Tensor, sure: Tensor) -> Tensor:
    """Which of a row's boxes (n, 4) are answered: the surest first, and none that is nearly one before it."""
    order = [i for i in sure.argsort(descending=True).tolist() if sure[i] >= SURE]
    kept: list[int] = []
    for i in order:
        if not kept or float(overlaps(boxes[[i]], boxes[kept]).max()) < SAME:
            kept.append(i)
    return torch.tensor(kept, dtype=torch.int64, device=boxes.device)


def overlaps(some: Tensor, others: Tensor) -> Tensor:
    """(n, 4), (m, 4) -> (n, m): intersection over union; 0 of boxes without area."""
    left_top = torch.maximum(some[:, None, :2], others[:, :2])
    right_bottom = torch.minimum(some[:, None, 2:], others[:, 2:])
    both = (right_bottom - left_top).clamp(min=0).prod(2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (some, others)]
    return both / (areas[0][:, None] + areas[1] - both).clamp(min=1e-9)


def _matches(predicted: Arrays, target: np.ndarray) -> np.ndarray:
    """(n, 3): true boxes that are answered, boxes answered, true boxes. Each true one counts once."""
    found = np.zeros((len(target), 3))
    for i, (said, true) in enumerate(zip(predicted["value"], target, strict=True)):
        shared = overlaps(torch.from_numpy(said), torch.from_numpy(true))  # (n, m)
        found[i] = int((shared >= SAME).any(0).sum()) if shared.numel() else 0, len(said), len(true)
    return found


METRICS = pooled_f1("thing", "with most of its area in common", _matches)
