"""The folder is the registry: a type, output, model, learner or assessment is one file in its folder,
`NAME.py` or `NAME/__init__.py`, found by its name. A leading underscore is private to its folder.

Outside packages add theirs by entry points (`mapsto.types`, `mapsto.outputs`, `mapsto.models`,
`mapsto.learners`, `mapsto.readers`, `mapsto.splits`, `mapsto.assess`) or by a path: `--model ./mine.py`, of a
file that a person has named (`mapsto.registry.trust`). Listing names imports nothing, so no torch.
"""

from __future__ import annotations

import functools
import importlib
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

from mapsto.errors import ConfigError, did_you_mean, failure

HERE = Path(__file__).parents[1]
SHARED = {"base"}  # what the files of a folder share is no entry of it


def names(room: str) -> list[str]:
    """The names in a folder (`types`, `outputs`, `models`, `data/readers`), outside packages included."""
    files = [path.stem for path in (HERE / room).glob("*.py")]
    folders = [path.parent.name for path in (HERE / room).glob("*/__init__.py")]
    own = {name for name in (*files, *folders) if _is_entry(name)}
    return sorted(own | {point.name for point in _outside(room)})


def _is_entry(name: str) -> bool:
    return not name.startswith("_") and name not in SHARED


def module(room: str, name: str) -> ModuleType:
    """The module of that name, or of that path when it ends in .py. ConfigError with the nearest match,
    RunError for a file not trusted."""
    if name.endswith(".py"):
        from mapsto.registry.trust import executed

        return executed(name)
    files = (HERE / room / f"{name}.py", HERE / room / name / "__init__.py")
    own = name.isidentifier() and _is_entry(name) and any(file.is_file() for file in files)
    if point := next((point for point in _outside(room) if point.name == name), None):
        if own:
            raise ConfigError(
                f"the package {_package(point)} brings a {_noun(room)} '{name}', which mapsto has itself.\n"
                "Rename it there, or uninstall the package."
            )
        return _imported(point)
    if not own:
        raise ConfigError(f"unknown {_noun(room)} '{name}'.\n{did_you_mean(name, names(room))}")
    return importlib.import_module(f"mapsto.{room.replace('/', '.')}.{name}")


def _imported(point: EntryPoint) -> ModuleType:
    """ConfigError where a package's file cannot be imported."""
    try:
        return importlib.import_module(point.module)
    except (ImportError, SyntaxError, NameError, AttributeError, TypeError, ValueError) as problem:
        raise ConfigError(
            f"the package {_package(point)} (entry point {point.group}: {point.name} = {point.value}) cannot"
            f" be imported: {failure(problem)}.\nMend it, or: pip uninstall {_package(point)}"
        ) from problem


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.module.split(".")[0]


def _noun(room: str) -> str:
    return {"assess": "assessment"}.get(room, Path(room).name.rstrip("s"))


def entry(room: str, name: str) -> type:
    """The class a file is about: `types/category.py` holds `Category`, `learners/policy_gradient.py`
    `PolicyGradient`."""
    found = module(room, name)
    wanted = "".join(part.capitalize() for part in Path(name).stem.split("_"))
    if wanted not in vars(found):
        where = found.__name__ if found.__name__.startswith("mapsto.") else found.__file__
        raise ConfigError(f"{where}: expected a class '{wanted}', found none.\nName it after its file.")
    return vars(found)[wanted]


@functools.cache
def _outside(room: str) -> tuple[EntryPoint, ...]:
    """What outside packages add; asked of the system once."""
    return tuple(entry_points(group=f"mapsto.{Path(room).name}"))
