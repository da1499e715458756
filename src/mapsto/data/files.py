"""Files as they lie on disk: what they hold by their first bytes, what a folder contains, and what identifies
it."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from mapsto.data.source import BadRow
from mapsto.errors import DataError, did_you_mean

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm"}
)
SOUND_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf"})
MEDIA = {
    "image": "images (png, jpg, …)",
    "audio": "sounds (wav, flac, …)",
}  # types whose cells are files of their own
CONLL_SUFFIXES = frozenset({".conll", ".conllu", ".bio", ".iob"})
TABLE_SUFFIXES = (
    frozenset({".csv", ".tsv", ".tab", ".data", ".jsonl", ".ndjson", ".json", ".parquet", ".pq"})
    | CONLL_SUFFIXES
)
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
    (b"PAR1", "parquet"),
    (b"\x93NUMPY", "npy"),
    (b"\x89PNG", "image"),
    (b"\xff\xd8\xff", "image"),
    (b"GIF8", "image"),
    (b"II*\x00", "image"),
    (b"MM\x00*", "image"),
    (b"fLaC", "sound"),
    (b"ID3", "sound"),
    (b"OggS", "sound"),
    (b"%PDF", "PDF"),
    (b"SQLite format 3", "SQLite database"),
    (b"\xd0\xcf\x11\xe0", "old Office file"),
    (b"\x89HDF", "HDF5"),
    (b"ARROW1", "Arrow"),
    (b"7z\xbc\xaf", "7z archive"),
    (b"Rar!", "rar archive"),
)


@dataclass(frozen=True)
class Entry:
    """One file below a folder. name: relative, with '/'; size in bytes; mtime in nanoseconds."""

    name: str
    path: str
    size: int
    mtime: int

    @property
    def suffix(self) -> str:
        """'.csv' for 'a.CSV' and for 'a.csv.gz'."""
        return inner_suffix(self.name)


@dataclass
class Listing:
    """What lies below a folder: files in order of name, hidden and system names passed over, and what could
    not be entered."""

    root: Path
    files: list[Entry] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)


def inner_suffix(name: str) -> str:
    """The suffix in lower case, looking through .gz, .bz2 and .xz: 'a.csv.gz' -> '.csv'."""
    path = Path(name.lower())
    return Path(path.stem).suffix if path.suffix in PACKED_SUFFIXES else path.suffix


def listing(root: Path) -> Listing:
    """Walk `root`. Links are followed, except back to a folder above them. Raises DataError when `root`
    cannot be read."""
    found = Listing(root)
    with reading(root):
        status = root.stat()
        _walk(found, root, "", frozenset({(status.st_dev, status.st_ino)}))
    return found


def _walk(found: Listing, folder: Path, prefix: str, above: frozenset[tuple[int, int]]) -> None:
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        name = prefix + entry.name
        if entry.name.startswith(".") or entry.name.lower() in SYSTEM_NAMES:
            found.hidden.append(name)
            continue
        try:
            status = entry.stat()
            if not entry.is_dir():
                found.files.append(Entry(name, entry.path, status.st_size, status.st_mtime_ns))
                continue
            here = (status.st_dev, status.st_ino)
            if here in above:
                found.bad.append(BadRow(name, "a link back to a folder above it; not followed"))
            else:
                _walk(found, Path(entry.path), name + "/", above | {here})
        except OSError as error:  # a link to nothing or to itself, a folder without permission
            found.bad.append(BadRow(name, f"cannot be read: {error.strerror or error}"))


def fingerprint_of(files: Iterable[Entry]) -> str:
    """blake2b over name, size and time of every file."""
    digest = hashlib.blake2b(digest_size=16)
    for entry in files:
        digest.update(f"{entry.name}\0{entry.size}\0{entry.mtime}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


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
        raise DataError(f"expected a file, {path} is a folder.") from None
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is damaged or cut off: {error}.\nDownload or compress it again.") from None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}.") from None


def missing(path: Path) -> DataError:
    """The error for a path that is not there: says how far it exists, and the nearest name there."""
    if path.is_symlink():
        return DataError(f"expected data at {path}, it is a link to {os.readlink(path)}, where nothing is.")
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


def file_kind(path: Path | str) -> tuple[str, str]:
    """(packing, kind) by content: ('gzip', 'text'), ('', 'zip'), … Kinds: zip tar parquet npy idx image text
    empty, or what it is else."""
    with reading(path):
        with open(path, "rb") as handle:
            packing = magic(handle.read(16))
        packing = packing if packing in OPENERS else ""
        with unpacked(path) as handle:
            head = handle.read(8192)
    if head[257:262] == b"ustar":
        return packing, "tar"
    return packing, magic(head) if head else "empty"


def magic(head: bytes) -> str:
    """What a file's first bytes say it is."""
    for start, kind in _MAGIC:
        if head.startswith(start):
            return kind
    if head[:4] == b"RIFF":
        return "image" if head[8:12] == b"WEBP" else "sound" if head[8:12] == b"WAVE" else "binary file"
    if (head[:2] == b"BM" and head[6:10] == b"\0\0\0\0") or (
        head[:1] == b"P" and head[1:2] in b"123456" and head[2:3] in b" \n\r\t#" and len(head) > 3
    ):
        return "image"
    if (
        head[:2] == b"\0\0"
        and head[2:3] in b"\x08\x09\x0b\x0c\x0d\x0e"
        and 1 <= (head[3] if len(head) > 3 else 0) <= 8
    ):
        return "idx"
    control = sum(byte < 9 or 13 < byte < 32 for byte in head if byte not in (0, 26, 27))
    many_nul = head.count(0) > 0.6 * len(head)
    return "binary file" if control > 0.02 * len(head) or many_nul else "text"


def medium_of(entry: Entry) -> str | None:
    """Which of MEDIA a file is: by suffix; by the first bytes where the suffix says nothing known."""
    suffix = Path(entry.name).suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return "image"
    if suffix in SOUND_SUFFIXES:
        return "audio"
    if (
        suffix in TABLE_SUFFIXES
        or suffix in PACKED_SUFFIXES
        or suffix in (".txt", ".zip", ".md", ".html", ".py", ".xml", ".npz", ".npy")
    ):
        return None
    try:
        with open(entry.path, "rb") as handle:
            return {"image": "image", "sound": "audio"}.get(magic(handle.read(32)))
    except OSError:
        return None


def of_one_medium(files: Iterable[Entry]) -> tuple[str, list[Entry]]:
    """(medium, its files): of pictures and sounds what there are more of; images when there is neither."""
    found: dict[str, list[Entry]] = {medium: [] for medium in MEDIA}
    for entry in files:
        if medium := medium_of(entry):
            found[medium].append(entry)
    return max(found.items(), key=lambda each: len(each[1]))
