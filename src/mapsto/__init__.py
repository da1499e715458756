"""mapsto: say what maps to what, point at data, and it learns the map."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from mapsto.config import VERSION

# How long threads that are done look out for the others before they sleep (GNU OpenMP's default: 300,000
# looks, about 10 ms). On a busy machine the others are not even running: two threads took 325 ms for a step
# of a small net beside four neighbours, 91 ms so, and 5 ms either way on a quiet one
# (`benchmarks/waiting.py`). It counts from the moment that torch is loaded.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "30000")

__version__ = VERSION
__all__ = ["Client", "load", "resume", "train"]

if TYPE_CHECKING:
    from mapsto.api import load, resume, train
    from mapsto.serve.client import Client


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]


def __getattr__(name: str) -> Any:
    """Public names come when they are used, so that `import mapsto` loads no torch."""
    if name == "Client":
        from mapsto.serve.client import Client

        return Client
    if name in __all__:
        from mapsto import api

        return getattr(api, name)
    raise AttributeError(f"module 'mapsto' has no attribute '{name}'")
