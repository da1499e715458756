"""Archives: zip, tar, tar.gz, unpacked once into the cache folder and from then on read as the folder they
are.

Nothing in an archive is trusted: names that leave the folder, links out of it, devices, and contents that
would fill the disk are refused before or while they are written. What is written contains no links, so
nothing can be written through one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from mapsto.data.files import SYSTEM_NAMES, reading
from mapsto.data.members import Content, Member, opened_zip, refused, tar_members
from mapsto.errors import DataError

GIGABYTE = 10**9
MOST_BYTES = 100 * GIGABYTE
MOST_RATIO, RATIO_FROM = 200, 1 * GIGABYTE  # pictures and tables pack 1:1 to 1:50; bombs 1:1000 and more
MOST_FILES = 20_000_000
SPARE = GIGABYTE // 2


def cache_root() -> Path:
    """Where unpacked archives are kept: $MAPSTO_CACHE, else ~/.cache/mapsto."""
    return Path(os.environ.get("MAPSTO_CACHE") or Path.home() / ".cache" / "mapsto")


def unpack(path: Path) -> Path:
    """The folder holding the archive's contents, written now or earlier. Raises DataError for what must not
    be unpacked."""
    target = cache_root() / "unpacked" / archive_fingerprint(path)
    if target.is_dir():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target.parent)
        building = Path(tempfile.mkdtemp(prefix=".building-", dir=target.parent))
    except OSError as error:
        raise DataError(
            f"cannot unpack {path.name} into {target.parent}: {error.strerror}.\nSet MAPSTO_CACHE to a folder"
            " with room, or unpack it yourself and name the folder."
        ) from None
    try:
        _unpack_into(path, building)
        try:
            building.rename(target)
        except OSError:
            if not target.is_dir():  # else another process was first, with the same contents
                raise
    except OSError as error:
        raise DataError(
            f"cannot unpack {path.name} into {target.parent}: {error.strerror or error}.\nSet MAPSTO_CACHE to"
            " a folder with room."
        ) from None
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return target


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


def _sweep(folder: Path) -> None:
    """Take away what a killed process left more than a day ago."""
    for old in folder.glob(".building-*"):
        if time.time() - old.stat().st_mtime > 86400:
            shutil.rmtree(old, ignore_errors=True)


def _unpack_into(path: Path, folder: Path) -> None:
    with reading(path), open(path, "rb") as handle:
        is_zip = handle.read(2) == b"PK"
    if not is_zip:
        _write(path, folder, tar_members(path))
        return
    with opened_zip(path) as (members, contents):
        total = sum(member.size for member in members)
        _check_sizes(path, total, len(members), folder, coming=total)
        _write(path, folder, contents)


def _write(path: Path, folder: Path, members: Iterator[tuple[Member, Content | None]]) -> None:
    """Write every member, with the archive's time; sizes are counted as they come, whatever the archive
    says."""
    when = path.stat().st_mtime_ns
    total = count = 0
    links = []
    for member, handle in members:
        if _is_hidden(member.name):
            continue
        if member.link is not None:
            links.append((member, _link_target(path, member)))
            continue
        goal = folder / member.name
        goal.parent.mkdir(parents=True, exist_ok=True)
        assert handle is not None
        with closing(handle), open(goal, "wb") as out:
            while block := handle.read(1 << 20):
                total += len(block)
                if total >> 27 != (total - len(block)) >> 27:  # every 128 MB
                    _check_sizes(path, total, count, folder)
                out.write(block)
        os.utime(goal, ns=(when, when))
        count += 1
        if count % 100_000 == 0:
            _check_sizes(path, total, count, folder)
    for member, target in links:
        _copy_link(folder, member, target)


def _is_hidden(name: str) -> bool:
    return any(part.lower() in SYSTEM_NAMES or part.startswith("._") for part in name.split("/"))


def _link_target(path: Path, member: Member) -> str:
    link = member.link or ""
    target = os.path.normpath(os.path.join(os.path.dirname(member.name), link))
    if os.path.isabs(link) or target.startswith("..") or not link:
        raise refused(path, member.name, f"is a link out of the archive, to '{link[:80]}'")
    return target


def _copy_link(folder: Path, member: Member, target: str) -> None:
    """A link to a file within becomes a second name of it; links to folders or to nothing are left out."""
    source, goal = folder / target, folder / member.name
    if source.is_file() and not goal.exists():
        goal.parent.mkdir(parents=True, exist_ok=True)
        os.link(source, goal)


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
