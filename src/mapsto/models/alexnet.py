"""AlexNet (Krizhevsky, Sutskever, Hinton 2012): five convolutions, three poolings, two wide layers with
dropout.

From 160 pixels on it is the paper's net in one piece: 11×11 stride 4, 96-256-384-384-256 channels, 6×6 map,
4096 units twice. Smaller images get a smaller first kernel and stride (7×7 stride 2; up to 64 pixels 5×5
stride 1) and fewer units, so that the map keeps some pixels to look at: 28 pixels end at 3×3. Batch norm
instead of the paper's local response norm (norm=local) and He initialisation let it train without the paper's
hand-tuned rates. Letters: B batch, C channels, D width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from mapsto.config import setting
from mapsto.models._layers import BatchNorm
from mapsto.models.base import Heads, Net, Stems, Types
from mapsto.models.resnet import OnlyInput, image_input
from mapsto.signature import Signature

GRID = 6  # pixels a side the wide layers see at most


@dataclass(frozen=True)
class Config:
    width: int = setting(
        96, "channels of the first convolution; the others keep the paper's ratios", above=2, narrows=8
    )
    units: int | None = setting(None, "units of the two wide layers (4096; 1024 below 160 pixels)", above=0)
    dropout: float = setting(0.5, "share of units dropped before each wide layer", above=-1e-9, below=1)
    norm: str = setting(
        "batch",
        "normalisation: batch, the paper's local response norm after layers 1 and 2, or none",
        choices=("batch", "local", "none"),
    )


def build(signature: Signature, types: Types, config: Config, kinds: Mapping[str, str]) -> Net:
    name, channels, size = image_input(signature, types, "alexnet")
    body = AlexNet(config, channels, size)
    return Net(
        Stems(signature, types, body.width),
        OnlyInput(name, body),
        Heads(signature, types, kinds, body.width, "pooled"),
    )


def first_layer(size: int) -> tuple[int, int]:
    """(kernel, stride) of the first convolution by image size."""
    if size >= 160:
        return 11, 4
    return (7, 2) if size > 64 else (5, 1)


class AlexNet(nn.Module):
    """(B, C, size, size) -> (B, D)."""

    def __init__(self, config: Config, channels: int, size: int):
        super().__init__()
        kernel, stride = first_layer(size)
        widths = [config.width * ratio // 3 for ratio in (3, 8, 12, 12, 8)]
        plan = [(kernel, stride, True), (5, 1, True), (3, 1, False), (3, 1, False), (3, 1, True)]
        layers: list[nn.Module] = []
        side, inputs = size, channels
        for place, (width, (kernel, stride, pool)) in enumerate(zip(widths, plan, strict=True)):
            padding = 2 if kernel == 11 else kernel // 2
            layers += [nn.Conv2d(inputs, width, kernel, stride, padding, bias=config.norm != "batch")]
            layers += normalised(config.norm, width, place)
            side, inputs = (side + 2 * padding - kernel) // stride + 1, width
            if pool and side > 1:
                layers += [nn.MaxPool2d(3, 2, ceil_mode=True)]  # overlapping, section 3.4
                side = max(math.ceil((side - 3) / 2), 0) + 1
        shrink = math.ceil(side / GRID)
        if shrink > 1:  # larger images than the paper's
            layers += [nn.AvgPool2d(shrink, ceil_mode=True)]
            side = math.ceil(side / shrink)
        self.convolutions = nn.Sequential(*layers)
        self.width = config.units or (4096 if size >= 160 else 1024)
        wide = ((inputs * side * side, self.width), (self.width, self.width))
        self.wide = nn.Sequential(
            *(part for pair in wide for part in (nn.Dropout(config.dropout), nn.Linear(*pair), nn.ReLU()))
        )
        for part in self.modules():
            if isinstance(part, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
                if part.bias is not None:
                    nn.init.zeros_(part.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.wide(self.convolutions(x).flatten(1))  # (B, C·6·6) -> (B, D)


def normalised(norm: str, width: int, place: int) -> list[nn.Module]:
    """ReLU with its normalisation. The paper's (section 3.3) follows the ReLU of the first two layers."""
    if norm == "batch":
        return [BatchNorm(width), nn.ReLU()]
    return (
        [nn.ReLU(), nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2.0)]
        if norm == "local" and place < 2
        else [nn.ReLU()]
    )
