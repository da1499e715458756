"""What the cache keeps: encoded data and unpacked archives, so that a second training on them starts at once.
It never outgrows its limit.

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
WRITING = 600.0  # seconds that a small file takes to be written at most
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


CONTENTS, ARCHIVE_RECORD = "files", "archive.json"  # of an unpacked archive: what it held, and what that was
ARCHIVE = {"archive": str, "files": dict[str, int], "left": [{"where": str, "why": str}]}


@dataclass(frozen=True)
class Kept:
    """What lies in the cache: its data's name, bytes on disk, when it was last used (seconds since 1970), the
    code that made it, and whether it is "encoded", "unpacked", or "left" by a command that was killed."""

    folder: Path
    name: str
    bytes: int
    used: float
    code: str
    kind: str = "encoded"


def kept() -> list[Kept]:
    """Every store, damaged ones too, every unpacked archive, and what killed commands left, the one used
    longest ago first."""
    found = []
    for place in (stores(), unpacked_archives()):
        for folder in place.glob("*"):
            if folder.is_dir():
                with suppress(OSError):  # another training takes it away meanwhile
                    found.append(_kept(folder))
    return sorted(found, key=lambda one: one.used)


def _kept(folder: Path) -> Kept:
    size = sum(file.lstat().st_size for file in folder.rglob("*") if not file.is_dir())
    used = folder.stat().st_mtime
    if folder.suffix == ".tmp" or folder.name.startswith("."):
        return Kept(folder, "of a command that was killed", size, used, "", "left")
    if folder.parent == stores():
        record = whole(folder) or {}
        return Kept(folder, record.get("name", "?"), size, used, record.get("code", ""))
    try:
        name = read_json(folder / ARCHIVE_RECORD, ARCHIVE)["archive"]
    except RunError:
        return Kept(folder, "?", size, used, "", "left")
    return Kept(folder, name, size, used, "", "unpacked")


def whole_archive(folder: Path) -> bool:
    """Does an unpacked archive lie here, with all its files and no others, as long as they were written?"""
    try:
        record = read_json(folder / ARCHIVE_RECORD, ARCHIVE)
        return _sizes(folder / CONTENTS) == record["files"]
    except (RunError, OSError):
        return False


def _sizes(folder: Path, prefix: str = "") -> dict[str, int]:
    found: dict[str, int] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                found |= _sizes(Path(entry.path), f"{prefix}{entry.name}/")
            else:
                found[prefix + entry.name] = entry.stat(follow_symlinks=False).st_size
    return found


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


def unpacked_archives() -> Path:
    """The folder that archives are unpacked in."""
    return cache_folder() / "unpacked"


def limit() -> int:
    """Bytes that all of it may take together: as `set_limit` said, or the default."""
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
    of_others = {one.folder for one in found if one.kind != "unpacked" and one.code != code}
    for one in sorted(found, key=lambda one: one.folder not in of_others):
        age = time.time() - one.used
        too_much = total - freed > most or (one.folder in of_others and age > ABANDONED)
        if (too_much or most == 0) and age >= recent and take_away(one.folder):
            freed += one.bytes
    for file in (*cache_folder().glob(".*.tmp"), *cache_folder().glob("[!us]*/.*.tmp")):  # of killed writers
        with suppress(OSError):
            if time.time() - file.stat().st_mtime > WRITING and file.is_file():
                size = file.stat().st_size
                file.unlink()
                freed += size
    return freed


def in_use(folder: Path) -> bool:
    """Does a process read it now?"""
    with suppress(OSError), _alone(folder) as alone:
        return not alone
    return False


def hold(folder: Path) -> IO[str]:
    """A mark that a store is read, for as long as the file returned is open."""
    try:
        file = (folder / IN_USE).open("a+", encoding="utf-8")
    except PermissionError:  # somebody else's cache, which only they clear
        record = RECORD if (folder / RECORD).exists() else ARCHIVE_RECORD
        return (folder / record).open(encoding="utf-8")
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
