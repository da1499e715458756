"""Files that are one cell each, as pictures and sounds are: which type they belong to. What such a file looks
like, its type knows (`DataType.suffixes`, `is_file`)."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping

from mapsto.data.files import PACKED_SUFFIXES, Entry, suffix_of
from mapsto.data.offer import table_suffixes
from mapsto.registry import entry, names
from mapsto.types.base import DataType

PLAIN = frozenset({".txt", ".zip", ".md", ".html", ".py", ".xml", ".npz", ".npy"})  # never one cell


@functools.cache
def media() -> Mapping[str, type[DataType]]:
    """The types whose cells may be files of their own, those of the most suffixes first."""
    found = {name: entry("types", name) for name in names("types")}
    own = {name: column_type for name, column_type in found.items() if column_type.suffixes}
    return dict(sorted(own.items(), key=lambda each: -len(each[1].suffixes)))


def words() -> str:
    """'images (png, jpg, …), sounds (wav, flac, …)'."""
    return ", ".join(column_type.file_words for column_type in media().values())


def by_suffix(name: str) -> str | None:
    """The type that files of such a name are of."""
    suffix = suffix_of(name)
    return next((medium for medium, found in media().items() if suffix in found.suffixes), None)


def by_content(head: bytes) -> str | None:
    """The type that a file of these first bytes is of."""
    return next((medium for medium, found in media().items() if found.is_file(head)), None)


def medium_of(file: Entry) -> str | None:
    """Which of them a file is: by suffix; by the first bytes where the suffix says nothing known."""
    if medium := by_suffix(file.name):
        return medium
    suffix = suffix_of(file.name)
    if suffix in PLAIN or suffix in PACKED_SUFFIXES or suffix in table_suffixes():
        return None
    try:
        with open(file.path, "rb") as handle:
            return by_content(handle.read(32))
    except OSError:
        return None


def of_one_medium(files: Iterable[Entry]) -> tuple[str, list[Entry]]:
    """(medium, its files): what there is most of; nothing where there is none."""
    found: dict[str, list[Entry]] = {medium: [] for medium in media()}
    for file in files:
        if medium := medium_of(file):
            found[medium].append(file)
    return max(found.items(), key=lambda each: len(each[1]))
