"""Files as they lie on disk: what they hold by their first bytes, what a folder contains, and what identifies
it."""

from __future__ import annotations

import bz2
import glob
import gzip
import hashlib
import io
import lzma
import os
import stat
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from mapsto.cells import leads_out
from mapsto.errors import DataError, did_you_mean
from mapsto.source import BadRow, split_name

GIGABYTE = 10**9
MOST_RATIO, RATIO_FROM = 200, 1 * GIGABYTE  # pictures and tables pack 1:1 to 1:50; bombs 1:1000 and more
LONGEST_LINE = 1 << 26  # bytes
PACKED_SUFFIXES = frozenset({".gz", ".bz2", ".xz"})
SYSTEM_NAMES = frozenset(
    {"thumbs.db", "desktop.ini", "__macosx", "$recycle.bin", "system volume information", "lost+found"}
)
OPENERS = {"gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open}
_MAGIC = (
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"%PDF", "PDF"),
    (b"\xd0\xcf\x11\xe0", "old Office file"),
    (b"\x89HDF", "HDF5"),
    (b"7z\xbc\xaf", "7z archive"),
    (b"Rar!", "rar archive"),
    (b"\x28\xb5\x2f\xfd", "zstd archive"),
)
OUTSIDE = "a link out of the folder; not followed (--follow-links)"
NOT_OPENED = frozenset({"7z archive", "rar archive", "zstd archive"})


@dataclass(frozen=True)
class Entry:
    """One file below a folder. name: relative, with '/'; size in bytes; mtime in nanoseconds."""

    name: str
    path: str
    size: int
    mtime: int

    @cached_property
    def suffix(self) -> str:
        """'.csv' for 'a.CSV' and for 'a.csv.gz'."""
        return inner_suffix(self.name)


@dataclass
class Listing:
    """What lies below a folder: files in order of name, hidden and system names passed over, what could not
    be entered, and links that lead out of it, which are not followed."""

    root: Path
    files: list[Entry] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
    leading_out: list[str] = field(default_factory=list)


def inner_suffix(name: str) -> str:
    """The suffix in lower case, looking through .gz, .bz2 and .xz: 'a.csv.gz' -> '.csv'."""
    last = suffix_of(name)
    return suffix_of(name[: -len(last)]) if last in PACKED_SUFFIXES else last


def suffix_of(name: str) -> str:
    """The last suffix in lower case, as pathlib has it in ten times as long: each of a dozen readers asks for
    that of every file of a folder."""
    own = os.path.basename(name)
    dot = own.rfind(".")
    return own[dot:].lower() if 0 < dot < len(own) - 1 else ""


def listing(root: Path, follow: bool = False) -> Listing:
    """Walk `root`. Links are followed, except back to a folder above them; those that lead out of it only
    where `follow` says so. Raises DataError when `root` cannot be read."""
    found = Listing(root)
    with reading(root):
        status = root.stat()
        _walk(found, root, "", frozenset({(status.st_dev, status.st_ino)}), follow)
    return found


def _walk(found: Listing, folder: Path, prefix: str, above: frozenset[tuple[int, int]], follow: bool) -> None:
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        name = prefix + entry.name
        if entry.name.startswith(".") or entry.name.lower() in SYSTEM_NAMES:
            found.hidden.append(name)
            continue
        try:
            status = entry.stat()
            if not follow and entry.is_symlink() and leads_out(entry.path, str(found.root)):
                found.leading_out.append(name)
                found.bad.append(BadRow(name, OUTSIDE))
                continue
            if not entry.is_dir() and not stat.S_ISREG(status.st_mode):
                found.bad.append(BadRow(name, "a pipe or a device, no file"))
                continue
            if not entry.is_dir():
                found.files.append(Entry(name, entry.path, status.st_size, status.st_mtime_ns))
                continue
            here = (status.st_dev, status.st_ino)
            if here in above:
                found.bad.append(BadRow(name, "a link back to a folder above it; not followed"))
            else:
                _walk(found, Path(entry.path), name + "/", above | {here}, follow)
        except OSError as error:  # a link to nothing or to itself, a folder without permission
            found.bad.append(BadRow(name, f"cannot be read: {error.strerror or error}"))


def fingerprint_of(files: Iterable[Entry]) -> str:
    """blake2b over name, size and time of every file."""
    digest = hashlib.blake2b(digest_size=16)
    for entry in files:
        digest.update(f"{entry.name}\0{entry.size}\0{entry.mtime}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def identity(places: Iterable[str]) -> str:
    """blake2b over which files on this disk lie at some places, and when anything of each was last changed:
    two folders never have the same, nor has one whose files were changed and given their times again."""
    digest = hashlib.blake2b(digest_size=16)
    for place in places:
        for path in _files_at(place):
            with suppress(OSError):
                status = os.stat(path)
                told = (
                    path,
                    status.st_dev,
                    status.st_ino,
                    status.st_size,
                    status.st_mtime_ns,
                    status.st_ctime_ns,
                )
                digest.update(repr(told).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _files_at(place: str) -> Iterator[str]:
    """Below a folder, of a pattern, or the archive or workbook that something is meant in."""
    if os.path.isdir(place):
        for folder, folders, names in os.walk(place, followlinks=False):
            folders.sort()
            yield from (os.path.join(folder, name) for name in sorted(names))
    elif os.path.exists(place):
        yield place
    elif found := glob.glob(place, recursive=True):
        for each in sorted(found):
            yield from _files_at(each)
    else:
        path = Path(place.rpartition("::")[0] or place)
        yield from (str(each) for each in (path, *path.parents) if each.is_file())


def entry_of(path: Path) -> Entry:
    """A single file as an entry named by its own name."""
    with reading(path):
        status = path.stat()
    return Entry(path.name, str(path), status.st_size, status.st_mtime_ns)


@contextmanager
def reading(path: Path | str) -> Iterator[None]:
    """Turn what the system or a decompressor says about `path` into a DataError."""
    try:
        yield
    except FileNotFoundError:
        raise missing(Path(path)) from None
    except PermissionError:
        raise DataError(
            f"no permission to read {path}.\nAllow it (chmod u+r), or copy the data to a place of yours."
        ) from None
    except IsADirectoryError:
        raise DataError(f"expected a file, {path} is a folder.\nName a file in it.") from None
    except UnicodeDecodeError as error:
        said = f"{path}: expected utf-8 text, byte {error.start} is none"
        raise DataError(f"{said}.\nSave it as utf-8.") from None
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is damaged or cut off: {error}.\nDownload or compress it again.") from None
    except OSError as error:
        raise DataError(
            f"cannot read {path}: {error.strerror or error}.\nCheck its permissions and the disk."
        ) from None


def missing(path: Path) -> DataError:
    """The error for a path that is not there: says how far it exists, and the nearest name there."""
    if path.is_symlink():
        return DataError(
            f"expected data at {path}, it is a link to {os.readlink(path)}, where nothing"
            " is.\nMend the link, or name the data itself."
        )
    folder = path.parent
    while not folder.exists() and folder != folder.parent:
        path, folder = folder, folder.parent
    try:
        names = os.listdir(folder) if folder.is_dir() else []
    except OSError:
        names = []
    return DataError(
        f"expected data at {path}, nothing is there.\nIn {folder.absolute()}:"
        f" {did_you_mean(path.name, names, most=5)}"
    )


def unpacked(path: Path | str) -> IO[bytes]:
    """The file's bytes, through gzip, bzip2 or xz if it is packed so. Raises what the system raises: use
    within `reading`."""
    with open(path, "rb") as handle:
        opener = OPENERS.get(magic(handle.read(16)))
    return opener(path, "rb") if opener else open(path, "rb")  # type: ignore[return-value]


def expanded(text: str | os.PathLike[str]) -> Path:
    """'~' as the user's folder; a name of no user stays as it is written."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


class _Lines(io.RawIOBase):
    """Bytes of a text of lines, none of which takes the memory, and which are no bomb."""

    def __init__(self, inner: IO[bytes], path: Path | str):
        self.inner, self.path = inner, path
        self.packed = max(1, os.stat(path).st_size)
        self.total = self.line = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.inner.read(len(buffer))
        buffer[: len(data)] = data
        self.total += len(data)
        end = max(data.rfind(b"\n"), data.rfind(b"\r"))
        self.line = self.line + len(data) if end < 0 else len(data) - end - 1
        if self.line > LONGEST_LINE:
            raise DataError(
                f"{self.path}: expected lines, one has more than {LONGEST_LINE >> 20} MB.\nBreak it into"
                " rows."
            )
        if self.total > RATIO_FROM and self.total > MOST_RATIO * self.packed:
            raise DataError(
                f"{self.path}: {self.packed / 1e6:,.1f} MB become more than {self.total / 1e9:,.1f} GB"
                f" ({self.total // self.packed:,} times as much), as bombs do.\nIf it is meant, unpack it"
                " yourself and name the file."
            )
        return len(data)

    def close(self) -> None:
        self.inner.close()
        super().close()


def unpacked_lines(path: Path | str) -> IO[bytes]:
    """The same of a text of lines. Reading raises DataError where a line has more than LONGEST_LINE bytes, or
    it is a bomb."""
    return io.BufferedReader(_Lines(unpacked(path), path), 1 << 17)


def head_of(path: Path | str) -> bytes:
    """The first 8 kB of the file, unpacked."""
    with reading(path), unpacked(path) as handle:
        return handle.read(8192)


def file_kind(path: Path | str) -> tuple[str, str]:
    """(packing, kind) by content: ('gzip', 'text'), ('', 'zip'), … Kinds: zip tar text empty, 'binary file',
    or a format that mapsto does not read; the formats that it reads, their readers know."""
    with reading(path), open(path, "rb") as handle:
        packing = magic(handle.read(16))
    head = head_of(path)
    packing = packing if packing in OPENERS else ""
    if head[257:262] == b"ustar":
        return packing, "tar"
    return packing, magic(head) if head else "empty"


def magic(head: bytes) -> str:
    """What a file's first bytes say it is."""
    for start, kind in _MAGIC:
        if head.startswith(start):
            return kind
    control = sum(byte < 9 or 13 < byte < 32 for byte in head if byte not in (0, 26, 27))
    many_nul = head.count(0) > 0.6 * len(head)
    return "binary file" if control > 0.02 * len(head) or many_nul else "text"


def stem(name: str) -> str:
    """A file's name without its suffixes, but for one that names a split: 'adult.csv.gz' -> 'adult',
    'adult.train.csv' -> 'adult.train'."""
    for _ in range(2):
        path = Path(name)
        if (
            split_name(path.suffix[1:])
            or not path.suffix
            or path.suffix[1:].isdigit()
            or len(path.suffix) > 8
        ):
            break
        name = path.stem
    return name
