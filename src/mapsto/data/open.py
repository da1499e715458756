"""From whatever a person points at to a Source: a path, a path into an archive, a pattern, several of them, a
frame, rows, columns."""

from __future__ import annotations

import glob
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mapsto.config import Reading
from mapsto.data.archive import unpack
from mapsto.data.arrays import open_idx, open_npz
from mapsto.data.files import (
    MEDIA,
    Entry,
    Listing,
    entry_of,
    file_kind,
    fingerprint_of,
    listing,
    medium_of,
    missing,
)
from mapsto.data.files import reading as reading_file
from mapsto.data.folder import FolderSource, open_folder, open_media, open_parts
from mapsto.data.frames import is_frame, open_frame
from mapsto.data.joined import Part, join, split_of_name, with_split_column
from mapsto.data.pairs import with_pairs
from mapsto.data.parallel import open_pairs, pairs_among
from mapsto.data.source import Source
from mapsto.data.table import open_table, stem
from mapsto.errors import DataError, did_you_mean


def open_source(data: Any, reading: Reading = Reading()) -> Source:  # noqa: B008 (frozen)
    """Rows from `data`: a path, 'archive.zip/inside.csv', a pattern, a list of those, a frame, a list of
    dicts, a dict of columns, a Source.

    reading.test names a second place whose rows are all "test". `locations` of the source name `data` (not
    the test place) so that it can be opened again. Raises DataError: nothing there, nothing readable, no
    rows."""
    source = with_pairs(with_split_column(_open(data), reading.drop))
    if isinstance(data, Source):
        places = data.locations
    else:
        texts = (
            [data]
            if isinstance(data, (str, os.PathLike))
            else data
            if isinstance(data, (list, tuple))
            else []
        )
        places = tuple(
            str(Path(each).expanduser().absolute()) for each in texts if isinstance(each, (str, os.PathLike))
        )
    source.locations = places
    if reading.test is None:
        return source
    source, test = (
        source.tested_elsewhere(),
        with_pairs(with_split_column(_open(reading.test, source.columns), reading.drop)),
    )
    if source.divided and any("test" in chunk.split for chunk in source.chunks()):
        raise DataError(
            f"{source.name} holds test rows already, and --test names {reading.test}.\n"
            f"Leave out --test, or name only the training part of {source.name}."
        )
    whole = join(source.name, [Part(source, "", None), Part(test, test.name, "test")])
    whole.locations = places
    return whole


def _open(data: Any, known: Sequence[str] = ()) -> Source:
    if isinstance(data, Source):
        return data
    if isinstance(data, (str, os.PathLike)):
        return _open_paths([os.fspath(data)], known)
    if is_frame(data):
        return open_frame(data)
    if (
        isinstance(data, (list, tuple))
        and data
        and all(isinstance(each, (str, os.PathLike)) for each in data)
    ):
        return _open_paths([os.fspath(each) for each in data], known)
    empty = isinstance(data, (list, tuple, Mapping)) and not data
    raise DataError(
        "expected a path, several paths, a frame, a list of dicts or a dict of columns, got"
        f" {'an empty ' if empty else ''}{type(data).__name__}."
    )


def _open_paths(texts: Sequence[str], known: Sequence[str]) -> Source:
    paths: list[tuple[Path, str]] = []
    for text in texts:
        with reading_file(text):
            paths += [(path, text) for path in _resolve(text)]
    if len(paths) == 1:
        return _open_one(*paths[0], known)
    return _open_several([path for path, _ in paths], known)


def _resolve(text: str) -> list[Path]:
    """A path as a person writes it -> existing paths. Archives on the way are unpacked. DataError: nothing
    there."""
    path = Path(text).expanduser()
    if not text.strip():
        raise DataError("expected a path, got an empty text.")
    if os.path.lexists(path):
        return [path]
    outer = _archive_above(path)
    if outer is not None:
        return _resolve_inside(outer, os.path.relpath(path, outer))
    if glob.has_magic(str(path)):
        found = sorted(glob.glob(str(path), recursive=True))
        if found:
            return [Path(each) for each in found]
        raise DataError(f"expected files that match {text}, there are none.")
    raise missing(path)


def _resolve_inside(outer: Path, inside: str) -> list[Path]:
    """'titanic.csv' or 'adult-*.csv' within an archive, also below the single folder that archives often
    hold."""
    top = unpack(outer)
    for folder in dict.fromkeys((top, descend(top))):
        found = (
            sorted(glob.glob(os.path.join(glob.escape(str(folder)), inside), recursive=True))
            if glob.has_magic(inside)
            else []
        )
        found = [str(folder / inside)] if (folder / inside).exists() else found
        if found and ".." not in Path(inside).parts:
            return [Path(each) for each in found]
    names = [entry.name for entry in listing(descend(top)).files]
    raise DataError(f"expected '{inside}' in {outer}, it is not there.\n{did_you_mean(inside, names)}")


def _archive_above(path: Path) -> Path | None:
    """The archive a path is, or leads into; None when there is none."""
    for each in (path, *path.parents):
        if each.is_dir():
            return None
        if each.is_file():
            if _is_archive(each):
                return each
            if each != path:
                raise DataError(f"{each} is a file, no folder or archive: nothing lies below it.")
            return None
    return None


def _is_archive(path: Path) -> bool:
    packing, kind = file_kind(path)
    if kind == "zip" and not packing:
        return not _is_npz(path)
    return kind == "tar" or (kind != "text" and path.name.lower().endswith((".tar", ".tgz", ".tar.gz")))


def _is_npz(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise DataError(f"{path.name} is damaged: {error}.\nDownload or pack it again ({path}).") from None
    if "[Content_Types].xml" in names:
        raise DataError(
            f"{path.name}: expected a table or an archive, this is an Office document.\nSave the sheet as csv"
            f" ({path})."
        )
    return bool(names) and all(name.endswith(".npy") for name in names)


def descend(folder: Path) -> Path:
    """Through folders that hold nothing but one folder, as archives often do."""
    while True:
        inside = [each for each in folder.iterdir() if not each.name.startswith(".")]
        if len(inside) != 1 or not inside[0].is_dir():
            return folder
        folder = inside[0]


def _open_one(path: Path, text: str, known: Sequence[str]) -> Source:
    """text: how a person named it, for messages."""
    if path.is_dir():
        return open_folder(path, text if text not in (".", "..") else None, known)
    entry = entry_of(path)
    packing, kind = file_kind(path)
    if _is_archive(path):
        return open_folder(descend(unpack(path)), text, known)
    if kind == "idx":
        around = [each for each in listing(path.parent).files if "/" not in each.name]
        partner = [
            each
            for each in around
            if each.name == entry.name.replace("images", "labels").replace("idx3", "idx1")
            and each.name != entry.name
        ]
        return open_idx([entry, *partner], around, stem(path.name))
    if kind in ("zip", "npy") and not packing:
        return open_npz(path)
    if medium := _medium(kind, entry):
        return open_media(Listing(path.parent, [entry]), [entry], path.stem, medium)
    return open_table(path, known)


def _open_several(paths: Sequence[Path], known: Sequence[str]) -> Source:
    """Files of one table, images, or folders side by side; names like data-train.csv and data-test.csv divide
    the rows."""
    kinds = {_kind(path) for path in paths}
    if len(kinds) == 1 and (medium := next(iter(kinds))) in MEDIA:
        files = [entry_of(path) for path in paths]
        return FolderSource(
            name=paths[0].absolute().parent.name,
            columns=(medium,),
            fingerprint=fingerprint_of(files),
            files=files,
            splits=[None] * len(files),
            said=[f"{len(files):,} {MEDIA[medium].partition(' ')[0]}"],
        )
    named = [split_of_name(stem(path.name)) for path in paths]
    splits = [split for _, split in named]
    name = (
        next(iter({base for base, _ in named}))
        if len({base for base, _ in named}) == 1
        else paths[0].absolute().parent.name
    )
    if pairs := pairs_among([replace(entry_of(path), name=str(path)) for path in paths if path.is_file()]):
        return open_pairs(name or paths[0].absolute().parent.name, pairs)
    if kinds == {"table"}:
        return open_parts(name or "table", list(paths), splits, known)
    divided = len(set(splits)) > 1
    sources = [_open_one(path, str(path), known) for path in paths]
    return join(
        name or "data",
        [
            Part(source, path.name, split if divided else None)
            for source, path, split in zip(sources, paths, splits, strict=True)
        ],
    )


def _kind(path: Path) -> str:
    if path.is_dir() or _is_archive(path):
        return "folder"
    kind = file_kind(path)[1]
    return _medium(kind, entry_of(path)) or ("array" if kind in ("idx", "npy", "zip") else "table")


def _medium(kind: str, entry: Entry) -> str | None:
    """The type whose cell a single file is, if it is one: by its first bytes, by its suffix where they say
    nothing."""
    return {"image": "image", "sound": "audio"}.get(kind) or (
        medium_of(entry) if kind == "binary file" else None
    )
