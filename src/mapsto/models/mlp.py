"""Multilayer perceptron, and TabM: an ensemble of them inside one net.

Tables: every cell is a token from its room (numbers piecewise-linear or periodic, Gorishniy et al. 2022;
categories embedded); the tokens are laid side by side and go through `depth` layers. Images are flattened.

With `members` k > 1 it is TabM (Gorishniy, Kotelnikov, Babenko 2024): k nets share every weight matrix and
differ in cheap adapters (BatchEnsemble, Wen et al. 2020): member i computes s_i ⊙ W(r_i ⊙ x) + b_i. Each
member is trained on its own loss, the prediction is their mean. Letters: B batch, F features, M members, D
width, T tokens, C channels, H W image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mapsto.config import setting
from mapsto.models._layers import BatchNorm, Dropout
from mapsto.models.base import Heads, Net, Stems, Types, flat
from mapsto.models.linear import feature_shapes, needs_input
from mapsto.signature import Signature

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "silu": F.silu,
    "mish": F.mish,
    "tanh": torch.tanh,
}


@dataclass(frozen=True)
class Config:
    width: int = setting(256, "units of a layer", above=0, narrows=8)
    depth: int = setting(3, "layers", above=0)
    members: int = setting(1, "nets in one, sharing their weights (TabM; 16 to 32 help on tables)", above=0)
    adapter: str = setting(
        "input",
        "random scales that tell members apart: on the first layer's input (TabM) or output",
        choices=("input", "output"),
    )
    scales: str = setting(
        "signs", "how those scales are drawn: ±1, or from a normal distribution", choices=("signs", "normal")
    )
    dropout: float = setting(0.1, "share of units dropped after each layer", above=-1e-9, below=1)
    embedding: int = setting(16, "width of a cell's token", above=0, narrows=2)
    activation: str = setting("relu", "activation", choices=tuple(ACTIVATIONS))
    norm: str = setting("none", "normalisation before the activation", choices=("none", "layer", "batch"))
    init: str = setting(
        "uniform",
        "initial weights: ±1/√fan-in, He's (for relu) or Xavier's (for tanh)",
        choices=("uniform", "he", "xavier"),
    )
    pixels: int = setting(
        64, "images with longer sides are averaged down to at most this many pixels a side", above=0
    )


def wants(signature: Signature, config: Config) -> dict[str, dict[str, Any]]:
    return {slot.name: {"fixed": True} for slot in signature.inputs}


def build(signature: Signature, types: Types, config: Config, kinds: Mapping[str, str]) -> Net:
    needs_input(signature, "mlp")
    stems = Stems(signature, types, config.embedding)
    shapes = feature_shapes(stems, signature, types, "mlp")
    flatten = Flatten(shapes, config.pixels)
    body = nn.Sequential(flatten, Mlp(flatten.sections, config))
    return Net(stems, body, Heads(signature, types, kinds, config.width, "pooled"))


class Flatten(nn.Module):
    """{slot: (T, D) tokens, (C, H, W) maps or (F,) features a row} -> (B, F).

    sections: how many neighbouring values belong to one feature: a token's D, else 1."""

    def __init__(self, shapes: Mapping[str, tuple[int | None, ...]], pixels: int):
        super().__init__()
        self.shrink: dict[str, int] = {}
        self.sections: list[int] = []
        for name, sides in shapes.items():
            shape = [side or 1 for side in sides]
            if len(shape) == 3:  # (C, H, W)
                self.shrink[name] = shrink = math.ceil(max(shape[1:]) / pixels)
                self.sections += [1] * (
                    shape[0] * math.ceil(shape[1] / shrink) * math.ceil(shape[2] / shrink)
                )
            else:
                self.sections += [shape[1]] * shape[0] if len(shape) == 2 else [1] * shape[0]

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        return flat({name: self._shrunk(value, self.shrink.get(name, 1)) for name, value in features.items()})

    def _shrunk(self, value: Tensor, by: int) -> Tensor:
        return F.avg_pool2d(value, by, ceil_mode=True) if by > 1 else value


class Mlp(nn.Module):
    """(B, F) -> (B, D), or (B, M, D) with members. sections: sizes of the features that make up F."""

    def __init__(self, sections: Sequence[int], config: Config):
        super().__init__()
        sizes = [sum(sections)] + [config.width] * config.depth
        self.members = config.members
        self.layers = nn.ModuleList(
            Linear(fan_in, fan_out, config.members, config.init) for fan_in, fan_out in pairwise(sizes)
        )
        self.norms = nn.ModuleList(
            norm_of(config.norm, config.members, config.width) for _ in range(config.depth)
        )
        self.dropout = Dropout(config.dropout, together=True)
        self.activation = ACTIVATIONS[config.activation]
        self.last_r = nn.Parameter(torch.ones(config.members * config.width)) if config.members > 1 else None
        if config.members > 1:
            first: Linear = self.layers[0]  # type: ignore[assignment]
            first.differ(sections, config.adapter, config.scales)

    def forward(self, x: Tensor) -> Tensor:
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = self.dropout(self.activation(norm(layer(x))))
        return (
            x if self.last_r is None else x * self.last_r.view(self.members, -1).to(x.dtype)
        )  # the heads' r_i: heads themselves are shared


class Linear(nn.Module):
    """Wx + b; with members s_i ⊙ W(r_i ⊙ x) + b_i (BatchEnsemble). (B, I) or (B, M, I) -> (B, O) or (B, M,
    O).

    All members' r lie in one vector (M·I), s and b in (M·O): optimizers then treat them as vectors, not as
    matrices.
    """

    def __init__(self, fan_in: int, fan_out: int, members: int, init: str):
        super().__init__()
        bound = fan_in**-0.5
        self.weight = nn.Parameter(torch.empty(fan_out, fan_in).uniform_(-bound, bound))
        if init == "he":
            nn.init.kaiming_normal_(self.weight, nonlinearity="relu")
        elif init == "xavier":
            nn.init.xavier_uniform_(self.weight)
        bias = torch.empty(fan_out).uniform_(-bound, bound) if init == "uniform" else torch.zeros(fan_out)
        self.members, self.r, self.s = members, None, None
        if members > 1:  # members start equal but for the first layer
            self.r, self.s = (
                nn.Parameter(torch.ones(members * fan_in)),
                nn.Parameter(torch.ones(members * fan_out)),
            )
            bias = bias.repeat(members)
        self.bias = nn.Parameter(bias)

    def differ(self, sections: Sequence[int], adapter: str, scales: str) -> None:
        """Make members differ. On the input one scale a feature, not a value, as in the authors' code: a
        member sees features turned around or weighted. On the output W x is computed once for all members."""
        assert self.r is not None and self.s is not None
        scale = self.r if adapter == "input" else self.s
        sizes = (
            torch.tensor(sections) if adapter == "input" else torch.ones(len(self.weight), dtype=torch.long)
        )
        drawn = torch.randn(self.members, len(sizes))
        with torch.no_grad():
            scale.copy_(
                (drawn if scales == "normal" else torch.where(drawn < 0, -1.0, 1.0))
                .repeat_interleave(sizes, 1)
                .flatten()
            )
        if adapter == "output":
            self.r = None

    def forward(self, x: Tensor) -> Tensor:
        if self.s is None:
            return F.linear(x, self.weight, self.bias)
        if x.ndim == 2:
            x = x[:, None]  # (B, 1, I): all members see the same row
        x = x if self.r is None else x * self.r.view(self.members, -1).to(x.dtype)  # (B, M, I)
        s, bias = self.s.view(self.members, -1), self.bias.view(self.members, -1)
        y = F.linear(x, self.weight)
        return torch.addcmul(bias.to(y.dtype), y, s.to(y.dtype))  # (B, M, O)


class MemberNorm(nn.Module):
    """Batch norm with statistics for each member: (B, D) or (B, M, D), the same shape back."""

    def __init__(self, features: int):
        super().__init__()
        self.norm = BatchNorm(features)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.flatten(1)).view(x.shape)


def norm_of(kind: str, members: int, width: int) -> nn.Module:
    if kind == "none":
        return nn.Identity()
    return nn.LayerNorm(width) if kind == "layer" else MemberNorm(members * width)
