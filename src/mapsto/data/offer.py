"""What readers are asked: an offer, which is whatever a person points at.

A file in `data/readers` reads one format, or one way in which files lie in a folder. It holds

    claims(offer) -> float    how sure it is that this is its own: 1 by the first bytes, .9 by the name, .5
                              for want of a better one, 0 not at all
    open(offer) -> Source     its rows. DataError: what was expected, what came, where, what to do
    SUFFIXES                  of the files that hold a table each: a folder is searched for them
    FORMATS                   what a person calls them, for messages

The surest opens it. Packages add readers by the entry point `mapsto.readers`; `mapsto.testing.check_reader`
holds any reader to this.
"""

from __future__ import annotations

import functools
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from mapsto.data.files import Entry, Listing, entry_of, file_kind, head_of, inner_suffix, listing, stem
from mapsto.errors import DataError
from mapsto.registry import module, names
from mapsto.source import BadRow

ROOM = "data/readers"
ARCHIVES = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar", ".zip")
NPY = b"\x93NUMPY"  # what such a file begins with
IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


@dataclass(frozen=True)
class Offer:
    """What a person points at: a path, several, or an object in memory.

    shown: how it was named, for messages. inside: what was named within a file, as the sheet in
    'book.xlsx::Sheet1'. known: columns that another part of the same data has; asked: columns that a
    person has named. called: what its source is called, where its path does not say. follow: links that
    lead out of the folder, too.
    """

    paths: tuple[Path, ...] = ()
    shown: str = ""
    inside: str = ""
    known: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    called: str = ""
    left: tuple[BadRow, ...] = ()
    follow: bool = False
    data: Any = None

    @cached_property
    def made(self) -> Any:
        """What the object gives when it is called, where it can be and is no Source; itself elsewhere."""
        return self.data() if callable(self.data) else self.data

    @property
    def path(self) -> Path:
        """The one path. Only asked of a file or a folder."""
        return self.paths[0]

    @property
    def is_memory(self) -> bool:
        return not self.paths

    @cached_property
    def is_folder(self) -> bool:
        return len(self.paths) == 1 and self.path.is_dir()

    @property
    def is_file(self) -> bool:
        return len(self.paths) == 1 and not self.is_folder

    @property
    def is_several(self) -> bool:
        return len(self.paths) > 1

    @cached_property
    def name(self) -> str:
        """What a person would call it, fit for a folder's name."""
        if self.called:
            return self.called
        if self.is_folder:
            return self.path.absolute().name
        return self.path.absolute().parent.name if self.is_several else stem(self.path.name)

    @cached_property
    def entry(self) -> Entry:
        """The one file."""
        return entry_of(self.path)

    @property
    def suffix(self) -> str:
        """Of the one file, looking through .gz, .bz2 and .xz; "" of anything else."""
        return inner_suffix(self.path.name) if self.is_file else ""

    @cached_property
    def _kind(self) -> tuple[str, str]:
        return file_kind(self.path) if self.is_file else ("", "")

    @property
    def packing(self) -> str:
        """'gzip', 'bzip2', 'xz' or "": what is around the file."""
        return self._kind[0]

    @property
    def kind(self) -> str:
        """What the file is, so far as everybody must know: 'text', 'empty', 'zip', 'tar', 'binary file', or a
        format that no reader of ours reads; "" of anything else."""
        return self._kind[1]

    @cached_property
    def head(self) -> bytes:
        """The first bytes of the file, unpacked; b"" of anything else."""
        return head_of(self.path) if self.is_file else b""

    @cached_property
    def listing(self) -> Listing:
        """What lies below the folder; for files, they themselves."""
        if self.is_folder:
            found = listing(self.path, self.follow)
            found.bad += self.left
            return found
        return Listing(self.path.parent, [entry_of(path) for path in self.paths if path.is_file()])

    @property
    def files(self) -> list[Entry]:
        return self.listing.files


@functools.cache
def table_suffixes() -> frozenset[str]:
    """Of the files that hold a table each."""
    found = [vars(module(ROOM, name)).get("SUFFIXES", frozenset()) for name in names(ROOM)]
    return frozenset().union(*found)


def formats() -> str:
    """'csv, tsv, jsonl, …': what files may hold, for messages."""
    found = [one for name in names(ROOM) for one in vars(module(ROOM, name)).get("FORMATS", ())]
    return ", ".join(found[:-1]) + f" or {found[-1]}"


def archive_name(path: str) -> str:
    """'data/cats.tar.gz' -> 'cats'."""
    name = PurePosixPath(path).name
    suffix = next((each for each in ARCHIVES if name.lower().endswith(each)), "")
    return name.removesuffix(name[len(name) - len(suffix) :]) if suffix else stem(name)


def is_archive(path: Path) -> bool:
    """A zip that holds more than arrays, or a tar, whatever is around it. DataError: damaged."""
    packing, kind = file_kind(path)
    if kind == "zip" and not packing:
        return not is_npz(path)
    return kind == "tar" or (kind != "text" and path.name.lower().endswith((".tar", ".tgz", ".tar.gz")))


def is_idx(head: bytes) -> bool:
    """Two zero bytes, the type, and one to eight dimensions."""
    return len(head) > 3 and head[:2] == b"\0\0" and head[2] in IDX_TYPES and 1 <= head[3] <= 8


def is_npz(path: Path) -> bool:
    """A zip of arrays alone. DataError: damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise DataError(f"{path.name} is damaged: {error}.\nDownload or pack it again ({path}).") from None
    return bool(names) and all(name.endswith(".npy") for name in names)
