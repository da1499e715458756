"""What can be served: the folder is the registry, a file a kind."""

from __future__ import annotations

from pathlib import Path

from mapsto.errors import RunError
from mapsto.registry import entry, names
from mapsto.serve.served.base import Served

ROOM = "serve/served"


def opened(path: str | Path) -> Served:
    """What lies in a folder, ready to be described and to read requests. RunError: nothing that can be
    served."""
    kinds = [entry(ROOM, name) for name in names(ROOM)]
    for kind in kinds:
        if kind.is_here(Path(path)):
            return kind(Path(path))
    wanted = " or ".join(kind.noun for kind in kinds)
    raise RunError(f"{path}: expected {wanted}, found none.\nRuns are listed by: mapsto runs")
