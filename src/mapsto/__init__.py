"""mapsto: say what maps to what, point at data, and it learns the map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mapsto.config import VERSION

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
