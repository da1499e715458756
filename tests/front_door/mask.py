"""A mask of a picture, right of the arrow: which pixels belong to the thing. Type, head and metric, all in this file.

Letters: B batch, D width, H W picture, S side of the square in which the net sees it, h w the net's map.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import PIL.Image
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate

from mapsto.batch import Draw
from mapsto.cells import Annotated, Column, is_missing, shorten
from mapsto.errors import CellError
from mapsto.metrics import Arrays, Metric, ratio_of
from mapsto.outputs.base import Head, Output
from mapsto.prediction import Prediction
from mapsto.signature import Signature
from mapsto.types._geometry import inverse, warp
from mapsto.types._placement import placed_mask
from mapsto.types.base import DataType, Layout, last_spatial, learned

UNKNOWN = 255  # a pixel of which nothing is said: padding, and what comes into view when a picture is moved


@dataclass(frozen=True)
class Mask(DataType):
    """A picture of its picture's size, light where the thing is. Stored: uint8 (S, S) of 1, 0 and UNKNOWN, placed as the
    picture is."""

    outputs: ClassVar[tuple[str, ...]] = ("dense",)
    modality: ClassVar[str] = "image"
    reading: ClassVar[tuple[str, ...]] = ("side",)
    spatial: ClassVar[bool] = True

    side: int = learned(0)

    @classmethod
    def sniff(cls, column: Column) -> float:
        """Nothing but its name tells a mask from a picture."""
        pictures = [str(cell).lower().endswith((".png", ".gif", ".bmp")) for cell in column.known[:100]]
        return 0.96 if "mask" in column.name.lower() and pictures and all(pictures) else 0.0

    def annotates(self, signature: Signature) -> str:
        return last_spatial(signature, None, "mask")

    def read(self, cell: Any) -> np.ndarray | None:
        """(H, W) of 1 and 0."""
        cell = cell.cell if isinstance(cell, Annotated) else cell
        if is_missing(cell):
            return None
        try:
            with PIL.Image.open(str(cell)) as picture:
                return (np.asarray(picture.convert("L")) > 127).astype(np.uint8)
        except OSError as problem:
            raise CellError(f"expected a mask, got {shorten(cell)} ({problem}).\nGive a picture's path.") from None

    def fit(self, values: Sequence[Any], spec: Mapping[str, Any]) -> Self:
        return replace(self, side=spec["inputs"][spec["into"]].layout.shape[-1])

    @property
    def layout(self) -> Layout:
        return Layout("uint8", (self.side, self.side))

    def encode(self, value: np.ndarray | None) -> np.ndarray:
        return np.full(self.layout.shape, UNKNOWN, np.uint8) if value is None else placed_mask(value, self.side, UNKNOWN)

    def present(self, arrays: Tensor) -> Tensor:
        return (arrays != UNKNOWN).flatten(1).any(1)

    def collate(self, arrays: Tensor, draw: Draw | None, geometry: Tensor | None = None) -> Tensor:
        """(B, S, S) uint8, moved as the picture is."""
        assert geometry is not None
        return warp(arrays[:, None], geometry, (self.side, self.side), nearest=True, fill=UNKNOWN)[:, 0].to(torch.uint8)

    def output(self, kind: str | None = None) -> Output:
        return Segmented(self)


@dataclass(frozen=True)
class Segmented(Output):
    """Which pixels belong to the thing."""

    def head(self, width: int) -> Head:
        return Dense(width, self.type.side)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (IOU,)


class Dense(Head):
    """map (B, D, h, w) -> (B, S, S): how sure each pixel belongs to the thing (Long et al. 2015, without its skips)."""

    expects = "map"

    def __init__(self, width: int, side: int):
        super().__init__()
        self.side = side
        self.conv = nn.Conv2d(width, 1, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        return interpolate(self.conv(hidden), size=(self.side, self.side), mode="bilinear")[:, 0]

    def loss(self, output: Tensor, target: Tensor, present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Nats of the pixels that are known, and their number."""
        known = target != UNKNOWN if present is None else (target != UNKNOWN) & present[:, None, None]
        cost = binary_cross_entropy_with_logits(output.float(), (target == 1).float(), reduction="none")
        return (cost * known).sum((1, 2)), known.sum((1, 2)).float()

    def merge(self, outputs: Sequence[Tensor], views: Tensor | None) -> Tensor:
        """The mean, each view's scores brought back to where the plain view has them."""
        assert views is not None
        size = (self.side, self.side)
        back = [
            warp(output[:, None], inverse(view).expand(len(output), 2, 3), size)[:, 0] for output, view in zip(outputs, views, strict=True)
        ]
        return torch.stack(back).mean(0)

    def predict(self, output: Tensor, options: Any = None) -> dict[str, Tensor]:
        return {"value": (output > 0).to(torch.uint8)}

    def decode(self, predicted: Mapping[str, np.ndarray]) -> list[Prediction]:
        """In the picture's own pixels, as COCO writes masks: lengths of runs down the columns, the first of zeros."""
        back = inverse(torch.from_numpy(predicted["geometry"]))
        found = []
        for value, matrix, (width, height) in zip(predicted["value"], back, predicted["extent"].astype(int).tolist(), strict=True):
            whole = warp(torch.from_numpy(value)[None, None], matrix[None], (height, width), nearest=True)
            found.append(Prediction({"size": [height, width], "counts": runs(whole[0, 0].numpy() > 0)}))
        return found


def runs(mask: np.ndarray) -> list[int]:
    """(H, W) bool -> lengths of its runs down the columns; the first is of False, perhaps 0."""
    flat = mask.T.ravel()
    ends = np.flatnonzero(np.diff(flat)) + 1
    return [0] * bool(flat[:1].any()) + np.diff([0, *ends, len(flat)]).tolist()


def of_runs(size: Sequence[int], counts: Sequence[int]) -> np.ndarray:
    """The inverse of `runs`."""
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(size[1], size[0]).T


def _shared(predicted: Arrays, target: np.ndarray) -> np.ndarray:
    """(n, 2): pixels in both masks, and in either, of those known."""
    said, true = (predicted["value"] == 1) & (target != UNKNOWN), target == 1
    return np.stack([(said & true).sum((1, 2)), (said | true).sum((1, 2))], 1).astype(np.float64)


IOU = Metric("iou", "Pixels in both masks, of those in either, over all rows together.", _shared, ratio_of)
