"""Files that a table's cells name: pictures or sounds beside the table, or in a folder beside it, by their
path, name or id, with or without suffix. They stay in that folder, unless links are to be followed.

A column of full paths is taken as its author meant it, for pictures and sounds alone, and said. Among other
names one that leads elsewhere is not opened.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from mapsto.cells import Blob, is_missing
from mapsto.data.files import entry_of, fingerprint_of
from mapsto.data.media import by_suffix, media
from mapsto.source import Chunk, Source

DIFFERENT = 0.9  # share of a column's cells, from which on bare numbers may be names of files
TRIED, FEWEST = 20, 3  # different cells of a column that must all be found, and how many there must be
FOLDERS = 200  # beside the table that are looked into
LONGEST = 255  # characters of a path that is looked for


@dataclass
class WithFiles(Source):
    """A table's rows, with files in place of their names. places: {column: (folder, suffix)}; named: columns
    whose names are left to their types to open, of full paths or not; follow: wherever they lead."""

    inner: Source | None = None
    places: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    named: Mapping[str, bool] = field(default_factory=dict)
    follow: bool = False

    def chunks(self, size: int = 4096) -> Iterator[Chunk]:
        assert self.inner is not None
        for chunk in self.inner.chunks(size):
            found = {
                name: _files(chunk.columns[name], *place, self.follow) for name, place in self.places.items()
            }
            for name, full in self.named.items():
                found[name] = [
                    _refused(cell) if _elsewhere(cell, full) else cell for cell in chunk.columns[name]
                ]
            yield Chunk({**chunk.columns, **found}, chunk.where, chunk.split, chunk.bad)

    def tested_elsewhere(self) -> Source:
        return self._around(self.inner.tested_elsewhere()) if self.inner is not None else self

    def _around(self, inner: Source) -> Source:
        shown = {each.name: getattr(self, each.name) for each in fields(Source)}
        shown |= {"divided": inner.divided}
        return WithFiles(**shown, inner=inner, places=self.places, named=self.named, follow=self.follow)


def with_files(source: Source, folder: Path | None, follow: bool = False) -> Source:
    """The source, its columns that name files in or below a folder holding these; as it came where none
    does. folder: None of an archive, whose names lead nowhere out of it; follow: also names that do."""
    head = next(source.chunks(256), None) if source.kind == "rows" else None
    if head is None:
        return source
    folders = [] if folder is None else _folders(folder)
    places, named = {}, {}
    for name in source.columns:
        if (place := _place(head.columns[name], folders, follow)) is not None:
            places[name] = place
        elif not follow and (full := _names(head.columns[name])) is not None:
            named[name] = full and folder is not None
    if not places and not named:
        return source
    shown = {each.name: getattr(source, each.name) for each in fields(Source)}
    told = [
        f"column '{name}': files in {where}{f', with {suffix} behind the name' if suffix else ''}"
        for name, (where, suffix) in places.items()
    ]
    told += [f"column '{name}': files that it names by their full paths" for name in named if named[name]]
    digest = hashlib.blake2b(source.fingerprint.encode(), digest_size=16)
    for where, _ in places.values():
        digest.update(_listing(where).encode())
    shown |= {"said": [*source.said, *told]} | ({"fingerprint": digest.hexdigest()} if places else {})
    return WithFiles(**shown, inner=source, places=places, named=named, follow=follow)


def names_files(source: Source, folder: Path, follow: bool) -> bool:
    """Does a column of it name files in or below a folder?"""
    found = with_files(source, folder, follow)
    return isinstance(found, WithFiles) and bool(found.places)


def _files(cells: Sequence[Any], folder: str, suffix: str, follow: bool) -> list[Any]:
    names = [None if is_missing(cell) else f"{str(cell).strip()}{suffix}" for cell in cells]
    within = None if follow else folder
    return [None if name is None else Blob(os.path.join(folder, name), name, within) for name in names]


def _named_file(cell: Any) -> str | None:
    """The file that a cell names, as {"path": …} without its bytes does, too; None where it names none."""
    if isinstance(cell, Mapping) and not cell.get("bytes") and "array" not in cell:
        cell = cell.get("path")
    return cell if isinstance(cell, str) else None


def _names(cells: Sequence[Any]) -> bool | None:
    """Are a column's names full paths? None where most cells name no picture or sound."""
    known = [cell for cell in cells if not is_missing(cell)]
    names = [name for name in map(_named_file, known) if name is not None and by_suffix(name)]
    if not names or 2 * len(names) < len(known):
        return None
    return 2 * sum(map(os.path.isabs, names)) > len(names)


def _elsewhere(cell: Any, full: bool) -> bool:
    """Does a cell lead out of where the others lie: the folder one works in, or, of full paths, anywhere?"""
    name = _named_file(cell)
    if name is None or (full and os.path.isabs(name)):
        return False
    return os.path.isabs(name) or ".." in name.replace("\\", "/").split("/")


def _refused(cell: Any) -> Blob:
    """A file that is not opened, and says why."""
    name = str(_named_file(cell))
    return Blob(name, name, os.getcwd())


def _folders(folder: Path) -> list[str]:
    """It, and those in it."""
    try:
        with os.scandir(folder) as found:
            inner = sorted(each.path for each in found if each.is_dir() and not each.name.startswith("."))
    except OSError:
        return []
    return [str(folder), *inner[:FOLDERS]]


def _place(cells: Sequence[Any], folders: Sequence[str], follow: bool) -> tuple[str, str] | None:
    """(folder, suffix) with which every cell of a column that was tried names a file; None where there is
    none."""
    known = [cell for cell in cells if isinstance(cell, (str, int)) and not isinstance(cell, bool)]
    if len(known) < len(cells) or not folders:
        return None
    every = [str(cell).strip() for cell in known if not is_missing(cell)]
    names = list(dict.fromkeys(every))
    if all(map(str.isdecimal, names)) and len(names) < DIFFERENT * len(every):
        return None  # counts and grades repeat, as names of files do not
    names = names[:TRIED]
    if len(names) < min(FEWEST, len(cells)) or any("\0" in name or len(name) > LONGEST for name in names):
        return None
    if any("://" in name or (not follow and _elsewhere(name, False)) for name in names):
        return None
    suffixes = [""] if all(map(by_suffix, names)) else list(_suffixes())
    for folder in folders:
        for suffix in suffixes:
            if all(os.path.isfile(os.path.join(folder, name + suffix)) for name in names):
                return folder, suffix
    return None


def _suffixes() -> Iterator[str]:
    for column_type in media().values():
        yield from sorted(column_type.suffixes)


def _listing(folder: str) -> str:
    """A fingerprint of the files in a folder and in those in it."""
    found = [folder, *_folders(Path(folder))[1:]]
    files = [Path(where, name) for where in found for name in sorted(os.listdir(where))]
    return fingerprint_of(entry_of(file) for file in files if file.is_file())
