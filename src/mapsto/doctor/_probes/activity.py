"""What flows through a net on one batch: the size of what each layer is given, and which units of each
activation ever answer.

Calls are intercepted where torch's own functions are called (`TorchFunctionMode`), so it does not matter
whether a net writes `nn.ReLU()`, `F.relu(x)` or `x.relu()`; hooks on modules tell where in the net a call was
made.
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
from mapsto.doctor.base import Subject
from mapsto.learners.base import Learner

LAYERS = frozenset(
    {"linear", "conv1d", "conv2d", "conv3d", "lstm", "gru", "rnn_tanh", "rnn_relu"}
)  # their first argument is what they are given
PRODUCTS = frozenset({"matmul", "__matmul__", "mm", "bmm"})  # layers where one side is a parameter
ACTIVATIONS = frozenset(
    {
        "relu",
        "relu_",
        "relu6",
        "leaky_relu",
        "leaky_relu_",
        "elu",
        "elu_",
        "selu",
        "celu",
        "gelu",
        "silu",
        "mish",
        "tanh",
        "sigmoid",
        "softplus",
    }
    | {"hardtanh", "hardswish", "hardsigmoid", "tanh_", "sigmoid_"}
)
STILL = 1e-6  # a unit whose answers differ by less, beside their size, says the same of every row;
PASSED = (
    1e-3  # it is silent if more than that came in: where nothing differs already, the fault lies before it
)


@dataclass(frozen=True)
class Given:
    """What a layer is given: the root of the mean square over rows and features."""

    where: str
    size: float


@dataclass(frozen=True)
class Units:
    """An activation's units: how many there are, and how many give the same answer for every row (and place)
    of the batch although what they are given differs."""

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


def watched(patient: Subject, fresh: bool) -> Activity:
    """One forward pass of a sample of training rows through the net as it was before the first step, or as it
    is now."""
    model = patient.first if fresh else patient.trained
    return patient.once(
        f"activity {fresh}",
        lambda: watch(patient.run.new_learner(copy.deepcopy(model), None), patient.learned),
    )


def watch(learner: Learner, batch: Batch) -> Activity:
    """One forward pass of the learner's net, with batch statistics: a fresh net has no others, and those of a
    young one lag behind. Dropout stands behind activations, so it changes nothing that is measured of
    them."""
    model = learner.model.train()
    found = Activity()
    place: list[str] = []
    torch.manual_seed(0)
    with torch.no_grad(), _named(model, place), _Watch(found, place):
        learner.outputs(batch)
    return found


class _Watch(TorchFunctionMode):
    def __init__(self, found: Activity, place: list[str]):
        super().__init__()
        self.found, self.place = found, place

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        given = _given(name, args)
        if given is not None:
            self.found.layers.append(
                Given(self.place[-1] if self.place else "", float(given.float().square().mean().sqrt()))
            )
        told = name in ACTIVATIONS and isinstance(args[0], Tensor) and args[0].ndim >= 2 and len(args[0]) > 1
        before = (
            _spread(args[0])[0] if told else None
        )  # looked at first: an activation may write over what it is given
        result = func(*args, **(kwargs or {}))
        if before is not None:
            after, size = _spread(result)
            silent = (after <= STILL * size.clamp(min=STILL)) & (after <= PASSED * before) & (before > 0)
            self.found.units.append(
                Units(self.place[-1] if self.place else "", name.rstrip("_"), len(silent), int(silent.sum()))
            )
        return result


def _given(name: str, args: tuple) -> Tensor | None:
    """What a layer is called with, when the call is a layer's."""
    if name in LAYERS and isinstance(args[0], Tensor) and args[0].is_floating_point():
        return args[0]
    if name in PRODUCTS and sum(isinstance(side, nn.Parameter) for side in args[:2]) == 1:
        return next(side for side in args[:2] if not isinstance(side, nn.Parameter))
    return None


def _spread(values: Tensor) -> tuple[Tensor, Tensor]:
    """(B, D), (B, T or M, D) or maps (B, C, H, W) -> of each unit, (D,) or (C,): the range of its values over
    rows and places, and their size."""
    columns = (
        (values.transpose(1, -1) if values.ndim >= 4 else values).flatten(0, -2).float()
    )  # (places, units)
    low, high = columns.amin(0), columns.amax(0)
    return high - low, torch.maximum(low.abs(), high.abs())


@contextmanager
def _named(model: nn.Module, place: list[str]) -> Iterator[None]:
    """Inside, the last entry of `place` is the name of the module at work."""
    handles = []
    for name, module in model.named_modules():
        handles.append(module.register_forward_pre_hook(lambda module, args, name=name: place.append(name)))
        handles.append(
            module.register_forward_hook(lambda module, args, output: place.pop() and None, always_call=True)
        )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
