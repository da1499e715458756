"""Floating-point operations, counted while they are done.

By the formulas of torch.utils.flop_counter; its own mode stands behind a guard for torch.compile, which
imports torch._dynamo, 1.4 s of a processor (`mapsto.training.eager`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch._C import DispatchKey, _dispatch_has_kernel_for_dispatch_key
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

COMPOSITE = DispatchKey.CompositeImplicitAutograd


class FlopCounter(TorchDispatchMode):
    """Counts what is done inside, a product and a sum as two: `total`."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        count: Callable[..., int] | None = flop_registry.get(func._overloadpacket)
        if count is None and _dispatch_has_kernel_for_dispatch_key(func.name(), COMPOSITE):
            with self:  # what it is made of may have a formula; torch's own mode imports sympy to ask
                return func._op_dk(COMPOSITE, *args, **kwargs)
        out = func(*args, **kwargs)
        self.total += count(*args, **kwargs, out_val=out) if count else 0
        return out
