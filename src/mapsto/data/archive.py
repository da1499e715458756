"""Archives: zip, tar, tar.gz, unpacked once into the cache folder and from then on read as the folder they
are.

Nothing in an archive is trusted: names that leave the folder, links out of it, devices, and contents that
would fill the disk are refused before or while they are written. What is written contains no links, so
nothing can be written through one.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import IO

from mapsto.data import cache
from mapsto.data.files import GIGABYTE, MOST_RATIO, RATIO_FROM, SYSTEM_NAMES, reading
from mapsto.data.members import Content, Member, opened_zip, refused, tar_members
from mapsto.errors import DataError
from mapsto.files import read_json, write_json
from mapsto.source import BadRow

MOST_BYTES = 100 * GIGABYTE
MOST_FILES = 20_000_000
SPARE = GIGABYTE // 2


def unpack(path: Path) -> Path:
    """The folder holding the archive's contents, written now or earlier. Raises DataError for what must not
    be unpacked."""
    target = cache.unpacked_archives() / archive_fingerprint(path)
    if target.is_dir() and _keep_from_clearing(target) and cache.whole_archive(target):
        os.utime(target)
        return target / cache.CONTENTS
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=".building-", dir=target.parent))
    except OSError as error:
        raise DataError(
            f"cannot unpack {path.name} into {target.parent}: {error.strerror}.\nSet MAPSTO_CACHE to a folder"
            " with room, or unpack it yourself and name the folder."
        ) from None
    try:
        with cache.hold(building):  # else it looked like what a killed command left
            _unpack_into(path, building)
            _put_in_place(building, target)
    except OSError as error:
        raise DataError(
            f"cannot unpack {path.name} into {target.parent}: {error.strerror or error}.\nSet MAPSTO_CACHE to"
            " a folder with room."
        ) from None
    finally:
        shutil.rmtree(building, ignore_errors=True)
    _keep_from_clearing(target)
    return target / cache.CONTENTS


def left_out(path: Path) -> list[BadRow]:
    """Members of an archive that was unpacked which are no files, and why."""
    record = read_json(
        cache.unpacked_archives() / archive_fingerprint(path) / cache.ARCHIVE_RECORD, cache.ARCHIVE
    )
    return [BadRow(**one) for one in record["left"]]


def _put_in_place(building: Path, target: Path) -> None:
    """Instead of what lies there damaged, which whoever reads it goes on to find at its place."""
    aside = target.with_name(f"{building.name}.old")
    while True:
        try:
            building.rename(target)
            break
        except OSError:
            if not target.is_dir() or cache.whole_archive(target):  # another process was first, with the same
                if target.is_dir():
                    break
                raise
            target.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def _keep_from_clearing(folder: Path) -> bool:
    """For as long as this process lives: files in it are read when their rows are asked for. Was it there?"""
    try:
        _held(str(folder), folder.stat().st_ino)
    except OSError:
        return False
    return True


@functools.lru_cache(maxsize=256)  # files stay open, of which a process has few
def _held(folder: str, number: int) -> IO[str]:
    file = cache.hold(Path(folder))
    atexit.register(file.close)
    return file


def archive_fingerprint(path: Path) -> str:
    """blake2b over name, size, time, and the first and last 64 kB (a zip's last ones hold every file's
    checksum)."""
    with reading(path):
        status = path.stat()
        digest = hashlib.blake2b(
            f"{path.name}\0{status.st_size}\0{status.st_mtime_ns}".encode("utf-8", "surrogatepass"),
            digest_size=16,
        )
        with open(path, "rb") as handle:
            digest.update(handle.read(1 << 16))
            handle.seek(max(0, status.st_size - (1 << 16)))
            digest.update(handle.read())
    return digest.hexdigest()


def _unpack_into(path: Path, folder: Path) -> None:
    with reading(path), open(path, "rb") as handle:
        is_zip = handle.read(2) == b"PK"
    if is_zip:
        with opened_zip(path) as (members, contents):
            total = sum(member.size for member in members)
            _check_sizes(path, total, len(members), folder, coming=total)
            sizes, left = _write(path, folder / cache.CONTENTS, contents)
    else:
        sizes, left = _write(path, folder / cache.CONTENTS, tar_members(path))
    told = [{"where": each.where, "why": each.why} for each in left]
    write_json(folder / cache.ARCHIVE_RECORD, {"archive": path.name, "files": sizes, "left": told})


def _write(
    path: Path, folder: Path, members: Iterator[tuple[Member, Content | None]]
) -> tuple[dict[str, int], list[BadRow]]:
    """Write every member, with the archive's time; sizes are counted as they come, whatever the archive says.
    The files' sizes, and what was left out."""
    folder.mkdir()
    when = path.stat().st_mtime_ns
    total, sizes, links, left = 0, {}, [], []
    for member, content in members:
        if _is_hidden(member.name):
            continue
        if content is None:
            links.append((member, _link_target(path, member)))
            continue
        _check_sizes(path, total + member.size, len(sizes), folder) if member.size > 1 << 27 else None
        try:
            goal = _place(folder, member.name)
        except OSError as problem:  # a name that is too long, or of a folder
            left.append(BadRow(member.name, f"cannot be unpacked: {problem.strerror}"))
            continue
        if member.name in sizes:
            left.append(BadRow(member.name, "stands in the archive twice: the last one is read"))
        with closing(content), open(goal, "wb") as out:
            while block := content.read(1 << 20):
                total += len(block)
                if total >> 27 != (total - len(block)) >> 27:  # every 128 MB
                    _check_sizes(path, total, len(sizes), folder)
                out.write(block)
            sizes[member.name] = out.tell()
        os.utime(goal, ns=(when, when))
        if len(sizes) % 100_000 == 0:
            _check_sizes(path, total, len(sizes), folder)
    for member, target in links:
        why = _copy_link(folder, member, target)
        if why is None:
            sizes[member.name] = (folder / member.name).stat().st_size
        else:
            left.append(BadRow(member.name, why))
    return sizes, left


def _place(folder: Path, name: str) -> Path:
    goal = folder / name
    goal.parent.mkdir(parents=True, exist_ok=True)
    open(goal, "wb").close()
    return goal


def _is_hidden(name: str) -> bool:
    return any(part.lower() in SYSTEM_NAMES or part.startswith("._") for part in name.split("/"))


def _link_target(path: Path, member: Member) -> str:
    link = member.link or ""
    target = os.path.normpath(os.path.join(os.path.dirname(member.name), link))
    if os.path.isabs(link) or target.startswith("..") or not link:
        raise refused(path, member.name, f"is a link out of the archive, to '{link[:80]}'")
    return target


def _copy_link(folder: Path, member: Member, target: str) -> str | None:
    """A link to a file within becomes a second name of it; else why it is left out."""
    source, goal = folder / target, folder / member.name
    if not source.is_file():
        what = "a folder" if source.is_dir() else "nothing"
        return f"a link to '{target[:80]}', which is {what} in the archive"
    try:
        if not goal.exists():
            goal.parent.mkdir(parents=True, exist_ok=True)
            os.link(source, goal)
    except OSError as problem:
        return f"cannot be unpacked: {problem.strerror}"
    return None


def _check_sizes(path: Path, total: int, count: int, folder: Path, coming: int = 0) -> None:
    """DataError when `total` bytes or `count` files are too many, or the `coming` bytes do not fit on the
    disk."""
    packed = max(1, path.stat().st_size)
    free = shutil.disk_usage(folder).free
    if total > MOST_BYTES or (total > RATIO_FROM and total / packed > MOST_RATIO) or count > MOST_FILES:
        raise DataError(
            f"refused to unpack {path.name}: {packed / 1e6:,.1f} MB would become more than {total / 1e9:,.1f}"
            f" GB ({total / packed:,.0f} times as much), as archive bombs do.\nIf it is meant, unpack it"
            f" yourself and name the folder ({path})."
        )
    if coming + SPARE > free:
        raise DataError(
            f"not enough room to unpack {path.name}: {coming / 1e9:,.1f} GB needed, {free / 1e9:,.1f} GB free"
            f" in {folder.parent}.\nSet MAPSTO_CACHE to a folder with room."
        )


def descend(folder: Path) -> Path:
    """Through folders that hold nothing but one folder, as archives often do."""
    while True:
        inside = [each for each in folder.iterdir() if not each.name.startswith(".")]
        if len(inside) != 1 or not inside[0].is_dir():
            return folder
        folder = inside[0]
