"""What flows through a net on one batch: the size of what each layer is given, and which units of each activation ever answer.

Calls are intercepted where torch's own functions are called (`TorchFunctionMode`), so it does not matter whether a net writes
`nn.ReLU()`, `F.relu(x)` or `x.relu()`; hooks on modules tell where in the net a call was made.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mapsto.batch import Batch
from mapsto.learners.base import Learner

LAYERS = frozenset({"linear", "conv1d", "conv2d", "conv3d", "lstm", "gru", "rnn_tanh", "rnn_relu"})  # their first argument is what they are given
PRODUCTS = frozenset({"matmul", "__matmul__", "mm", "bmm"})  # layers where one side is a parameter
ACTIVATIONS = frozenset(
    {"relu", "relu_", "relu6", "leaky_relu", "leaky_relu_", "elu", "elu_", "selu", "celu", "gelu", "silu", "mish", "tanh", "sigmoid", "softplus"}
    | {"hardtanh", "hardswish", "hardsigmoid", "tanh_", "sigmoid_"}
)
STILL = 1e-6  # a unit whose answers differ by less, beside their size, says the same of every row


@dataclass(frozen=True)
class Given:
    """What a layer is given: the root of the mean square over rows and features."""

    where: str
    size: float


@dataclass(frozen=True)
class Units:
    """An activation's units: how many there are, and how many give the same answer for every row (and place) of the batch."""

    where: str
    kind: str
    number: int
    silent: int

    @property
    def share(self) -> float:
        return self.silent / self.number


@dataclass
class Activity:
    """In the order of the calls."""

    layers: list[Given] = field(default_factory=list)
    units: list[Units] = field(default_factory=list)


def watch(learner: Learner, batch: Batch, training: bool) -> Activity:
    """One forward pass, on a copy of the net. training: with batch statistics, as a fresh net must be; dropout too, behind the activations."""
    model = copy.deepcopy(learner.model).train(training)
    found = Activity()
    place: list[str] = []
    torch.manual_seed(0)
    with torch.no_grad(), _named(model, place), _Watch(found, place):
        model(batch.inputs, size=batch.size)
    return found


class _Watch(TorchFunctionMode):
    def __init__(self, found: Activity, place: list[str]):
        super().__init__()
        self.found, self.place = found, place

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        name = getattr(func, "__name__", "")
        given = _given(name, args)
        if given is not None:
            self.found.layers.append(Given(self.place[-1] if self.place else "", float(given.float().square().mean().sqrt())))
        result = func(*args, **(kwargs or {}))
        if name in ACTIVATIONS and isinstance(result, Tensor) and result.ndim >= 2 and len(result) > 1:
            self.found.units.append(_units(self.place[-1] if self.place else "", name.rstrip("_"), result))
        return result


def _given(name: str, args: tuple) -> Tensor | None:
    """What a layer is called with, when the call is a layer's."""
    if name in LAYERS and isinstance(args[0], Tensor) and args[0].is_floating_point():
        return args[0]
    if name in PRODUCTS and sum(isinstance(side, nn.Parameter) for side in args[:2]) == 1:
        return next(side for side in args[:2] if not isinstance(side, nn.Parameter))
    return None


def _units(where: str, kind: str, answers: Tensor) -> Units:
    """(B, D), (B, T or M, D) or maps (B, C, H, W): a unit is a place on the last axis, of maps on the second."""
    columns = answers.transpose(1, -1).flatten(0, -2) if answers.ndim >= 4 else answers.flatten(0, -2)  # (places, units)
    low, high = columns.float().amin(0), columns.float().amax(0)
    silent = (high - low) <= STILL * torch.maximum(low.abs(), high.abs()).clamp(min=STILL)
    return Units(where, kind, columns.shape[1], int(silent.sum()))


@contextmanager
def _named(model: nn.Module, place: list[str]) -> Iterator[None]:
    """Inside, the last entry of `place` is the name of the module at work."""
    handles = []
    for name, module in model.named_modules():
        handles.append(module.register_forward_pre_hook(lambda module, args, name=name: place.append(name)))
        handles.append(module.register_forward_hook(lambda module, args, output: place.pop() and None, always_call=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
