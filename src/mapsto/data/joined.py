"""Several sources as one: train and test files, shards, a separate test set; and a `split` column read as
such."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from mapsto.data.files import stem
from mapsto.errors import DataError
from mapsto.source import Chunk, Source, split_name

_SHARD = re.compile(r"\d+-of-\d+|part-?\d+|\d{5}")


@dataclass(frozen=True)
class Part:
    """One source among several. label: put before its rows' places; split: of its rows, where they do not say
    themselves."""

    source: Source
    label: str
    split: str | None = None


@dataclass
class JoinedSource(Source):
    """Sources one after another. A column that a part lacks is None there."""

    parts: tuple[Part, ...] = ()

    def chunks(self, size: int = 4096) -> Iterator[Chunk]:
        for part in self.parts:
            for chunk in part.source.chunks(size):
                n = len(chunk)
                columns = {
                    name: chunk.columns[name] if name in chunk.columns else [None] * n
                    for name in self.columns
                }
                prefix = f"{part.label} " if part.label else ""
                bad = [replace(row, where=prefix + row.where) for row in chunk.bad]
                split = [part.split] * n if part.split else chunk.split
                yield Chunk(columns, [prefix + place for place in chunk.where], split, bad)

    def running(self) -> Source:
        texts = [part.source.running() for part in self.parts]
        if any(text is part.source for text, part in zip(texts, self.parts, strict=True)):
            return self
        source = join(
            self.name, [replace(part, source=text) for text, part in zip(texts, self.parts, strict=True)]
        )
        return replace(source, fingerprint=self.fingerprint, locations=self.locations)


def join(name: str, parts: Sequence[Part]) -> Source:
    """Parts -> one source with the columns of the first one (the first training part, where splits are
    known).

    A later part may lack columns (None there, and said) and have more (left out, and said), but must share at
    least one that is named by the data. Raises DataError otherwise."""
    ordered = sorted(parts, key=lambda part: ("train", None, "validation", "test").index(part.split))
    first = ordered[0].source
    said = list(dict.fromkeys(sentence for part in ordered for sentence in part.source.said))
    for part in ordered[1:]:
        said += _differences(ordered[0], part)
    digest = hashlib.blake2b(digest_size=16)
    for part in ordered:
        digest.update(f"{part.split}\0{part.source.fingerprint}\n".encode())
    divided = any(part.split or part.source.divided for part in ordered)
    return JoinedSource(
        read_from=tuple(path for part in parts for path in part.source.read_from or part.source.locations),
        name=name,
        columns=first.columns,
        divided=divided,
        untyped=any(part.source.untyped for part in parts),
        fingerprint=digest.hexdigest(),
        guess=first.guess,
        said=said,
        parts=tuple(ordered),
        locations=tuple(dict.fromkeys(place for part in ordered for place in part.source.locations)),
    )


def _differences(first: Part, other: Part) -> list[str]:
    mine, theirs = first.source.columns, other.source.columns
    where, base = other.label or other.source.name, first.label or first.source.name
    lacking = [name for name in mine if name not in theirs]
    extra = [name for name in theirs if name not in mine]
    made_up = all(re.fullmatch(r"column_\d+", name) for name in theirs)
    if len(lacking) == len(mine) or (made_up and len(mine) != len(theirs)):
        raise DataError(
            f"{where}: expected the {len(mine)} columns of {base}, {_listed(mine)}; got {len(theirs)}:"
            f" {_listed(theirs)}.\nGive files with the same columns."
        )
    said = [f"{where} has no column {_listed(lacking)}: missing there"] if lacking else []
    return said + ([f"{where}: column {_listed(extra)} left out, {base} has none"] if extra else [])


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:5]) + (
        f" and {len(names) - 5} more" if len(names) > 5 else ""
    )


def split_of_name(name: str) -> tuple[str, str | None]:
    """A file's stem -> (what stays when split and shard are taken out, split): 'adult-train' -> ('adult',
    'train')."""
    words = re.split(r"[-_. ]+", _SHARD.sub("", name))
    splits = [
        index for index, word in enumerate(words) if split_name(word) and word.lower() not in ("tr", "te")
    ]
    if not splits:
        return "-".join(word for word in words if word).lower(), None
    rest = [word for index, word in enumerate(words) if word and index != splits[-1]]
    return "-".join(rest).lower(), split_name(words[splits[-1]])


def group_by_split(names: Sequence[str]) -> dict[str, list[tuple[str, str | None]]]:
    """Stems -> {base: [(stem, split)]}; 'adult-train' and 'adult-test' share the base 'adult'."""
    groups: dict[str, list[tuple[str, str | None]]] = {}
    for name in names:
        base, split = split_of_name(Path(name).name)
        groups.setdefault(base, []).append((name, split))
    return groups


def are_apart(names: Sequence[str]) -> bool:
    """Are files of these names no parts of one set, train and test or shards of it?"""
    groups = group_by_split([folder_in_name(each) for each in names])
    splits = {split for each in groups.values() for _, split in each}
    return len(groups) > 1 or len(splits) == 1 < len(names)


def folder_in_name(name: str) -> str:
    """'train/rows.csv' -> 'train-rows': a folder named as a split counts as the file's."""
    path = PurePosixPath(name)
    above = [part for part in path.parts[:-1] if split_name(part)]
    own = stem(path.name)
    return "-".join([own, *above[-1:]]) if above and split_name(own) is None else own
