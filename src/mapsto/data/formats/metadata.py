"""Folder + metadata.csv, .jsonl or .parquet with a `file_name` column: the Hugging Face convention."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from mapsto.cells import Blob
from mapsto.data.files import Entry, Listing, entry_of, fingerprint_of
from mapsto.data.joined import Part, join
from mapsto.data.media import of_one_medium, words
from mapsto.data.offer import Offer
from mapsto.data.readers.base import open_offer
from mapsto.errors import DataError, did_you_mean
from mapsto.source import BadRow, Chunk, Source, split_name

FILE = "file_name"


@dataclass
class MetadataSource(Source):
    """A table whose `file_name` names files of pictures or sounds, the first column, relative to the table's
    folder. there: {relative name: file}; folder: it, where names may lead out of it, "" where not;
    leading_out: links that do, and are not followed."""

    table: Source | None = None
    there: dict[str, Entry] = field(default_factory=dict)
    folder: str = ""
    leading_out: Sequence[str] = ()

    def chunks(self, size: int = 4096) -> Iterator[Chunk]:
        assert self.table is not None
        for chunk in self.table.chunks(size):
            blobs = [self._blob(cell) for cell in chunk.columns[FILE]]
            good = [i for i, blob in enumerate(blobs) if blob is not None]
            bad = [
                BadRow(chunk.where[i], self._why(chunk.columns[FILE][i]))
                for i, blob in enumerate(blobs)
                if blob is None
            ]
            columns: dict[str, Sequence[Any]] = {self.columns[0]: [blobs[i] for i in good]}
            columns |= {
                _renamed(name, self.columns[0]): [cells[i] for i in good]
                for name, cells in chunk.columns.items()
                if name != FILE
            }
            yield Chunk(
                {name: columns[name] for name in self.columns},
                [chunk.where[i] for i in good],
                [chunk.split[i] for i in good],
                [*chunk.bad, *bad],
            )

    def _blob(self, cell: Any) -> Blob | None:
        name = _plain(cell)
        if entry := self.there.get(name):
            return Blob(entry.path, entry.name)
        path = os.path.join(self.folder, name)
        return Blob(path, name) if self.folder and os.path.isfile(path) else None

    def _why(self, cell: Any) -> str:
        """What is wrong with a name that names no file."""
        name = _plain(cell)
        linked = any(f"{name}/".startswith(f"{link}/") for link in self.leading_out)
        if self.folder or not (linked or os.path.isabs(name) or ".." in name.split("/")):
            return f"no file '{cell}' in the folder"
        return f"'{cell}' leads out of the folder; to read it all the same: --follow-links"


def _plain(cell: Any) -> str:
    """A cell's relative name as a listing has it."""
    return str(PurePosixPath(str(cell).strip().replace("\\", "/")))


def source_of(offer: Offer, metadata: Sequence[Entry]) -> Source:
    """One metadata file, or one in each split folder. DataError: no `file_name`, files missing, or files that
    are no images."""
    found, name = offer.listing, offer.name
    parts = [_open_one(found, entry, offer.follow) for entry in metadata]
    folders = [PurePosixPath(entry.name).parent.name for entry in metadata]
    splits = [split_name(folder) for folder in folders]
    divided = len(set(splits)) > 1 and None not in splits
    if len(metadata) > 1 and not divided:
        raise DataError(
            f"{name}: expected one metadata file, or one in each of train/ and test/; found"
            f" {', '.join(entry.name for entry in metadata[:6])}.\nName one folder."
        )
    if len(parts) == 1:
        source = parts[0]
        source.name = name
    else:
        source = join(
            name,
            [Part(part, folder, split) for part, folder, split in zip(parts, folders, splits, strict=True)],
        )
    source.fingerprint = fingerprint_of(found.files)
    return source


def _open_one(found: Listing, entry: Entry, follow: bool) -> Source:
    table = open_offer(Offer((Path(entry.path),), entry.name))
    if FILE not in table.columns:
        raise DataError(
            f"{entry.name}: expected a column '{FILE}' naming the file of each row, got"
            f" {', '.join(table.columns[:8])}.\n{did_you_mean(FILE, table.columns)}"
        )
    folder = entry.name[: -len(PurePosixPath(entry.name).name)]
    there = {
        each.name[len(folder) :]: each
        for each in found.files
        if each.name.startswith(folder) and each.name != entry.name
    }
    medium = _medium(table, there, entry, os.path.dirname(entry.path) if follow else "")
    if medium in table.columns:
        table.said.append(f"column '{medium}' of the table is now '{medium}_2'")
    columns = (medium, *(_renamed(name, medium) for name in table.columns if name != FILE))
    return MetadataSource(
        name=entry.name,
        columns=columns,
        fingerprint=table.fingerprint,
        table=table,
        there=there,
        folder=os.path.dirname(entry.path) if follow else "",
        leading_out=[name.removeprefix(folder) for name in found.leading_out],
        said=table.said,
        untyped=table.untyped,
        guess=f"{medium} -> {columns[1]}" if len(columns) == 2 else None,
    )


def _renamed(name: str, medium: str) -> str:
    """The column named by the medium is ours."""
    return f"{medium}_2" if name == medium else name


def _medium(table: Source, there: Mapping[str, Entry], entry: Entry, elsewhere: str) -> str:
    """What the first rows name: files that are there, and are pictures or sounds."""
    chunk = next(table.chunks(200), None)
    names = [str(cell) for cell in chunk.columns[FILE]] if chunk else []
    files = [there[name] for name in map(_plain, names) if name in there]
    if not files and elsewhere:
        outside = (Path(elsewhere, name) for name in map(_plain, names))
        files = [entry_of(path) for path in outside if path.is_file()]
    if not files:
        raise DataError(
            f"{entry.name}: expected files like '{names[0] if names else ''}' beside it, none of the first"
            f" {len(names)} is there.\n{did_you_mean(names[0] if names else '', there, most=5)}"
        )
    medium, known = of_one_medium(files[:50])
    if not known:
        kind = Counter(each.suffix for each in files).most_common(1)[0][0]
        raise DataError(
            f"{entry.name}: expected {words()}, its rows name {kind} files, which mapsto"
            " does not read yet.\nTo learn from the table alone, name the table file instead of the folder."
        )
    return medium
