"""Pictures, sounds and whatever else is a file each: one, several, or a folder of them. In a folder with
folders, these are classes, with or without train, validation and test above them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from mapsto.cells import Blob
from mapsto.data.files import Entry, Listing, fingerprint_of
from mapsto.data.formats.prose import is_notice
from mapsto.data.media import media
from mapsto.data.offer import Offer
from mapsto.errors import DataError
from mapsto.source import BadRow, Chunk, Source, split_name

PLAIN_FOLDERS = frozenset(
    {
        "audio",
        "sounds",
        "clips",
        "wav",
        "wavs",
        "flac",
        "images",
        "image",
        "imgs",
        "img",
        "photos",
        "pictures",
        "jpg",
        "jpeg",
        "png",
        "data",
    }
)


MASK_FOLDERS = frozenset({"masks", "mask", "annotations", "segmentations", "ground_truth", "gt"})


@dataclass
class FolderSource(Source):
    """Files of pictures or sounds. cells: for each file the values of the columns after the first, as
    positions in `values`; splits likewise."""

    files: Sequence[Entry] = ()
    values: Sequence[Sequence[str | None]] = ()  # one sequence of cells for each further column
    splits: Sequence[str | None] = ()
    bad: Sequence[BadRow] = field(default_factory=list)

    def chunks(self, size: int = 4096) -> Iterator[Chunk]:
        for start in range(0, max(len(self.files), 1), size):
            part = self.files[start : start + size]
            columns = {self.columns[0]: [Blob(entry.path, entry.name) for entry in part]}
            columns |= {
                name: cells[start : start + size]
                for name, cells in zip(self.columns[1:], self.values, strict=True)
            }  # type: ignore[dict-item]
            yield Chunk(
                columns,
                [entry.name for entry in part],
                self.splits[start : start + size],
                self.bad if start == 0 else (),
            )


def flat(offer: Offer, medium: str) -> Source:
    """Files that a person named: no folder says a class."""
    words = media()[medium].file_words.partition(" ")[0]
    return FolderSource(
        name=offer.name,
        columns=(medium,),
        fingerprint=fingerprint_of(offer.files),
        files=offer.files,
        splits=[None] * len(offer.files),
        said=[f"{len(offer.files):,} {words}"],
    )


def classed(found: Listing, images: Sequence[Entry], name: str, medium: str) -> Source:
    """Class folders, or a plain folder of images or sounds (one column, named by the medium)."""
    parts = [PurePosixPath(entry.name).parts[:-1] for entry in images]
    parts = _without_top(parts)
    tops = {part[0] for part in parts if part}
    splits_there = {top for top in tops if split_name(top)}
    divided = len({split_name(top) for top in splits_there}) > 1
    splits = [split_name(part[0]) if divided and part else None for part in parts]
    keep = [not divided or split is not None for split in splits]
    folders = [part[1:] if divided else part for part in parts]
    only = {folder[0].lower() for folder in folders if folder}
    if (
        len(only) == 1
        and max(map(len, folders)) == 1
        and (only <= PLAIN_FOLDERS or split_name(next(iter(only))))
    ):
        folders = [() for _ in folders]
    classed = any(folder for folder, kept in zip(folders, keep, strict=True) if kept)
    unlabelled = {
        split
        for split in set(splits)
        if divided and not any(folder for folder, each in zip(folders, splits, strict=True) if each == split)
    }
    bad = list(found.bad)
    for position, (entry, folder) in enumerate(zip(images, folders, strict=True)):
        if not keep[position]:
            bad.append(
                BadRow(entry.name, f"expected in one of the split folders {', '.join(sorted(splits_there))}")
            )
        elif classed and not folder and splits[position] not in unlabelled:
            keep[position] = False
            bad.append(BadRow(entry.name, "expected in a class folder"))
    chosen = [position for position, kept in enumerate(keep) if kept]
    said = _passed_over(found, images, bad, classed, medium)
    columns, values, more = (
        _columns([folders[i] for i in chosen], medium)
        if classed
        else ((medium,), [], [f"no class folders: {media()[medium].file_words.partition(' ')[0]} only"])
    )
    more += [f"no class folders in {split}: category missing there" for split in unlabelled if classed]
    _check_masks(values, name)
    return FolderSource(
        name=name,
        columns=columns,
        fingerprint=fingerprint_of(found.files),
        guess=f"{medium} -> category" if classed else None,
        said=said + more,
        files=[images[i] for i in chosen],
        values=values,
        splits=[splits[i] for i in chosen],
        divided=divided,
        bad=bad,
    )


def _without_top(parts: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Take away folders that hold everything, as long as folders remain below."""
    while parts and all(len(part) >= 2 for part in parts) and len({part[0] for part in parts}) == 1:
        parts = [part[1:] for part in parts]
    return parts


def _columns(
    folders: list[tuple[str, ...]], medium: str
) -> tuple[tuple[str, ...], list[list[str | None]], list[str]]:
    """Folder parts -> columns. One level: its name is the category. Deeper: the whole path is, and each level
    a column of its own."""
    depth = max(map(len, folders))
    uneven = len({len(folder) for folder in folders if folder}) > 1
    category = [(folder[0] if uneven else "/".join(folder)) if folder else None for folder in folders]
    classes = len(set(category) - {None})
    if depth == 1:
        return (medium, "category"), [category], [f"{classes:,} class folders"]
    if uneven:
        return (
            (medium, "category"),
            [category],
            [f"{classes:,} class folders, some with folders inside: the outermost is the category"],
        )
    levels = [
        [folder[level] if level < len(folder) else None for folder in folders] for level in range(depth)
    ]
    names = tuple(f"folder_{level + 1}" for level in range(depth))
    said = (
        f"folders {depth} deep: category is the whole path ({category[0]}; {classes:,} classes); each level"
        f" is a column too: {', '.join(names)}"
    )
    return (medium, "category", *names), [category, *levels], [said]


def _passed_over(
    found: Listing, images: Sequence[Entry], bad: list[BadRow], classed: bool, medium: str
) -> list[str]:
    """Other files within class folders are bad rows; those above them are passed over with a sentence."""
    taken = {entry.name for entry in images}
    folders = {entry.name.rsplit("/", 1)[0] for entry in images if "/" in entry.name} if classed else {""}
    others = [entry for entry in found.files if entry.name not in taken]
    above = []
    for entry in others:
        inside = (entry.name.rsplit("/", 1)[0] if "/" in entry.name else "") in folders
        if inside and not is_notice(entry.name):
            bad.append(BadRow(entry.name, f"expected {medium}, got a {entry.suffix or 'nameless'} file"))
        else:
            above.append(entry.name)
    return (
        [f"other files passed over: {', '.join(above[:4])}{'…' if len(above) > 4 else ''} ({len(above):,})"]
        if above
        else []
    )


def _check_masks(values: list[list[str | None]], name: str) -> None:
    classes = {str(each).lower() for each in values[0]} if values else set()
    if classes & MASK_FOLDERS and classes & PLAIN_FOLDERS:
        raise DataError(
            f"{name}: expected class folders, found {', '.join(sorted(classes)[:4])}: images with masks are"
            " not read yet.\nGive each class a folder of its own, or a metadata.csv with file_name and the"
            " columns to learn."
        )
