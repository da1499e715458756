"""What an entry does in a browser: a file of js beside its own, `web.js` in its folder or `NAME.js`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from mapsto.registry import HERE

_IMPORT = re.compile(r"""^(?:import|export)\b[^;"]*?\bfrom "(\.{1,2}/[^"]+)";""", re.MULTILINE)


def script_of(kind: type) -> Path | None:
    """The script of a class's own file; None: it has none, and so no side in a browser."""
    file = Path(inspect.getfile(kind))
    found = file.with_name("web.js") if file.name == "__init__.py" else file.with_suffix(".js")
    return found if found.is_file() else None


def place_of(kind: type, room: str, name: str) -> str:
    """Where a class's script stands in a folder that holds scripts as mapsto's own tree does: what an outside
    package brings, in a folder of its name in the room."""
    script = script_of(kind)
    assert script is not None, "asked of what has a script"
    inside = script.is_relative_to(HERE)
    return script.relative_to(HERE).as_posix() if inside else f"{room}/{name}/{script.name}"


def with_imports(scripts: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    """{place: file} of scripts, each with its place, and of all that they import. A place that is not beside
    the script itself is one of mapsto's own tree."""
    found: dict[str, Path] = {}
    todo = list(scripts)
    while todo:
        place, file = todo.pop()
        if place in found:
            continue
        found[place] = file
        for said in _IMPORT.findall(file.read_text(encoding="utf-8")):
            other = _joined(PurePosixPath(place).parent, said)
            beside = (file.parent / said).resolve()
            todo.append((other, beside if beside.is_file() else HERE / other))
    return found


def _joined(folder: PurePosixPath, said: str) -> str:
    parts = list(folder.parts)
    for part in PurePosixPath(said).parts:
        parts = parts[:-1] if part == ".." else [*parts, part]
    return "/".join(parts)
