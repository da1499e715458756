"""Plain texts, read to be learned as they stand: one long file, or many documents. Streamed in pieces,
whatever their size.

A few long files are divided by place: of each the first nine tenths train, the next twentieth validates, the
last one tests. Of many files each is a document, divided by its name as rows are.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import IO

from mapsto.cells import Continued
from mapsto.data.files import Entry, entry_of, file_kind, fingerprint_of, reading, unpacked
from mapsto.data.formats.delimited import DelimitedSource, open_delimited
from mapsto.data.formats.dialect import LINE, find_dialect
from mapsto.data.formats.encoding import decoder_of, find_encoding, is_foreign, said_of_encoding
from mapsto.data.joined import Part, join, split_of_name
from mapsto.data.offer import Offer
from mapsto.errors import DataError
from mapsto.source import SPLITS, BadRow, Chunk, Source, split_name

SHARES = (0.9, 0.05, 0.05)


PIECES, SMALLEST, LARGEST = (
    64,
    1 << 12,
    1 << 20,
)  # pieces of a text that is divided by place, and bytes of a piece


CHUNK = 1 << 22  # bytes handed on at once


LEAST_FILLED = 0.8  # of the files: then a few empty ones among them do not matter


MOST_FOREIGN = 0.05  # of a file's lines that are not in its encoding, and are left out


MANY = 20  # files from which on each is a document


NOTICES = (
    *("license", "licence", "readme", "notice", "classes", "labels", "citation", "requirements", "changelog"),
)  # files that stand beside the data and are none


@dataclass
class ProseSource(Source):
    """Text files as one column `text`, pieces of at most a megabyte as rows; all but the first piece of a
    file are `Continued`. given: each file's split, where the data names it; shares: how each other file is
    divided by place, () where it is not.
    """

    files: Sequence[Entry] = ()
    given: Sequence[str | None] = ()
    shares: tuple[float, ...] = SHARES
    bad: Sequence[BadRow] = field(default_factory=list)

    def chunks(self, size: int = 4096) -> Iterator[Chunk]:
        texts: list[str] = []
        where: list[str] = []
        split: list[str | None] = []
        held, bad = 0, list(self.bad)
        for entry, given in zip(self.files, self.given, strict=True):
            for start, text, part in pieces(entry, self.shares if given is None else (), bad):
                texts.append(text)
                where.append(f"{entry.name}, byte {start:,}" if self.shares else entry.name)
                split.append(given or part)
                held += len(text)
                if len(texts) >= size or held >= CHUNK:
                    yield Chunk({"text": texts}, where, split, tuple(bad))
                    texts, where, split, held = [], [], [], 0
                    bad.clear()
        if texts or bad:
            yield Chunk({"text": texts}, where, split, tuple(bad))

    def lines(self) -> Source:
        paths = [Path(entry.path) for entry in self.files]
        return join(self.name, [Part(open_delimited(path, find_dialect(path)), "") for path in paths])

    def tested_elsewhere(self) -> Source:
        return (
            replace(self, shares=(self.shares[0] + self.shares[2], self.shares[1], 0.0))
            if self.shares
            else self
        )


@dataclass
class MaybeProse(DelimitedSource):
    """A table in a file whose name is rather that of a text."""

    def running(self) -> Source:
        source = open_prose(self.name, [entry_of(Path(self.path))])
        source.locations = self.locations
        return source


def source_of(offer: Offer) -> Source:
    texts = texts_of(offer.files)
    named = [split_in(entry.name) for entry in texts]
    return open_prose(offer.name, texts, [split for split in named if split] if all(named) else ())


def texts_of(files: Sequence[Entry]) -> list[Entry]:
    """The files among them that are texts to be learned, by their names."""
    found = [entry for entry in files if entry.suffix == ".txt" and not is_notice(entry.name)]
    ignored = [entry for entry in found if "submission" in entry.name.lower()]
    return [entry for entry in found if entry not in ignored] if len(found) > len(ignored) else found


def is_notice(name: str) -> bool:
    return PurePosixPath(name).stem.lower() in NOTICES


def split_in(name: str) -> str | None:
    """'wiki.train.txt' and 'train/a.txt' -> 'train'."""
    path = PurePosixPath(name)
    above = (found for part in path.parts[:-1] if (found := split_name(part)))
    return split_of_name(path.stem)[1] or next(above, None)


def are_prose(entries: Sequence[Entry], apart: bool) -> bool:
    """Are files texts without columns? Prose has commas too: of files that are no parts of one table (apart),
    those are whose columns differ."""
    some = list(entries)[:3]
    if all(map(_is_prose, some)) or not apart:
        return all(map(_is_prose, some))
    filled = [entry for entry in entries[:20] if entry.size]
    names = [find_dialect(Path(entry.path)).names for entry in filled if file_kind(entry.path)[1] == "text"]
    return any(map(_is_prose, filled)) or len(set(names)) > 1


def _is_prose(entry: Entry) -> bool:
    """Is it a text without columns? An empty one may be, and so is a single line."""
    try:
        return not entry.size or is_prose(Path(entry.path))
    except DataError:  # no rows below what would be a header
        return True


def open_prose(name: str, files: Sequence[Entry], given: Sequence[str | None] = ()) -> Source:
    """Text files to be learned. given: the split of each, where their names say it. DataError: nothing in
    them."""
    filled = [
        (entry, split) for entry, split in zip(files, given or [None] * len(files), strict=True) if entry.size
    ]
    if not filled:
        raise DataError(
            f"{name}: expected text, found {'an empty file' if len(files) == 1 else 'empty files'}.\nGive a"
            " file with text in it."
        )
    named = len({split for _, split in filled}) > 1
    by_place = not named and len(filled) < MANY
    coded = [
        f"{entry.name}: {told}" for entry, _ in filled[:MANY] if (told := said_of_encoding(Path(entry.path)))
    ]
    how = (
        "the first 90% of each file train, the next 5% validate, the last 5% test"
        if by_place
        else "each file is a document"
    )
    return ProseSource(
        name=name,
        columns=("text",),
        fingerprint=fingerprint_of(files),
        guess="-> text:text",
        said=[
            (
                f"{len(filled):,} text file{'s' * (len(filled) != 1)} read as running text:"
                f" {how if not named else 'divided as their names say'}"
            ),
            *coded,
        ],
        divided=by_place or named,
        files=[entry for entry, _ in filled],
        given=[split if named else None for _, split in filled],
        shares=SHARES if by_place else (),
        bad=[
            BadRow(entry.name, "the file is empty", slight=len(filled) >= LEAST_FILLED * len(files))
            for entry in files
            if not entry.size
        ],
    )


def is_prose(path: Path, known: Sequence[str] = ()) -> bool:
    """Is it a text without columns?"""
    return file_kind(path)[1] == "text" and find_dialect(path, known).delimiter == LINE


def pieces(
    entry: Entry, shares: Sequence[float], bad: list[BadRow] | None = None
) -> Iterator[tuple[int, str, str | None]]:
    """(place in bytes, text, split) of a file's pieces, which end with a line, or at least a word, where
    there is one. shares: parts of the file that train, validate and test, () where it is not divided. Lines
    that are not utf-8 where the rest is are left out, and `bad` told; DataError where they are more than one
    in twenty."""
    path = Path(entry.path)
    with reading(path):
        with unpacked(path) as handle:
            encoding, _ = find_encoding(path, handle.read(1 << 18))
        size = _size(path, entry)
        borders = (
            [round(size * sum(shares[: i + 1])) for i in range(len(shares) - 1)] + [size]
            if shares
            else [size]
        )
        step = min(LARGEST, max(SMALLEST, size // PIECES)) if shares else LARGEST
        known = _Known(entry.name)
        with unpacked(path) as handle:
            for start, text, split in _cut(
                handle, decoder_of(encoding), borders, step, SPLITS if shares else (None,)
            ):
                if text := known.of(text):
                    yield start, text, split
    if known.foreign:
        if known.foreign > MOST_FOREIGN * max(1, known.lines):
            raise DataError(
                f"{entry.name}: expected utf-8, as most of it is; {known.said()}, of"
                f" {max(1, known.lines):,}.\nTwo encodings in one file? Save it as utf-8, or take these lines"
                f" away ({path})."
            )
        if bad is not None:
            bad.append(
                BadRow(entry.name, f"{known.said()}, as the rest of the file is: left out", slight=True)
            )


@dataclass
class _Known:
    """The lines of a file that are what the file is written in, and how many there are, and are not."""

    name: str
    lines: int = 0
    foreign: int = 0
    first: int = 0

    def of(self, text: str) -> str:
        """The text of a piece without the lines that are not."""
        if not is_foreign(text):
            self.lines += text.count("\n")
            return text
        kept = []
        for number, line in enumerate(text.split("\n"), self.lines + 1):
            if is_foreign(line):
                self.foreign += 1
                self.first = self.first or number
            else:
                kept.append(line)
        self.lines += text.count("\n")
        joined = "\n".join(kept)
        return Continued(joined) if isinstance(text, Continued) else joined

    def said(self) -> str:
        return (
            f"line {self.first:,} is not utf-8"
            if self.foreign == 1
            else f"{self.foreign:,} lines (the first: {self.first:,}) are not utf-8"
        )


def _cut(
    handle: IO[bytes],
    decoder: codecs.IncrementalDecoder,
    borders: Sequence[int],
    step: int,
    names: Sequence[str | None],
) -> Iterator[tuple[int, str, str | None]]:
    place, kept, began = 0, "", False
    for border, name in zip(borders, names, strict=True):
        while place < border and (data := handle.read(min(step, border - place))):
            start, place = place, place + len(data)
            text = kept + decoder.decode(data, place >= borders[-1])
            end = len(text) if place >= borders[-1] else _end(text)
            kept = text[end:]
            if end:
                yield start, Continued(text[:end]) if began else text[:end], name
                began = True


def _end(text: str) -> int:
    """Where to cut: behind the last line, else before the last blank, else at the end; nothing longer than
    half is kept back."""
    line = text.rfind("\n") + 1
    if line > len(text) // 2:
        return line
    blank = text.rfind(" ")
    return blank if blank > len(text) // 2 else len(text)


def _size(path: Path, entry: Entry) -> int:
    """Bytes of the text, unpacked."""
    if not file_kind(path)[0]:
        return entry.size
    with unpacked(path) as handle:
        return sum(len(data) for data in iter(lambda: handle.read(1 << 20), b""))
