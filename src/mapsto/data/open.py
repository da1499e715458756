"""From whatever a person points at to what readers are asked about (`mapsto.data.readers`): a path, also one
into an archive or a file ('book.xlsx::Sheet1'), a pattern, several of them, or an object in memory."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mapsto.cells import leads_out
from mapsto.config import Reading
from mapsto.data._beside import names_files, with_files
from mapsto.data.files import expanded, listing, missing
from mapsto.data.files import reading as reading_file
from mapsto.data.offer import ARCHIVES, Offer, is_archive
from mapsto.data.readers.base import open_offer
from mapsto.data.resolve import as_opened
from mapsto.data.split_column import with_split_column
from mapsto.data.structs import flattened
from mapsto.errors import DataError, did_you_mean
from mapsto.source import Source

INSIDE = "::"  # between a file and what is meant in it


def open_source(data: Any, reading: Reading = Reading()) -> Source:  # noqa: B008 (frozen)
    """Rows from `data`: a path, 'archive.zip/inside.csv', a pattern, a list of those, a frame, a list of
    dicts, a dict of columns, a Source, or what else a reader claims.

    reading.test names a second place whose rows are all "test". `locations` of the source name `data` (not
    the test place) so that it can be opened again. Raises DataError: nothing there, nothing readable, no
    rows."""
    named = (reading.target, *reading.target.split(",")) if reading.target else ()
    source = _open(data, reading, asked=[name.strip() for name in named])
    source = as_opened(flattened(with_split_column(source, reading.drop)))
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
            str(expanded(each).absolute()) for each in texts if isinstance(each, (str, os.PathLike))
        )
    source.locations = source.read_from = places
    if reading.test is None:
        return source
    source, test = (
        source.tested_elsewhere(),
        as_opened(flattened(with_split_column(_open(reading.test, reading, source.columns), reading.drop))),
    )
    if source.divided and any("test" in chunk.split for chunk in source.chunks()):
        raise DataError(
            f"{source.name} holds test rows already, and --test names {reading.test}.\n"
            f"Leave out --test, or name only the training part of {source.name}."
        )
    from mapsto.data.joined import Part, join

    whole = join(source.name, [Part(source, "", None), Part(test, test.name, "test")])
    whole.locations = places
    whole.read_from = (*places, str(expanded(reading.test).absolute()))
    return whole


def _open(data: Any, reading: Reading, known: Sequence[str] = (), asked: Sequence[str] = ()) -> Source:
    if isinstance(data, Source):
        return data
    if isinstance(data, (str, os.PathLike)):
        return _open_paths([os.fspath(data)], reading, known, asked)
    several = isinstance(data, (list, tuple)) and bool(data)
    if several and all(isinstance(each, (str, os.PathLike)) for each in data):
        return _open_paths([os.fspath(each) for each in data], reading, known, asked)
    source = open_offer(Offer(data=data))
    return _from_root(source, root, reading.follow_links) if (root := _root(reading)) else source


def _root(reading: Reading) -> Path | None:
    """The folder that a person named for files that cells name. DataError: it is none."""
    if reading.root is None:
        return None
    if not (root := expanded(reading.root)).is_dir():
        raise DataError(f"--root {reading.root}: expected a folder, there is none.\nName that of the files.")
    return root


def _from_root(source: Source, root: Path, follow: bool) -> Source:
    """DataError: no column names files there."""
    if not names_files(source, root, follow):
        raise DataError(
            f"--root {root}: no column of {source.name} names files in it ({', '.join(source.columns[:6])})."
            "\nName the folder that their names begin in."
        )
    return with_files(source, root, follow)


def _open_paths(texts: Sequence[str], reading: Reading, known: Sequence[str], asked: Sequence[str]) -> Source:
    paths: list[Path] = []
    follow, root = reading.follow_links, _root(reading)
    inside = ""
    for text in texts:
        with reading_file(text):
            found, inside = _resolve(text, follow)
            paths += found
    if inside and len(texts) > 1:
        raise DataError(
            f"expected one file where '{INSIDE}' says what is meant in it, got {len(texts)}."
            "\nName one archive, or paths without it."
        )
    shown = texts[0] if len(texts) == 1 else ", ".join(texts[:3])
    if len(paths) == 1 and shown in (".", ".."):
        shown = str(paths[0])
    source = open_offer(Offer(tuple(paths), shown, inside, tuple(known), tuple(asked), follow=follow))
    if root is not None:
        return _from_root(source, root, follow)
    if inside or any(path.is_file() and is_archive(path) for path in paths):
        return with_files(source, None, follow)  # nothing lies beside what an archive holds
    return with_files(source, paths[0] if paths[0].is_dir() else paths[0].parent, follow)


def _resolve(text: str, follow: bool) -> tuple[list[Path], str]:
    """A path as a person writes it -> (existing paths, what is meant within, where that is no file of an
    archive). DataError: nothing there."""
    before, mark, inside = text.rpartition(INSIDE)
    if mark and before and not os.path.lexists(expanded(text)):
        if before.lower().endswith(ARCHIVES) and expanded(before).is_file():
            return _resolve_inside(expanded(before), inside), ""
        return _existing(before, follow), inside
    return _existing(text, follow), ""


def _existing(text: str, follow: bool) -> list[Path]:
    """A path as a person writes it -> existing paths. Archives on the way are unpacked. DataError: nothing
    there."""
    path = expanded(text)
    if not text.strip():
        raise DataError("expected a path, got an empty text.\nName a file or a folder.")
    if os.path.lexists(path):
        if path.exists() and not path.is_file() and not path.is_dir():
            raise DataError(
                f"{path}: expected a file or a folder, this is a pipe or a device, which is read only"
                " once.\nWrite what comes from it into a file, and name that."
            )
        return [path]
    outer = _archive_above(path)
    if outer is not None:
        return _resolve_inside(outer, os.path.relpath(path, outer))
    if glob.has_magic(str(path)):
        found = sorted(glob.glob(str(path), recursive=True))
        if found:
            return _within_pattern(path, [Path(each) for each in found], follow)
        raise DataError(
            f"expected files that match {text}, there are none.\nCheck the folder and the pattern."
        )
    raise missing(path)


def _within_pattern(pattern: Path, found: list[Path], follow: bool) -> list[Path]:
    """The paths that match a pattern. DataError: links among them lead out of the folder it begins with."""
    plain = next(each for each in pattern.parents if not glob.has_magic(str(each)))
    outside = [] if follow else [each for each in found if leads_out(str(each), str(plain))]
    if outside:
        named = ", ".join(str(each) for each in outside[:3]) + ("…" if len(outside) > 3 else "")
        raise DataError(
            f"{pattern}: {len(outside):,} of {len(found):,} matches are links out of {plain}: {named}.\nName"
            " them one by one, or add --follow-links."
        )
    return found


def _resolve_inside(outer: Path, inside: str) -> list[Path]:
    """'titanic.csv' or 'adult-*.csv' within an archive, also below the single folder that archives often
    hold."""
    from mapsto.data.archive import descend, unpack

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
            if is_archive(each):
                return each
            if each != path:
                raise DataError(
                    f"{each} is a file, no folder or archive: nothing lies below it.\nName the file alone."
                )
            return None
    return None
