"""One file a workload; the folder is the list."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from benchmarks.workload import Workload


def names() -> list[str]:
    """In the order of the table."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem != "__init__")


def workload_of(name: str) -> Workload:
    """KeyError-like ValueError for a name without a file."""
    if name not in names():
        raise ValueError(f"unknown workload '{name}'.\nchoices: {', '.join(names())}")
    return import_module(f"benchmarks.workloads.{name}").WORKLOAD
