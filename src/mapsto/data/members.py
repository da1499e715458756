"""What an archive holds, one member after the other, and that all of it is there: every header's checksum,
every content's, the number of members a zip promises, and the end of a tar. Python's `tarfile` takes a
header that it cannot read for the archive's end, and never looks at what follows it."""

from __future__ import annotations

import gzip
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from mapsto.data.files import reading, unpacked
from mapsto.errors import DataError

LONGEST_NAME = 1 << 20  # bytes of a header that is a long name, or extends the next one
LONGEST_LINK = 4096
NAMES = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
NAMES += (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)  # members that say something of the next one
DAMAGES = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    UnicodeError,
)
END, END_64 = b"PK\x05\x06", b"PK\x06\x06"  # of a zip


@dataclass(frozen=True)
class Member:
    """One entry of an archive. size: as the archive says. link: where it points, for a link."""

    name: str
    size: int
    link: str | None


class _Header(tarfile.TarInfo):
    """One whose damage is never taken for the end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> tarfile.TarInfo:
        found = super().frombuf(buf, encoding, errors)
        if found.size < 0 or (found.type in NAMES and found.size > LONGEST_NAME):
            raise tarfile.ReadError(f"'{found.name[:80]}' says it has {found.size:,} bytes")
        return found

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> tarfile.TarInfo:
        try:
            return super().fromtarfile(archive)
        except tarfile.HeaderError as problem:
            if isinstance(problem, tarfile.EOFHeaderError):  # type: ignore[attr-defined]
                raise
            raise tarfile.ReadError(str(problem) or "its end is missing") from None


class Content:
    """A member's bytes. DataError names it where they are damaged or cut off."""

    def __init__(self, path: Path, name: str, file: IO[bytes]):
        self.path, self.name, self.file = path, name, file

    def read(self, size: int = -1) -> bytes:
        with refused_where_damaged(self.path, f"'{self.name[:80]}'"):
            return self.file.read(size)

    def close(self) -> None:
        self.file.close()


def tar_headers(path: Path) -> Iterator[tuple[tarfile.TarInfo, Content | None]]:
    """Every header of a tar, packed or not, to its real end, with the content of a file. DataError: it is
    damaged or cut off."""
    with reading(path), unpacked(path) as handle:
        where = "its first member"
        with refused_where_damaged(path, where):
            archive = tarfile.open(fileobj=handle, mode="r:", tarinfo=_Header)  # noqa: SIM115 (it closes nothing)
        headers = iter(archive)
        while True:
            with refused_where_damaged(path, where):
                if (info := next(headers, None)) is None:
                    break
                if info.size < 0:
                    raise tarfile.ReadError(f"'{info.name[:80]}' says it has {info.size:,} bytes")
                file = archive.extractfile(info) if info.isfile() else None
            yield info, None if file is None else Content(path, info.name, file)
            where = f"what follows '{info.name[:80]}'"
        with refused_where_damaged(path, where):
            while rest := handle.read(1 << 20):  # what packs it is checked by reading all of it
                if rest.count(0) != len(rest):
                    raise tarfile.ReadError("more stands behind its end, perhaps another archive")


def tar_members(path: Path) -> Iterator[tuple[Member, Content | None]]:
    """Files and links of a tar. DataError: damaged, or with a member that must not be written."""
    for info, content in tar_headers(path):
        if info.isdir():
            if PurePosixPath(info.name) != PurePosixPath("."):  # tar -C folder . names the folder itself, too
                safe_name(info.name, path)
            continue
        name = safe_name(info.name, path)
        if info.issym() or info.islnk():
            # a hard link names its target from the archive's top, a symbolic one from its own folder
            above = os.path.dirname(name) or "."
            link = info.linkname if info.issym() else os.path.relpath(info.linkname, above)
            yield Member(name, 0, link), None
        elif content is not None:
            yield Member(name, info.size, None), content
        else:
            raise refused(path, info.name, "is a device or a pipe")


@contextmanager
def opened_zip(path: Path) -> Iterator[tuple[list[Member], Iterator[tuple[Member, Content | None]]]]:
    """Files and links of a zip; and the same, one after the other, with their contents. DataError: encrypted,
    damaged, or with fewer members than it promises."""
    with refused_where_damaged(path, "its list of members"):
        archive = zipfile.ZipFile(path)
    with archive:
        with refused_where_damaged(path, "its list of members"):
            infos = _complete(archive, path)
        found = [(_zip_member(archive, info, path), info) for info in infos if not info.is_dir()]
        yield (
            [member for member, _ in found],
            (
                (member, None if member.link is not None else _zip_content(archive, info, path))
                for member, info in found
            ),
        )


def _complete(archive: zipfile.ZipFile, path: Path) -> list[zipfile.ZipInfo]:
    infos, promised = archive.infolist(), _promised(path, archive)
    if len(infos) & 0xFFFF != promised & 0xFFFF:
        raise zipfile.BadZipFile(f"its end promises {promised:,} members, {len(infos):,} are listed")
    for info in infos:
        if info.flag_bits & 1:
            raise DataError(
                f"{path.name} is encrypted ('{info.filename[:80]}' takes a password), which mapsto does not"
                f" open.\nUnpack it yourself and name the folder ({path})."
            )
        if info.is_dir() and info.file_size:
            raise zipfile.BadZipFile(f"its folder '{info.filename[:80]}' has a content")
    return infos


def _promised(path: Path, archive: zipfile.ZipFile) -> int:
    """Members that the last record of a zip says there are."""
    with path.open("rb") as handle:
        handle.seek(max(0, path.stat().st_size - (1 << 16) - 200))
        tail = handle.read()
    at = len(tail) - 22 - len(archive.comment)
    at = at if tail[at : at + 4] == END else tail.rfind(END)
    count = int.from_bytes(tail[at + 10 : at + 12], "little")
    large = tail.rfind(END_64, 0, at)
    if count == 0xFFFF and large >= 0:
        return int.from_bytes(tail[large + 32 : large + 40], "little")
    return count


def _zip_content(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> Content:
    with refused_where_damaged(path, f"'{info.filename[:80]}'"):
        return Content(path, info.filename, archive.open(info))


def _zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> Member:
    name = safe_name(info.filename.replace("\\", "/"), path)
    if not stat.S_ISLNK(info.external_attr >> 16):
        return Member(name, info.file_size, None)
    if info.file_size > LONGEST_LINK:
        raise refused(path, info.filename, "is a link longer than any path")
    return Member(name, info.file_size, os.fsdecode(_zip_content(archive, info, path).read()))


@contextmanager
def refused_where_damaged(path: Path, where: str) -> Iterator[None]:
    """Turn what decompressors, `zipfile` and `tarfile` say of a part, `where`, into a DataError."""
    try:
        yield
    except DAMAGES as error:
        said = " ".join(str(error).split())[:100]
        raise DataError(
            f"{path.name} is damaged or cut off, at {where} ({said}).\nNothing of it was used: download or"
            f" pack it again ({path})."
        ) from None


def safe_name(name: str, archive: Path) -> str:
    """A member's name as a relative path. Raises DataError when it is absolute or climbs out ('zip slip')."""
    parts = PurePosixPath(name).parts
    if (
        not parts
        or name.startswith("/")
        or ".." in parts
        or "\0" in name
        or (len(name) > 1 and name[1] == ":")
    ):
        raise refused(archive, name, "would be written outside the folder it is unpacked into")
    return "/".join(part for part in parts if part != ".")


def refused(archive: Path, member: str, why: str) -> DataError:
    """The error for a member for which the whole archive is not unpacked."""
    return DataError(
        f"refused to unpack {archive.name}: its entry '{member[:120]}' {why}.\nNothing was kept. Pack it"
        f" again from a plain folder ({archive})."
    )
