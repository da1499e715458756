"""Residual networks for images of any size (He, Zhang, Ren, Sun 2015; pre-activation: 2016).

A stem, then stages of residual blocks; each stage halves the image and doubles the channels. Two families:
  small images (≤ 64 pixels): 3×3 stem, 3 stages, depth 6n+2 (8, 20, 56, 110, …), 16 channels first: 4.2
  larger images: 7×7 stem with stride 2 and max-pooling, 4 stages, depth 18, 34, 50, 101, 152: its table 1
Depths 18, 34, 50, 101, 152 mean table 1's blocks at any size. Or say `blocks=[2,2]` and `width=64` yourself.

The shortcut is an identity, or, where shapes change, average pooling and a 1×1 convolution (He et al. 2018,
"ResNet-D"). Every block starts as the identity, its last convolution (pre) or last norm's scale (post) at
zero (Goyal et al. 2017), so that 110 layers and more train from the first step. With pre-activation it is the
convolution that is zero: a zero scale there would sit before a ReLU and never get a gradient. Letters: B
batch, C channels, D width, H W image.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mapsto.config import setting
from mapsto.errors import ConfigError
from mapsto.models._layers import BatchNorm
from mapsto.models.base import Heads, Net, Stems, Types, only_input
from mapsto.signature import Signature

TABLE_1 = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
BOTTLENECKS = (50, 101, 152)
SMALL = 64  # pixels; up to here the 3×3 stem


@dataclass(frozen=True)
class Config:
    depth: int | None = setting(None, "layers with weights (20 up to 64 pixels, 18 above)", above=3)
    width: int | None = setting(
        None, "channels of the first stage (16 for the 6n+2 family, else 64)", above=0
    )
    blocks: tuple[int, ...] | None = setting(None, "blocks in each stage, instead of depth")
    block: str | None = setting(
        None,
        "two 3×3 convolutions, or 1×1, 3×3, 1×1 with four times the channels",
        choices=("basic", "bottleneck"),
    )
    stem: str | None = setting(
        None, "3×3, or 7×7 with stride 2 and max-pooling (by image size)", choices=("small", "large")
    )
    stride: int | None = setting(None, "stride of the small stem (1)", above=0)
    preactivation: bool = setting(
        True, "norm and ReLU before each convolution (2016) rather than after (2015)"
    )
    norm: str = setting("batch", "normalisation; group does not mix rows", choices=("batch", "group"))
    zero_init: bool = setting(True, "every block starts as the identity")
    dropout: float = setting(0.0, "share of channels dropped before the heads", above=-1e-9, below=1)
    stochastic_depth: float = setting(
        0.0,
        "share of rows that skip the last block, rising linearly from 0 (Huang et al. 2016)",
        above=-1e-9,
        below=1,
    )


def build(signature: Signature, types: Types, config: Config, kinds: Mapping[str, str]) -> Net:
    name, channels, size = map_input(signature, types, "resnet")
    body = features(config, channels, size)
    return Net(
        Stems(signature, types, body.width),
        OnlyInput(name, body),
        Heads(signature, types, kinds, body.width, "map"),
    )


def features(config: Config, channels: int, size: int) -> ResNet:
    """The body alone: (B, channels, size, size) -> map (B, D, h, w), D = its attribute `width`."""
    return ResNet(config, channels, size)


def image_input(signature: Signature, types: Types, model: str) -> tuple[str, int, int]:
    """(slot, channels, pixels a side) of the only input, an image; ConfigError when it is something else."""
    name = only_input(signature, types, model, "image")
    stem = types["input", name].stem(1)
    return name, stem.channels, stem.size  # type: ignore[return-value]


def map_input(signature: Signature, types: Types, model: str) -> tuple[str, int, int]:
    """(slot, channels, side of a square of as many places) of the only input, whose stem gives a map: an
    image, or a sound's spectrum."""
    stems = Stems(signature, types, 1)
    if [stems.gives[name] for name in stems.order] != ["map"]:
        return image_input(signature, types, model)
    name = stems.order[0]
    stem = types["input", name].stem(1)
    return name, stem.channels, stem.size  # type: ignore[return-value]


def stages_of(config: Config, size: int) -> tuple[list[tuple[int, int, int]], bool]:
    """-> [(blocks, width, stride) of each stage], whether blocks are bottlenecks. The width rule of the
    file's head."""
    small = (config.stem or ("small" if size <= SMALL else "large")) == "small"
    if config.blocks is not None and config.depth is not None:
        raise ConfigError("model 'resnet': expected depth or blocks, got both.\nKeep one of them.")
    depth = config.depth or (20 if small else 18)
    bottleneck = (
        config.block == "bottleneck" if config.block else config.blocks is None and depth in BOTTLENECKS
    )
    blocks = config.blocks or TABLE_1.get(depth) or spread(depth, 3 if bottleneck else 2, 3 if small else 4)
    if min(blocks) < 1:
        raise ConfigError(
            f"model 'resnet': blocks: expected numbers ≥ 1, got {list(blocks)}.\nGive such: blocks=2 2 2 2."
        )
    width = config.width or (16 if small and len(blocks) == 3 and config.blocks is None else 64)
    return [
        (number, width * 2**stage, 1 if stage == 0 else 2) for stage, number in enumerate(blocks)
    ], bottleneck


def spread(depth: int, layers: int, stages: int) -> tuple[int, ...]:
    """(depth - 2) / layers blocks over the stages as evenly as they go, earlier stages first."""
    number, rest = divmod(depth - 2, layers)
    if rest or number < 1:
        near = max(number, 1) * layers + 2
        raise ConfigError(
            f"model 'resnet': depth {depth} is not 2 + a multiple of {layers}.\nNext to it: {near},"
            f" {near + layers}."
        )
    return tuple(filter(None, ((number + stages - 1 - stage) // stages for stage in range(stages))))


class ResNet(nn.Module):
    """(B, C, H, W) -> map (B, D, h, w)."""

    def __init__(self, config: Config, channels: int, size: int):
        super().__init__()
        stages, bottleneck = stages_of(config, size)
        large = (config.stem or ("small" if size <= SMALL else "large")) == "large"
        if large and config.stride is not None:
            raise ConfigError(
                f"model 'resnet': stride is for the small stem; images of {size} pixels get the large"
                " one.\nLeave it out or add stem=small."
            )
        inputs = stages[0][1]
        self.stem = large_stem(channels, inputs, config) if large else small_stem(channels, inputs, config)
        total, blocks = sum(number for number, _, _ in stages), []
        for number, width, stride in stages:
            for place in range(number):
                skip = config.stochastic_depth * len(blocks) / max(total - 1, 1)
                blocks.append(Block(inputs, width, stride if place == 0 else 1, bottleneck, skip, config))
                inputs = blocks[-1].width
        self.blocks = nn.Sequential(*blocks)
        self.last = (
            nn.Sequential(norm_of(config.norm, inputs), nn.ReLU()) if config.preactivation else nn.Identity()
        )
        self.dropout = nn.Dropout2d(config.dropout)  # a whole channel before pooling = one unit after it
        self.width = inputs
        he_init(self, config.zero_init)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.last(self.blocks(self.stem(x))))


def small_stem(channels: int, width: int, config: Config) -> nn.Module:
    conv = nn.Conv2d(channels, width, 3, config.stride or 1, 1, bias=False)
    return conv if config.preactivation else nn.Sequential(conv, norm_of(config.norm, width), nn.ReLU())


def large_stem(channels: int, width: int, config: Config) -> nn.Module:
    conv = nn.Conv2d(channels, width, 7, 2, 3, bias=False)
    return nn.Sequential(conv, norm_of(config.norm, width), nn.ReLU(), nn.MaxPool2d(3, 2, 1))


class Block(nn.Module):
    """x -> shortcut(x) + residual(x). 2016: norm, ReLU, convolution, twice or thrice; 2015: convolution,
    norm, ReLU."""

    def __init__(self, inputs: int, width: int, stride: int, bottleneck: bool, skip: float, config: Config):
        super().__init__()
        self.pre, self.stride, self.skip = config.preactivation, stride, skip
        self.width = width * 4 if bottleneck else width
        shapes = [(inputs, width, 1, 1), (width, width, 3, stride), (width, self.width, 1, 1)]
        shapes = shapes if bottleneck else [(inputs, width, 3, stride), (width, width, 3, 1)]
        self.convs = nn.ModuleList(
            nn.Conv2d(c_in, c_out, kernel, s, kernel // 2, bias=False) for c_in, c_out, kernel, s in shapes
        )
        self.norms = nn.ModuleList(
            norm_of(config.norm, c_in if self.pre else c_out) for c_in, c_out, _, _ in shapes
        )
        self.project = None
        if stride > 1 or inputs != self.width:
            conv = nn.Conv2d(inputs, self.width, 1, bias=False)
            self.project = conv if self.pre else nn.Sequential(conv, norm_of(config.norm, self.width))

    def forward(self, x: Tensor) -> Tensor:
        if not self.pre:
            return F.relu(self.shortcut(x) + self.kept(self.after(x)))
        hidden = F.relu(self.norms[0](x))
        shortcut = (
            x if self.project is None else self.shortcut(hidden)
        )  # where shapes change, both paths are activated
        return shortcut + self.kept(self.before(hidden))

    def before(self, hidden: Tensor) -> Tensor:
        """The residual of 2016; `hidden` has been through the first norm and ReLU."""
        hidden = self.convs[0](hidden)
        for norm, conv in zip(list(self.norms)[1:], list(self.convs)[1:], strict=True):
            hidden = conv(F.relu(norm(hidden)))
        return hidden

    def after(self, hidden: Tensor) -> Tensor:
        """The residual of 2015; the ReLU after the last norm follows the sum."""
        for place, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            hidden = norm(conv(F.relu(hidden) if place else hidden))
        return hidden

    def shortcut(self, x: Tensor) -> Tensor:
        if self.project is None:
            return x
        return self.project(F.avg_pool2d(x, self.stride, ceil_mode=True) if self.stride > 1 else x)

    def kept(self, residual: Tensor) -> Tensor:
        return drop_path(residual, self.skip) if self.training and self.skip else residual


class OnlyInput(nn.Module):
    """{slot: features} -> body(features), for a body that takes one tensor."""

    def __init__(self, name: str, body: nn.Module):
        super().__init__()
        self.name, self.body = name, body

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        return self.body(features[self.name])


def norm_of(kind: str, channels: int) -> nn.Module:
    """Group norm takes 32 groups or the most that divide the channels (Wu & He 2018)."""
    return BatchNorm(channels) if kind == "batch" else nn.GroupNorm(math.gcd(32, channels), channels)


def drop_path(residual: Tensor, share: float) -> Tensor:
    """Stochastic depth (Huang et al. 2016): that share of the rows skips this residual, the others' are
    scaled up."""
    keep = torch.rand(len(residual), *[1] * (residual.ndim - 1), device=residual.device) >= share
    return residual * keep / (1 - share)


def he_init(net: nn.Module, zero: bool) -> None:
    """He's normal initialisation of all convolutions; `zero` makes every block the identity."""
    for part in net.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
    for part in net.modules() if zero else ():
        if isinstance(part, Block):
            nn.init.zeros_((part.convs if part.pre else part.norms)[-1].weight)  # type: ignore[arg-type]
