"""torch's optimizers and its count of operations without torch.compile: the same figures, and no import of it."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mapsto.training import eager
from mapsto.training.flops import FlopCounter


@pytest.mark.parametrize("name", ["AdamW", "SGD"])
def test_steps_are_those_of_torch_bit_for_bit(name: str) -> None:
    torch.manual_seed(0)
    net, rows = nn.Linear(5, 3), torch.randn(4, 8, 5)
    twin = copy.deepcopy(net)
    options = {"lr": 0.1, "weight_decay": 0.01, "fused": True}
    mine = getattr(eager, name)(net.parameters(), **options)
    torchs = getattr(torch.optim, name)(twin.parameters(), **options)
    for batch in rows:
        for model, optimizer in ((net, mine), (twin, torchs)):
            optimizer.zero_grad()
            model(batch).square().sum().backward()
            optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), twin.parameters(), strict=True))
    mine.load_state_dict(torchs.state_dict())
    assert mine.state_dict()["param_groups"] == torchs.state_dict()["param_groups"]


def test_operations_are_counted_as_torch_counts_them() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(2), nn.TransformerEncoderLayer(36, 4, 16, batch_first=True))
    rows = torch.randn(2, 3, 8, 8)
    with FlopCounter() as mine:
        net(rows).sum().backward()
    with FlopCounterMode(display=False) as torchs:
        net(rows).sum().backward()
    assert mine.total == torchs.get_total_flops() > 0
    with torch.inference_mode():  # where operations made of others arrive whole
        with FlopCounter() as mine:
            rows @ rows.mT + net.eval()(rows).sum()
        with FlopCounterMode(display=False) as torchs:
            rows @ rows.mT + net(rows).sum()
    assert mine.total == torchs.get_total_flops() > 0


def test_neither_imports_the_compiler() -> None:
    code = """
import sys, torch
from mapsto.training.eager import AdamW
from mapsto.training.flops import FlopCounter
net = torch.nn.Linear(3, 2)
optimizer = AdamW(net.parameters(), fused=True)
with FlopCounter():
    net(torch.randn(4, 3)).sum().backward()
with FlopCounter(), torch.inference_mode():
    torch.randn(2, 4, 3) @ torch.randn(2, 3, 4)
optimizer.step()
optimizer.zero_grad()
optimizer.load_state_dict(optimizer.state_dict())
torch.set_deterministic_debug_mode("warn")
assert not {"torch._dynamo", "torch._inductor", "sympy"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
