"""What the cache keeps: encoded data, so that a second training on it starts at once. It never outgrows its
limit.

When something new is encoded, what an older version of the code made goes first, as nothing reads it any
more, then what was used longest ago. What a live training reads is never touched: each open store holds a
shared lock, which the system frees when its process ends, however it ends; and what was used a moment ago may
be about to be opened.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mapsto.errors import RunError
from mapsto.files import cache_folder, disk_error, read_json, write_json

MOST, SHARE = (
    10 * 10**9,
    0.1,
)  # bytes kept where nobody says otherwise: so many, or so much of the disk where that is less
JUST_NOW = 600.0  # seconds
ABANDONED = 86_400.0  # seconds after which a store that was never finished is a crash's
IN_USE = "in-use"
RECORD = "store.json"
SPOT, FILES = tuple[str, str], dict.fromkeys(("values", "offsets"), str)
STORE = {  # what a store's record holds
    "name": str,
    "code": str,
    "rows": int,
    "files": dict[str, int],  # bytes of each
    "blocks": [{"file": str, "dtype": str, "shape": list[int], "spots": list[SPOT]}],
    "ragged": [{"spot": SPOT, "dtype": str, "shape": list[int], "steps": str, **FILES}],
    "packed": [{"spot": SPOT, "dtype": str, "shape": list[int], **FILES}],
    "problems": [{"row": int, "where": str, "column": str, "why": str, "side": str}],
    "bad": [{"where": str, "why": str}],
}


@dataclass(frozen=True)
class Kept:
    """One store: its data's name, bytes on disk, when it was last used (seconds since 1970), and the code
    that made it."""

    folder: Path
    name: str
    bytes: int
    used: float
    code: str


def kept() -> list[Kept]:
    """Every store, damaged ones too, the one used longest ago first."""
    found = []
    for folder in stores().glob("[!.]*"):
        if folder.suffix != ".tmp" and folder.is_dir():
            with suppress(OSError):  # another training takes it away meanwhile
                record = whole(folder) or {}
                size = sum(file.stat().st_size for file in folder.iterdir())
                used = folder.stat().st_mtime
                found.append(Kept(folder, record.get("name", "?"), size, used, record.get("code", "")))
    return sorted(found, key=lambda one: one.used)


def whole(folder: Path) -> dict[str, Any] | None:
    """The record of a store that lies in the cache, with all its files as long as they were written; None for
    any other folder."""
    if folder.parent != stores() or not (folder / RECORD).is_file():
        return None
    try:
        record = read_json(folder / RECORD, STORE)
        inside = [name for name in record["files"] if Path(name).name == name]
        lengths = {name: (folder / name).stat().st_size for name in inside}
    except (RunError, OSError):
        return None
    parts = [*record["blocks"], *record["ragged"], *record["packed"]]
    named = {part[name] for part in parts for name in ("file", "values", "offsets", "steps") if name in part}
    return record if lengths == record["files"] and named == set(lengths) else None


def stores() -> Path:
    """The folder they lie in."""
    return cache_folder() / "store"


def limit() -> int:
    """Bytes that stores may take together: as `set_limit` said, or the default."""
    try:
        return int(json.loads((cache_folder() / "limit.json").read_text())["bytes"])
    except (OSError, ValueError, KeyError):
        place = next(path for path in (cache_folder(), *cache_folder().parents) if path.exists())
        return min(MOST, int(SHARE * shutil.disk_usage(place).total))


def set_limit(size: int) -> None:
    """From now on; RunError where the cache cannot be written."""
    path = cache_folder() / "limit.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise disk_error(path, problem) from None
    write_json(path, {"bytes": size})


def shrink(code: str, most: int | None = None, recent: float = JUST_NOW) -> int:
    """Take away what is too much, beginning with what other code made; bytes freed. most: bytes that may
    stay, the limit where None; recent: what was used in the last so many seconds stays."""
    most, found = limit() if most is None else most, kept()
    total, freed = sum(one.bytes for one in found), 0
    for one in sorted(found, key=lambda one: one.code == code):
        too_much = total - freed > most or (one.code != code and time.time() - one.used > ABANDONED)
        if too_much and time.time() - one.used >= recent and take_away(one.folder):
            freed += one.bytes
    for folder in stores().glob("*.tmp"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > ABANDONED:
                shutil.rmtree(folder, ignore_errors=True)
    return freed


def in_use(folder: Path) -> bool:
    """Does a process read it now?"""
    with suppress(FileNotFoundError), _alone(folder) as alone:
        return not alone
    return False


def hold(folder: Path) -> IO[str]:
    """A mark that a store is read, for as long as the file returned is open."""
    try:
        file = (folder / IN_USE).open("a+", encoding="utf-8")
    except PermissionError:  # somebody else's cache, which only they clear
        return (folder / "store.json").open(encoding="utf-8")
    if sys.platform != "win32":  # there, open files cannot be taken away at all
        import fcntl

        with suppress(OSError):  # a disk that knows no locks: then only what was used lately is safe
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    return file


def take_away(folder: Path) -> bool:
    """Away at once for everybody, by a rename; False where it is in use or was taken away by another."""
    aside = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with _alone(folder) as alone:
            if not alone:
                return False
            os.rename(folder, aside)
    except OSError:
        return False
    shutil.rmtree(aside, ignore_errors=True)
    return True


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Whether nobody reads the store, and nobody begins to while this holds. FileNotFoundError where it is
    gone."""
    with (folder / IN_USE).open("a+", encoding="utf-8") as file:
        if sys.platform == "win32":
            yield True
            return
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
