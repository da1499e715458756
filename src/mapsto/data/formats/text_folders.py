"""Class folders of text files, a text each, as aclImdb and 20 Newsgroups come: columns text and category,
with or without train, validation and test above them."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path, PurePosixPath

from mapsto.data.files import Entry, Listing, file_kind, reading
from mapsto.data.formats.encoding import decoder_of, find_encoding, is_foreign
from mapsto.data.formats.media import FolderSource, classed
from mapsto.data.formats.prose import is_notice
from mapsto.data.offer import Offer
from mapsto.source import BadRow, Chunk, Source, split_name

SUFFIXES = frozenset({".txt", ""})  # 20 Newsgroups' files are numbers
MANY, EACH = 20, 2  # files in all, and of a class, from which on folders are classes
SHORT = 1 << 16  # bytes of a usual text; longer ones are books
MOSTLY = 0.9  # of the files
UNLABELLED = frozenset({"unsup", "unlabeled", "unlabelled"})  # folders of texts without a class
CHUNK = 1 << 22  # bytes handed on at once


def are_classed(files: Sequence[Entry]) -> bool:
    """Are the files texts in class folders?"""
    texts = _texts(files)
    classes = Counter(name for entry in texts if (name := _class_of(entry)))
    if len(texts) < max(MANY, MOSTLY * len(files)) or len(classes) < 2 or min(classes.values()) < EACH:
        return False
    if sum(classes.values()) < MOSTLY * len(texts) or statistics.median(one.size for one in texts) > SHORT:
        return False
    some = [entry for entry in texts if entry.size][:: max(1, len(texts) // 8)]
    return bool(some) and all(file_kind(entry.path)[1] == "text" for entry in some)


def source_of(offer: Offer) -> Source:
    texts = [entry for entry in _texts(offer.files) if _class_of(entry)]
    left = [entry for entry in texts if _is_unlabelled(entry)]
    kept = [entry for entry in texts if not _is_unlabelled(entry)] if len(left) < len(texts) else texts
    known = set(map(id, kept))
    files = [entry for entry in offer.files if id(entry) in known]
    listing = Listing(offer.path, files, bad=offer.listing.bad)
    found = classed(listing, kept, offer.name, "text")
    values = {spot.name: getattr(found, spot.name) for spot in fields(FolderSource)}
    told = [*found.said, f"{len(kept):,} text files, a text each"]
    if left:
        told.append(f"{len(left):,} files in {PurePosixPath(left[0].name).parent} have no class: left out")
    if others := len(offer.files) - len(kept) - len(left):
        told.append(f"other files passed over: {others:,}")
    return TextFolderSource(**{**values, "said": told})


class TextFolderSource(FolderSource):
    """As of pictures, with what is written in the files for the files."""

    def chunks(self, size: int = 4096) -> Iterator[Chunk]:
        for chunk in super().chunks(size):
            bad, begin, held = list(chunk.bad), 0, 0
            texts: list[str | None] = []
            for place, (file, where) in enumerate(zip(chunk.columns["text"], chunk.where, strict=True)):
                texts.append(_read(file.path, where, bad))
                held += len(texts[-1] or "")
                if held >= CHUNK or place + 1 == len(chunk):
                    yield _part(chunk, begin, texts, bad)
                    bad, texts, begin, held = [], [], place + 1, 0
            if not len(chunk):
                yield chunk


def _part(chunk: Chunk, begin: int, texts: Sequence[str | None], bad: Sequence[BadRow]) -> Chunk:
    """The rows from `begin` on whose text could be read."""
    rows = [begin + i for i, text in enumerate(texts) if text is not None]
    columns = {name: [cells[row] for row in rows] for name, cells in chunk.columns.items() if name != "text"}
    written = [text for text in texts if text is not None]
    where, split = [chunk.where[row] for row in rows], [chunk.split[row] for row in rows]
    return Chunk({"text": written, **columns}, where, split, bad)


def _read(path: str, where: str, bad: list[BadRow]) -> str | None:
    """A file's text; None where it holds none, which `bad` tells."""
    with reading(Path(path)):
        data = Path(path).read_bytes()
    encoding, _ = find_encoding(Path(path), data[: 1 << 18])
    text = decoder_of(encoding).decode(data, final=True).strip()
    if b"\0" in data and not encoding.startswith("utf-16"):
        bad.append(BadRow(where, "expected a text, this is a binary file"))
    elif is_foreign(text):
        bad.append(BadRow(where, "holds bytes that are not utf-8, as the rest of it is"))
    elif not text:
        bad.append(BadRow(where, "the file is empty"))
    else:
        return text
    return None


def _texts(files: Sequence[Entry]) -> list[Entry]:
    return [entry for entry in files if entry.suffix in SUFFIXES and not is_notice(entry.name)]


def _class_of(entry: Entry) -> str | None:
    """The last folder above a file, unless that is a split."""
    folders = PurePosixPath(entry.name).parts[:-1]
    return folders[-1] if folders and not split_name(folders[-1]) else None


def _is_unlabelled(entry: Entry) -> bool:
    return str(_class_of(entry)).lower() in UNLABELLED
