"""Files that a table's cells name: pictures or sounds beside the table, or in a folder beside it, by their
path, name or id, with or without suffix."""

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

TRIED, FEWEST = 20, 3  # different cells of a column that must all be found, and how many there must be
FOLDERS = 200  # beside the table that are looked into
LONGEST = 255  # characters of a path that is looked for


@dataclass
class WithFiles(Source):
    """A table's rows, with files in place of their names. places: {column: (folder, suffix)}."""

    inner: Source | None = None
    places: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def chunks(self, size: int = 4096) -> Iterator[Chunk]:
        assert self.inner is not None
        for chunk in self.inner.chunks(size):
            found = {name: _files(chunk.columns[name], *place) for name, place in self.places.items()}
            yield Chunk({**chunk.columns, **found}, chunk.where, chunk.split, chunk.bad)

    def tested_elsewhere(self) -> Source:
        return self._around(self.inner.tested_elsewhere()) if self.inner is not None else self

    def _around(self, inner: Source) -> Source:
        shown = {each.name: getattr(self, each.name) for each in fields(Source)}
        return WithFiles(**{**shown, "divided": inner.divided}, inner=inner, places=self.places)


def with_files(source: Source, folder: Path) -> Source:
    """The source, its columns that name files in or below a folder holding these; as it came where none
    does."""
    head = next(source.chunks(256), None) if source.kind == "rows" else None
    if head is None:
        return source
    folders = _folders(folder)
    places = {}
    for name in source.columns:
        if (place := _place(head.columns[name], folders)) is not None:
            places[name] = place
    if not places:
        return source
    shown = {each.name: getattr(source, each.name) for each in fields(Source)}
    told = [
        f"column '{name}': files in {where}{f', with {suffix} behind the name' if suffix else ''}"
        for name, (where, suffix) in places.items()
    ]
    digest = hashlib.blake2b(source.fingerprint.encode(), digest_size=16)
    for where, _ in places.values():
        digest.update(_listing(where).encode())
    shown |= {"fingerprint": digest.hexdigest(), "said": [*source.said, *told]}
    return WithFiles(**shown, inner=source, places=places)


def _files(cells: Sequence[Any], folder: str, suffix: str) -> list[Any]:
    names = [None if is_missing(cell) else f"{str(cell).strip()}{suffix}" for cell in cells]
    return [None if name is None else Blob(os.path.join(folder, name), name) for name in names]


def _folders(folder: Path) -> list[str]:
    """It, and those in it."""
    try:
        with os.scandir(folder) as found:
            inner = sorted(each.path for each in found if each.is_dir() and not each.name.startswith("."))
    except OSError:
        return []
    return [str(folder), *inner[:FOLDERS]]


def _place(cells: Sequence[Any], folders: Sequence[str]) -> tuple[str, str] | None:
    """(folder, suffix) with which every cell of a column that was tried names a file; None where there is
    none."""
    known = [cell for cell in cells if isinstance(cell, (str, int)) and not isinstance(cell, bool)]
    if len(known) < len(cells) or not folders:
        return None
    names = list(dict.fromkeys(str(cell).strip() for cell in known if not is_missing(cell)))[:TRIED]
    if len(names) < min(FEWEST, len(cells)) or any("\0" in name or len(name) > LONGEST for name in names):
        return None
    if any(
        os.path.isabs(name) or "://" in name or ".." in name.replace("\\", "/").split("/") for name in names
    ):
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
