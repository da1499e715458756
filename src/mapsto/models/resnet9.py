"""ResNet-9's family: three stages that pool before they normalise, so that most of the arithmetic lies where
the map is small.

Page 2018 ("How to train your ResNet"), Jordan 2024 ("94% on CIFAR-10 in 3.29 seconds", arXiv:2404.00498).
Five 3×3 convolutions:
a stem, then per stage  conv, max-pool 2, norm, ReLU,  x + relu(norm(conv(x))).  Pictures above 40 pixels are
first brought to 40 or
fewer by stem layers of stride 2. Letters: B batch, C channels, H W image, D width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from mapsto.config import setting
from mapsto.models.base import Heads, Net, Stems, Types
from mapsto.models.resnet import OnlyInput, he_init, map_input, norm_of
from mapsto.signature import Signature

MAP = 40  # pixels a side of the first stage's map at most


@dataclass(frozen=True)
class Config:
    width: int = setting(
        32, "channels of the first stage; each further stage has twice as many", above=7, narrows=4
    )
    stages: int = setting(3, "stages, each halving the map", above=0)
    dropout: float = setting(0.0, "share of channels dropped before the heads", above=-1e-9, below=1)
    norm: str = setting("batch", "normalisation; group does not mix rows", choices=("batch", "group"))


def build(signature: Signature, types: Types, config: Config, kinds: Mapping[str, str]) -> Net:
    name, channels, size = map_input(signature, types, "resnet9")
    body = features(config, channels, size)
    return Net(
        Stems(signature, types, body.width),
        OnlyInput(name, body),
        Heads(signature, types, kinds, body.width, "map"),
    )


def features(config: Config, channels: int, size: int) -> ResNet9:
    """The body alone: (B, channels, size, size) -> map (B, D, h, w), D = its attribute `width`."""
    return ResNet9(config, channels, size)


class ResNet9(nn.Module):
    """(B, C, H, W) -> map (B, D, h, w)."""

    def __init__(self, config: Config, channels: int, size: int):
        super().__init__()
        halvings = max(0, math.ceil(math.log2(size / MAP)))
        first = max(16, config.width // 2)
        stem = [Layer(channels, first, 2 if halvings else 1, config.norm)] + [
            Layer(first, first, 2, config.norm) for _ in range(halvings - 1)
        ]
        self.stem = nn.Sequential(*stem)
        widths = [first, *(config.width * 2**stage for stage in range(config.stages))]
        self.stages = nn.Sequential(
            *(Stage(before, after, config.norm) for before, after in pairwise(widths))
        )
        self.dropout = nn.Dropout2d(config.dropout)
        self.width = widths[-1]
        he_init(self, zero=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.stages(self.stem(x)))


class Layer(nn.Module):
    """Convolution, norm, ReLU."""

    def __init__(self, inputs: int, width: int, stride: int, norm: str):
        super().__init__()
        self.conv = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.norm = norm_of(norm, width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


class Stage(nn.Module):
    """(B, C, H, W) -> (B, D, ⌈H/2⌉, ⌈W/2⌉). Pooling before the norm leaves a quarter of the memory traffic to
    norm and ReLU."""

    def __init__(self, inputs: int, width: int, norm: str):
        super().__init__()
        self.conv = nn.Conv2d(inputs, width, 3, 1, 1, bias=False)
        self.norm = norm_of(norm, width)
        self.residual = Layer(width, width, 1, norm)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(F.max_pool2d(self.conv(x), 2, ceil_mode=True)))
        return x + self.residual(x)
