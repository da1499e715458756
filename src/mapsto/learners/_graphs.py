"""Graphs that a net which writes is exported as: it is asked anew for each token, and given back what it
kept.

Of `models._writers` a Writer reads once (`encoder`) and then writes (`step`); a LanguageModel does both by
`step`, of any number of tokens. Letters: B rows, K answers of a row, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mapsto.metrics import Metric
from mapsto.models._graph_state import CACHED, CHANGING
from mapsto.models._writers import LanguageModel, Writer
from mapsto.models.base import Types
from mapsto.signature import Signature

# of an example, each unlike the others and unlike lengths of its cells: an exporter takes equal sides for one
ANSWERS, WRITTEN, NEW = 3, 5, 7
LAST, LOGITS, KEPT = "last", "logits", "kept"
NEXT = "next."  # before the name of what was kept, as it is after the token


@dataclass(frozen=True)
class EvalTexts:
    """Texts that a net and its export are compared on. condition: tokens given (n, T); said: those to be said
    behind each, PADDING for none; metrics: of "nats" (n,) of these."""

    condition: np.ndarray
    said: np.ndarray
    metrics: tuple[Metric, ...]


Sides = Mapping[str, Mapping[int, str]]  # {name: {place of a side that may change: its letter, or ""}}


class Tensors(nn.Module):
    """(tensors in the order of `names`) -> tensors in the order of `outputs`."""

    def __init__(self, names: Sequence[str], outputs: Sequence[str]):
        super().__init__()
        self.names, self.outputs = tuple(names), tuple(outputs)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        found = self.named(dict(zip(self.names, tensors, strict=True)))
        return tuple(found[name] for name in self.outputs)

    def named(self, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        raise TypeError(f"{type(self).__name__} gives nothing")


@dataclass(frozen=True)
class Part:
    """One of an exported net's graphs, NAME.onnx. example: what `net` is given, by name; sides: of each those
    that may change."""

    name: str
    net: Tensors
    example: Mapping[str, np.ndarray]
    sides: Sides


def inputs_of(signature: Signature, types: Types, given: Mapping[str, Tensor]) -> dict[str, Any]:
    """{"input0.tokens": (B, ...), …}, what a graph is given of cells -> what a net is given, by input."""
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in given.items():
        slot, _, part = name.partition(".")
        parts.setdefault(slot, {})[part] = tensor
    return {
        slot.name: types["input", slot.name].from_graph(parts[f"input{number}"])
        for number, slot in enumerate(signature.inputs)
    }


class Encoder(Tensors):
    """Cells -> what a writer keeps before the first token."""

    def __init__(self, model: Writer, signature: Signature, types: Types, names: Sequence[str]):
        super().__init__(names, [name for name, told in model.kept_sides.items() if "T" not in told])
        self.model, self.signature, self.types = model, signature, types

    def named(self, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return self.model.tensors_of(self.model.begin(inputs_of(self.signature, self.types, given)))


class Step(Tensors):
    """The last tokens (B, K) and what a writer keeps -> logits (B, K, V), and what it keeps then."""

    def __init__(self, model: Writer):
        kept = model.kept_sides
        changing = [NEXT + name for name, told in kept.items() if "K" in told]
        super().__init__([LAST, *kept], [LOGITS, *changing])
        self.model = model

    def named(self, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        last, state = given[LAST], self.model.state_of(given)
        logits = self.model.next(last.flatten(), state).unflatten(0, last.shape)
        return {LOGITS: logits} | {NEXT + name: one for name, one in self.model.tensors_of(state).items()}


class Continue(Tensors):
    """Tokens (B, T) behind those that are kept -> logits (B, V) of the token behind the last, and what is
    kept then."""

    def __init__(self, model: LanguageModel):
        super().__init__([LAST, KEPT], [LOGITS, NEXT + KEPT])
        self.model = model

    def named(self, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        cache = self.model.cache_of(given[KEPT])
        logits = self.model.next(given[LAST], cache)
        return {LOGITS: logits, NEXT + KEPT: self.model.kept_tensor(cache)}


@torch.no_grad()
def graphs_of_writer(
    model: Writer,
    signature: Signature,
    types: Types,
    cells: Mapping[str, np.ndarray],
    sides: Sides,
) -> list[Part]:
    encoder = Encoder(model, signature, types, tuple(cells))
    read = encoder(*(torch.from_numpy(one) for one in cells.values()))
    kept = dict(zip(encoder.outputs, read, strict=True))
    kept |= _unwritten(model.kept_sides, kept)
    many = {name: _repeated(one, model.kept_sides[name]) for name, one in kept.items()}
    rows = next(iter(cells.values())).shape[0]
    example = {LAST: np.ones((rows, ANSWERS), np.int64)} | {
        name: one.contiguous().numpy() for name, one in many.items()
    }
    changing = {LAST: {0: "B", 1: "K"}} | {name: changing_of(told) for name, told in model.kept_sides.items()}
    return [
        Part("encoder", encoder, cells, sides),
        Part("step", Step(model), {name: example[name] for name in (LAST, *model.kept_sides)}, changing),
    ]


def graphs_of_language_model(model: LanguageModel) -> list[Part]:
    kept = model.kept_tensor(model.cache(2))[..., :1, :]  # as wide as it is, of one token
    kept = torch.zeros_like(kept).expand(*kept.shape[:4], WRITTEN, kept.shape[5]).contiguous()
    example = {LAST: np.ones((2, NEW), np.int64), KEPT: kept.numpy()}
    return [Part("step", Continue(model), example, {LAST: {0: "B", 1: ""}, KEPT: changing_of(CACHED[KEPT])})]


def changing_of(told: str) -> dict[int, str]:
    return {place: side for place, side in enumerate(told.split()) if side in CHANGING}


def sides_of(told: Mapping[str, str], tensors: Mapping[str, np.ndarray]) -> dict[str, list[Any]]:
    """{name: its sides}, a letter for those that change and a number for others, as JSON."""
    return {
        name: [
            side if side in CHANGING else size
            for side, size in zip(one.split(), tensors[name].shape, strict=True)
        ]
        for name, one in told.items()
    }


def _unwritten(sides: Mapping[str, str], kept: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What is kept of tokens written, where there are `WRITTEN` of them, of one answer a row: a side is as
    long as it is of the others."""
    size = {"T": WRITTEN, "K": 1}
    for name, one in kept.items():
        size |= dict(zip(sides[name].split(), one.shape, strict=True))
    return {
        name: torch.zeros([size[side] for side in told.split()])
        for name, told in sides.items()
        if name not in kept
    }


def _repeated(tensor: Tensor, told: str) -> Tensor:
    """Of as many answers a row."""
    sides = told.split()
    return tensor.repeat_interleave(ANSWERS, sides.index("K")) if "K" in sides else tensor


def options_of_writer(model: Writer, parts: Sequence[Part]) -> dict[str, Any]:
    """What `mapsto.lite.ways.answers` is told of a net: tokens that an answer has at most, and what is
    kept."""
    return {"most": model.most, "kept": sides_of(model.kept_sides, parts[-1].example)}


def options_of_language_model(model: LanguageModel, parts: Sequence[Part]) -> dict[str, Any]:
    """Likewise `mapsto.lite.ways.texts`."""
    return {"most": model.most, "kept": sides_of(CACHED, parts[-1].example)}
