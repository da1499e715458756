"""The optimizers, with weight decay off on norms, biases and other vectors.

adamw: Loshchilov & Hutter 2019, arXiv:1711.05101. sgd: with Nesterov momentum. muon: Jordan 2024, momentum
orthogonalised by Newton–Schulz for matrices and filters, AdamW for everything else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mapsto.config import Training
from mapsto.errors import ConfigError, did_you_mean
from mapsto.models.base import parameters_of
from mapsto.training.arithmetic import has_bfloat16
from mapsto.training.eager import SGD, AdamW, Eager

NEWTON_SCHULZ = (
    3.4445,
    -4.7750,
    2.0315,
)  # Jordan 2024: the quintic that drives singular values to about 1 fastest
ADAM_SHARE = 1 / 15  # the rate of Muon's AdamW part, as a share of Muon's: 0.002 beside 0.03


def build_optimizer(model: nn.Module, training: Training) -> torch.optim.Optimizer:
    """The optimizer `training` names over the model's trainable parameters; each group knows its `peak`
    rate."""
    assert training.lr is not None and training.optimizer is not None
    lr, momentum = training.lr, 0.9 if training.momentum is None else training.momentum
    decayed, plain = _parted(model)
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": training.weight_decay or 0.0},
        {"params": plain, "weight_decay": 0.0},
    ]
    groups = [{**group, "peak": lr} for group in groups if group["params"]]
    builders: dict[str, Callable[[], torch.optim.Optimizer]] = {
        "adamw": lambda: AdamW(groups, lr=lr, betas=(momentum, 0.95), fused=True),
        "sgd": lambda: SGD(groups, lr=lr, momentum=momentum, nesterov=momentum > 0, fused=True),
        "muon": lambda: Muon(model, lr=lr, momentum=momentum, weight_decay=training.weight_decay or 0.0),
    }
    if training.optimizer not in builders:
        raise ConfigError(
            f"unknown optimizer '{training.optimizer}'.\n{did_you_mean(training.optimizer, builders)}"
        )
    return builders[training.optimizer]()


def _parted(model: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """(weights that decay, vectors and embeddings of norms that do not)."""
    trainable = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
    return [v for _, v in trainable if v.ndim >= 2], [v for _, v in trainable if v.ndim < 2]


class Muon(Eager):
    """Muon for weights of two and more dimensions that lie between two layers, AdamW for vectors, embeddings
    and heads.

    torch.optim.Muon takes matrices only and leaves the rest to a second optimizer; here filters (O, I, h, w)
    are matrices (O, I·h·w) and one optimizer holds all, so that a checkpoint has one state. Rate per matrix:
    lr · sqrt(max(1, rows / columns)).
    """

    def __init__(
        self,
        model: nn.Module,
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.99),
    ):
        edges = parameters_of(model, "at_edge")
        outside = {id(p) for name, p in model.named_parameters(remove_duplicate=False) if name in edges}
        embeddings = (module for module in model.modules() if isinstance(module, nn.Embedding))
        outside |= {id(p) for module in embeddings for p in module.parameters()}
        trainable = [p for p in model.parameters() if p.requires_grad]
        matrices = [p for p in trainable if p.ndim >= 2 and id(p) not in outside]
        chosen = {id(p) for p in matrices}
        rest = [p for p in trainable if id(p) not in chosen]
        shared = {"momentum": momentum, "betas": betas, "eps": 1e-8}
        groups = [
            {"params": matrices, "kind": "muon", "peak": lr, "lr": lr, "weight_decay": weight_decay},
            {
                "params": [p for p in rest if p.ndim >= 2],
                "kind": "adamw",
                "peak": ADAM_SHARE * lr,
                "lr": ADAM_SHARE * lr,
                "weight_decay": weight_decay,
            },
            {
                "params": [p for p in rest if p.ndim < 2],
                "kind": "adamw",
                "peak": ADAM_SHARE * lr,
                "lr": ADAM_SHARE * lr,
                "weight_decay": 0.0,
            },
        ]
        super().__init__([{**shared, **group} for group in groups if group["params"]], {})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if params:
                (self._muon if group["kind"] == "muon" else self._adamw)(group, params)

    def _muon(self, group: dict[str, Any], params: list[Tensor]) -> None:
        grads = [p.grad for p in params if p.grad is not None]
        buffers = [self._state(p, "momentum") for p in params]
        torch._foreach_lerp_(buffers, grads, 1 - group["momentum"])
        updates = torch._foreach_lerp(grads, buffers, group["momentum"])  # Nesterov
        if group["weight_decay"]:
            torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
        matrices = [update.reshape(len(update), -1) for update in updates]
        for shape in dict.fromkeys(
            matrix.shape for matrix in matrices
        ):  # those of one shape together: a decoder has a dozen of each
            alike = [i for i, matrix in enumerate(matrices) if matrix.shape == shape]
            found = orthogonalised(torch.stack([matrices[i] for i in alike])).to(params[alike[0]].dtype)
            steps = [step.reshape(params[i].shape) for i, step in zip(alike, found, strict=True)]
            torch._foreach_add_(
                [params[i] for i in alike], steps, alpha=-group["lr"] * max(1.0, shape[0] / shape[1]) ** 0.5
            )

    def _adamw(self, group: dict[str, Any], params: list[Tensor]) -> None:
        grads = [p.grad for p in params if p.grad is not None]
        means, squares = [self._state(p, "mean") for p in params], [self._state(p, "square") for p in params]
        counts = [self._count(p) for p in params]
        torch._foreach_add_(counts, 1.0)
        beta1, beta2 = group["betas"]
        torch._foreach_lerp_(means, grads, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, grads, grads, 1 - beta2)
        if group["weight_decay"]:
            torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
        t = counts[0].item()  # a CPU scalar: no device is waited for
        roots = torch._foreach_sqrt(squares)
        torch._foreach_div_(roots, (1 - beta2**t) ** 0.5)
        torch._foreach_add_(roots, group["eps"])
        torch._foreach_addcdiv_(params, means, roots, -group["lr"] / (1 - beta1**t))

    def _state(self, p: Tensor, name: str) -> Tensor:
        state = self.state[p]
        if name not in state:
            state[name] = torch.zeros_like(p)
        return state[name]

    def _count(self, p: Tensor) -> Tensor:
        return self.state[p].setdefault("count", torch.zeros(()))


def orthogonalised(matrices: Tensor, iterations: int = 4) -> Tensor:
    """The nearest semi-orthogonal matrices, roughly: Newton–Schulz iterations, in bfloat16 where the device
    has it. (n, rows, columns) -> the same."""
    a, b, c = NEWTON_SCHULZ
    x = matrices.bfloat16() if has_bfloat16(matrices.device) else matrices.float()
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    for _ in range(iterations):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
