"""Own files: a model, learner, type or question given as the path of a .py file. It is executed only where a
person names it.

On the command line of a training the person does (`--model ./mine.py`); the run's record keeps its
fingerprint, `code: {path: sha256}`. A record alone names no file: run folders come from elsewhere, so such a
run opens where the file is named again (`--trust FILE`) and is still the same. Trust lasts for the process.
Files are known by content, so a copy at another place will do.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.abc import ExecutionLoader
from importlib.util import decode_source
from pathlib import Path
from types import ModuleType
from typing import Any

from mapsto.errors import ConfigError, RunError, failure

PREFIX = "mapsto_outside."


class Source(ExecutionLoader):
    """Loads a module from the bytes that were hashed; neither the file again nor a __pycache__ beside it is
    read."""

    def __init__(self, path: str, source: bytes):
        self.path, self.source = path, source

    def get_filename(self, fullname: str) -> str:
        return self.path

    def get_source(self, fullname: str) -> str:
        return decode_source(self.source)


class OwnFile(ModuleType):
    """The module of an own file, executed when it is first looked up."""

    def __init__(self, key: str, path: Path, source: bytes):
        super().__init__(key)
        self.__file__ = str(path)
        self.__sha256__ = hashlib.sha256(source).hexdigest()
        self.__unread__: Source | None = Source(str(path), source)


def trust(path: str | Path, flag: str = "--trust") -> str:
    """Allow the file to be executed in this process; its sha256. ConfigError where it cannot be read."""
    try:
        source = Path(path).read_bytes()
    except OSError as problem:
        said = "no file" if isinstance(problem, FileNotFoundError) else f"{problem.strerror}:"
        raise ConfigError(f"{said} '{path}' for {flag}.\nGive the path of a .py file.") from None
    found = OwnFile(_key(path), Path(path).resolve(), source)
    known = sys.modules.get(found.__name__)
    if not isinstance(known, OwnFile) or known.__sha256__ != found.__sha256__:
        sys.modules[found.__name__] = found
    return found.__sha256__


def trust_all(paths: Iterable[str | Path]) -> None:
    """Allow each file to be executed in this process."""
    for path in paths:
        trust(path)


def trust_asked(model: str | None, learner: str | None) -> dict[str, str]:
    """{path: sha256} of the own files among a model and a learner that a person asks for, which are trusted
    from now on."""
    asked = {"--model": _named(model), "--learner": _named(learner)}
    return {name: trust(name, flag) for flag, name in asked.items() if name.endswith(".py")}


def trusted() -> list[OwnFile]:
    """The files trusted in this process."""
    known = [
        module
        for name, module in list(sys.modules.items())
        if name.startswith(PREFIX) and isinstance(module, OwnFile)
    ]
    return list({id(module): module for module in known}.values())


def executed(path: str) -> ModuleType:
    """The module of a trusted file. RunError for any other."""
    found = sys.modules.get(_key(path))
    if not isinstance(found, OwnFile):
        raise _untrusted("the file", path)
    if found.__unread__ is not None:
        try:
            found.__unread__.exec_module(found)
        except (ImportError, SyntaxError, NameError, AttributeError, TypeError, ValueError) as problem:
            raise ConfigError(
                f"{path}: cannot be used, {failure(problem)}.\nMend the file; --debug shows more."
            ) from problem
        found.__unread__ = None
    return found


def check(record: Mapping[str, Any], run: Path) -> None:
    """RunError unless every own file that a run's record names is trusted, with the fingerprint recorded.
    Nothing is executed."""
    for name, recorded in fingerprints(record).items():
        if not recorded:  # of a mapsto that recorded none: the file itself must be named
            if not isinstance(sys.modules.get(_key(name)), OwnFile):
                raise _untrusted(f"{run}: its record", name)
            continue
        same = next((module for module in trusted() if module.__sha256__ == recorded), None)
        if same is None:
            raise _other(run, name, recorded) or _untrusted(f"{run}: its record", name)
        sys.modules[_key(name)] = same


def fingerprints(record: Mapping[str, Any]) -> dict[str, str]:
    """{path: sha256} of the own files that a run's record names; "" where it records no fingerprint."""
    code = record.get("code") or {}
    return {name: str(code.get(name, "")) for name in _names(record) if name.endswith(".py")}


def flags(record: Mapping[str, Any]) -> str:
    """What a command that opens the run needs besides: " --trust FILE" of each own file."""
    return "".join(f" --trust {shlex.quote(name)}" for name in fingerprints(record))


def _names(record: Mapping[str, Any]) -> Iterator[str]:
    """Every name in a record by which code is looked up: models, learners, types."""
    start = record.get("start") or {}
    for part in (record.get("settings") or {}, record.get("choice") or {}, start):
        yield from (_named(part.get(room)) for room in ("model", "learner"))
    for signature in (record.get("signature") or {}, start.get("signature") or {}):
        yield from (_named(slot.get("type")) for slots in signature.values() for slot in slots)


def _named(call: Any) -> str:
    """The name in `name(option=value)`."""
    return call.partition("(")[0].strip() if isinstance(call, str) else ""


def _key(path: str | Path) -> str:
    place = os.path.abspath(path)  # no question to the disk, which names from a record could trip
    digest = hashlib.sha256(place.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{PREFIX}{Path(place).stem}_{digest[:12]}"


def _untrusted(what: str, name: str) -> RunError:
    return RunError(
        f"{what} names {_short(name)} as code, which opening a run never executes by itself.\n"
        "Look at the file first: what it says would be done with your rights.\n"
        f"If it is yours: --trust {_short(name)} (or a copy of it; in Python: mapsto.load(run, trust=[FILE]))"
    )


def _other(run: Path, name: str, recorded: str) -> RunError | None:
    """What to say where a file of that name is trusted, and is not the one recorded."""
    found = next((module for module in trusted() if Path(str(module.__file__)).name == Path(name).name), None)
    if found is None:
        return None
    return RunError(
        f"{run}: expected {_short(name)} as the run was made with, sha256 {recorded[:12]}, got"
        f" {found.__file__}, sha256 {found.__sha256__[:12]}.\nIt has been changed since, or is another file"
        " of that name.\nName the file as it was: --trust FILE, or train again with this one."
    )


def _short(name: str) -> str:
    """A name from a record, which may hold anything, on one line."""
    return repr(name if len(name) <= 200 else f"{name[:200]}…")
