"""PyTorch, imported when it is first used.

What reads cells and tells answers needs none of it, so that `mapsto.lite` answers without it: types and kinds
of answers take `torch` from here, and what a net is made of stands in files of its own.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any


class _Module:
    """A module that is imported when something of it is first asked for."""

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, name: str) -> Any:
        found = getattr(import_module(self._name), name)
        setattr(self, name, found)  # asked for once
        return found


if TYPE_CHECKING:
    import torch
else:
    torch = _Module("torch")


def is_tensor(value: Any) -> bool:
    """Is it a tensor of PyTorch's? Where that was never imported nothing is."""
    return "torch" in sys.modules and isinstance(value, torch.Tensor)
