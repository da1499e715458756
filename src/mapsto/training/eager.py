"""torch's optimizers without what torch.compile needs of them.

torch wraps what they do in guards for torch.compile, and the first call of one imports torch._dynamo: 1,200
modules, 1.4 s of a processor, 0.4 s more to leave (torch 2.13). Behind the guards stands the same code, so
weights are the same bit for bit. No step of an optimizer is compiled here (`training.plan.compiled` compiles
losses), so no guard is needed.
"""

from __future__ import annotations

import inspect

import torch
from torch.optim import Optimizer


class Eager(Optimizer):
    """What all optimizers share, without its guards."""

    add_param_group = inspect.unwrap(Optimizer.add_param_group)
    load_state_dict = inspect.unwrap(Optimizer.load_state_dict)
    state_dict = inspect.unwrap(Optimizer.state_dict)
    zero_grad = inspect.unwrap(Optimizer.zero_grad)


class AdamW(Eager, torch.optim.AdamW):
    """torch.optim.AdamW."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))


class SGD(Eager, torch.optim.SGD):
    """torch.optim.SGD."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.SGD.step))
