"""Texts side by side in files of their own, line by line: train.en beside train.de, as translations come;
also packed by gzip.

The last part of a name says the column, what stands before it which files belong together, and its words may
say the split.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO

from mapsto.data.files import (
    PACKED_SUFFIXES,
    Entry,
    entry_of,
    file_kind,
    fingerprint_of,
    reading,
    suffix_of,
    unpacked,
    unpacked_lines,
)
from mapsto.data.formats.encoding import (
    FOREIGN,
    find_encoding,
    is_foreign,
    line_end,
    said_of_encoding,
    text_of,
)
from mapsto.data.joined import Part, join, split_of_name
from mapsto.data.offer import Offer
from mapsto.errors import DataError
from mapsto.source import BadRow, Chunk, Source

_COLUMN = re.compile(
    r"[A-Za-z]{2,3}([-_][A-Za-z]{2,4})?|src|tgt|trg|source|target|input|output|reference|hyp"
)


_NOT = frozenset(
    {
        "txt",
        "md",
        "csv",
        "tsv",
        "py",
        "sh",
        "gz",
        "log",
        "xml",
        "htm",
        "cfg",
        "ini",
        "bz",
        "xz",
        "zip",
        "tar",
        "npy",
        "npz",
        "idx",
        "bio",
        "iob",
    }
)


Pairs = dict[str, dict[str, Entry]]  # {what stands before: {column: file}}


@dataclass
class PairSource(Source):
    """Lines of several files side by side. A blank line is a missing cell."""

    paths: Sequence[str] = ()

    def chunks(self, size: int = 4096) -> Iterator[Chunk]:
        with ExitStack() as opened:
            columns = [opened.enter_context(_opened(path)) for path in self.paths]
            first = 1
            for some in iter(
                lambda: [list(itertools.islice(lines, size)) for lines in columns], [[]] * len(columns)
            ):
                cells = [[line.rstrip("\r\n") for line in lines] for lines in some]
                where = [f"line {number}" for number in range(first, first + len(cells[0]))]
                first += len(where)
                foreign = {
                    i: name
                    for name, lines in zip(self.columns, cells, strict=True)
                    for i, line in enumerate(lines)
                    if is_foreign(line)
                }
                bad = [BadRow(where[i], f"'{foreign[i]}' is {FOREIGN}") for i in sorted(foreign)]
                cells = (
                    [[line for i, line in enumerate(lines) if i not in foreign] for lines in cells]
                    if bad
                    else cells
                )
                where = [place for i, place in enumerate(where) if i not in foreign]
                yield Chunk(dict(zip(self.columns, cells, strict=True)), where, [None] * len(where), bad)


@contextmanager
def _opened(path: str) -> Iterator[IO[str]]:
    """A file's decoded lines."""
    with reading(path):
        with unpacked(path) as handle:
            encoding, _ = find_encoding(Path(path), handle.read(1 << 18))
        with unpacked_lines(path) as handle, text_of(handle, encoding, newline=line_end(path)) as lines:  # type: ignore[arg-type]
            yield lines


def source_of(offer: Offer) -> Source:
    """DataError: some files have no partner, or unequally many lines."""
    files = entries(offer)
    pairs = pairs_among(files)
    if not pairs and (problem := alone(files)):
        raise problem
    return open_pairs(offer.name, pairs)


def entries(offer: Offer) -> list[Entry]:
    """Files of a folder by their names in it, others by their paths."""
    if offer.is_folder:
        return offer.files
    return [replace(entry_of(path), name=str(path)) for path in offer.paths if path.is_file()]


def groups(files: Sequence[Entry]) -> tuple[Pairs, bool]:
    """What stands before the last part of each name -> {column: file}; and are they texts side by side, or
    would be if none were missing?"""
    found: Pairs = {}
    for entry in files:
        named = _named(entry.name)
        if named and entry.size:
            found.setdefault(named[0], {})[named[1]] = entry
    columns = {tuple(sorted(each)) for each in found.values()}
    whole = [set(each) for each in found.values() if len(each) > 1]
    lacks = bool(whole) and len(columns) > 1
    if lacks:
        return found, all(set(each) <= max(whole, key=len) for each in found.values())
    return found, len(columns) == 1 and len(next(iter(columns))) > 1


def pairs_among(files: Sequence[Entry]) -> Pairs:
    """Those files that are columns of pairs: names that differ in their last part alone, the same two or more
    parts for each. {} where there are none. DataError: of some names the parts are there, of others they are
    not."""
    found, side_by_side = groups(files)
    whole = max((set(each) for each in found.values()), key=len, default=set())
    if side_by_side and any(set(each) != whole for each in found.values()):
        raise _without_partner(found, whole, files)
    return found if side_by_side else {}


def _without_partner(found: Pairs, columns: set[str], files: Sequence[Entry]) -> DataError:
    """The error for files of which some lack what others have beside them."""
    each = next(each for each in found.values() if set(each) < columns)
    entry = next(iter(each.values()))
    missing, *_ = sorted(columns - set(each))
    other = entry.name.replace(f".{_named(entry.name)[1]}", f".{missing}")  # type: ignore[index]
    empty = any(one.name == other for one in files)
    return DataError(
        f"{entry.name} has no {other} beside it{' (it is empty)' if empty else ''}, as other files here"
        f" have.\nTexts side by side come line by line in files of one name: add {other}, or take"
        f" {entry.name} away."
    )


def alone(files: Sequence[Entry]) -> DataError | None:
    """The error for a folder of files that are named like columns of pairs, none of which has a partner; None
    where it holds others."""
    named = [(entry, parts) for entry in files if (parts := _named(entry.name))]
    if not named or len(named) < len(files) or len({parts[1] for _, parts in named}) > 1:
        return None
    entry, (base, column) = named[0]
    return DataError(
        f"{entry.name} has no partner beside it: expected another {PurePosixPath(base).name}.… whose lines"
        f" belong to those of this one, as {base}.{'de' if column != 'de' else 'en'}.\nAdd it; or, to learn"
        f" to go on with the text itself, call it {base}.txt, and ask for: -> text."
    )


def _named(name: str) -> tuple[str, str] | None:
    """'data/train.en.gz' -> ('data/train', 'en')."""
    last = suffix_of(name)
    for suffix in (*PACKED_SUFFIXES, ".txt"):
        if last == suffix:
            name = name[: -len(last)]
            last = suffix_of(name)
    base, column = name[: len(name) - len(last)], name[len(name) - len(last) + 1 :]
    if not column or column.lower() in _NOT or not _COLUMN.fullmatch(column):
        return None
    return base, column


def open_pairs(name: str, pairs: Pairs) -> Source:
    """Files that `pairs_among` found. DataError: files of one name have unequally many lines."""
    parts = []
    for base, files in pairs.items():
        columns = tuple(files)
        entries = [files[column] for column in columns]
        _refuse_unequal(base, files)
        source = PairSource(
            name=name,
            columns=columns,
            fingerprint=fingerprint_of(entries),
            guess=_guess(columns),
            paths=[entry.path for entry in entries],
        )
        parts.append(Part(source, PurePosixPath(base).name, split_of_name(PurePosixPath(base).name)[1]))
    divided = len({part.split for part in parts}) > 1
    unsaid = [part.label for part in parts if divided and part.split is None]
    if unsaid:
        raise DataError(
            f"{name}: '{unsaid[0]}' names no split, {', '.join(part.label for part in parts if part.split)}"
            " do.\nRename it (train, val, test), or name the files that are wanted."
        )
    parts = (
        parts
        if divided
        else [Part(part.source, part.label if len(parts) > 1 else "", None) for part in parts]
    )
    said = [
        f"texts side by side, line by line: {', '.join(part.label or name for part in parts)}"
        f" ({', '.join(parts[0].source.columns)})"
    ]
    said += [
        f"{entry.name}: {told}"
        for files in pairs.values()
        for entry in files.values()
        if (told := said_of_encoding(Path(entry.path)))
    ]
    if len(parts) == 1:
        parts[0].source.said = said
        return parts[0].source
    source = join(name, parts)
    source.said = [*said, *source.said]
    return source


def _guess(columns: tuple[str, ...]) -> str | None:
    """Names that say what is given and what is learned."""
    ways = (("src", "tgt"), ("src", "trg"), ("source", "target"), ("input", "output"))
    return next(
        (f"{given}:text -> {learned}:text" for given, learned in ways if {given, learned} == set(columns)),
        None,
    )


def _refuse_unequal(base: str, files: dict[str, Entry]) -> None:
    """DataError where the files have unequally many lines: how many, and the first line at which one is blank
    and another is not."""
    lengths: dict[str, list[bool]] = {}
    for column, entry in files.items():
        if file_kind(entry.path)[1] not in ("text", "empty"):
            raise DataError(
                f"{entry.name}: expected lines of text, this is no text.\nTake it away, or name the files"
                " that are wanted."
            )
        with _opened(entry.path) as lines:
            lengths[column] = [bool(line.strip()) for line in lines]
    if len({len(lines) for lines in lengths.values()}) == 1:
        return
    differs = next(
        (i for i, row in enumerate(zip(*lengths.values(), strict=False)) if len(set(row)) > 1),
        min(map(len, lengths.values())),
    )
    counts = ", ".join(f"{files[column].name} has {len(lines):,}" for column, lines in lengths.items())
    raise DataError(
        f"{base}: expected files with equally many lines, {counts}.\nThey first differ in line"
        f" {differs + 1:,}, where one is blank or has ended. Give files whose lines belong together."
    )
