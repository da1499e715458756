"""Folders: class folders with or without train/validation/test, folder + metadata (the Hugging Face
convention), a folder of tables or arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from mapsto.cells import Blob
from mapsto.data.arrays import open_idx, open_npz
from mapsto.data.dialect import find_dialect
from mapsto.data.files import (
    MEDIA,
    TABLE_SUFFIXES,
    Entry,
    Listing,
    file_kind,
    fingerprint_of,
    inner_suffix,
    listing,
    of_one_medium,
)
from mapsto.data.joined import Part, group_by_split, join, split_of_name
from mapsto.data.metadata import metadata_files, open_metadata
from mapsto.data.parallel import alone, open_pairs, pairs_among
from mapsto.data.prose import is_prose, open_prose
from mapsto.data.source import BadRow, Chunk, Source, split_name
from mapsto.data.table import open_table, stem
from mapsto.errors import DataError

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


def open_folder(root: Path, shown: str | None = None, known: Sequence[str] = ()) -> Source:
    """Open a folder by what lies in it. shown: the archive it came from, as a person named it. DataError:
    nothing there, or several things."""
    found = listing(root)
    name = root.absolute().name if shown is None else archive_name(shown)
    shown = shown or str(root)
    if not found.files:
        hint = f"It holds only {', '.join(found.hidden[:3])}." if found.hidden else ""
        hint = f"Could not read {found.bad[0].where}: {found.bad[0].why}." if found.bad else hint
        raise DataError(
            f"expected images, sounds or a table in {shown or root}, the folder is empty.\n{hint}".rstrip()
        )
    metadata = metadata_files(found)
    if metadata:
        source = open_metadata(found, metadata, name)
    elif idx := [
        entry
        for entry in found.files
        if _is_idx_name(entry.name) and "/" not in _below(found)(entry) and file_kind(entry.path)[1] == "idx"
    ]:
        source = open_idx(idx, [entry for entry in found.files if entry not in idx], name)
    elif (media := of_one_medium(found.files))[1]:
        source = open_media(found, media[1], name, media[0])
    else:
        source = _open_tables(found, name, shown, known)
    if found.hidden:
        source.said.append(
            "hidden and system files passed over:"
            f" {', '.join(found.hidden[:3])}{'…' if len(found.hidden) > 3 else ''}"
        )
    return source


def archive_name(path: str) -> str:
    """'data/cats.tar.gz' -> 'cats'."""
    name = PurePosixPath(path).name
    suffix = next(
        (
            each
            for each in (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar", ".zip")
            if name.lower().endswith(each)
        ),
        "",
    )
    return name.removesuffix(name[len(name) - len(suffix) :]) if suffix else stem(name)


def _is_idx_name(name: str) -> bool:
    return "idx" in name.lower() or "ubyte" in name.lower()


def _below(found: Listing) -> Callable[[Entry], str]:
    """Names below the single top folder that archives often have."""
    tops = {entry.name.split("/")[0] for entry in found.files}
    cut = (
        len(next(iter(tops))) + 1 if len(tops) == 1 and all("/" in entry.name for entry in found.files) else 0
    )
    return lambda entry: entry.name[cut:]


def _open_tables(found: Listing, name: str, shown: str, known: Sequence[str]) -> Source:
    """The one table of a folder, or its train and test tables, or texts side by side."""
    if pairs := pairs_among(found.files):
        return open_pairs(name, pairs)
    tables = {
        entry.name: entry
        for entry in found.files
        if inner_suffix(entry.name) in TABLE_SUFFIXES and entry.size
    }
    tables = tables or {
        entry.name: entry
        for entry in found.files
        if inner_suffix(entry.name) == ".txt" and not _is_notice(entry.name)
    }
    arrays = [entry for entry in found.files if entry.suffix in (".npz", ".npy")]
    if not tables and len(arrays) == 1:
        return open_npz(Path(arrays[0].path))
    if not tables:
        if problem := alone(found.files):
            raise problem
        kinds = Counter(entry.suffix or "no suffix" for entry in found.files)
        held = ", ".join(f"{count:,} {suffix}" for suffix, count in kinds.most_common(5))
        raise DataError(
            f"expected {', '.join(MEDIA.values())} or a table (csv, jsonl, parquet, conll) in {shown}, found"
            f" {held}.\nGive a folder of class folders, a folder with metadata.csv, or a table."
        )
    ignored = [
        each for each in tables if "submission" in each.lower() or each == "changes.csv"
    ]  # the second: of a cleaned copy
    if len(tables) > len(ignored):
        tables = {each: entry for each, entry in tables.items() if each not in ignored}
    groups = group_by_split([_folder_in_name(each) for each in tables])
    apart = len(groups) > 1 or len({split for each in groups.values() for _, split in each}) == 1 < len(
        tables
    )
    if len(tables) > 1 and _are_prose(list(tables.values()), apart):
        named = [_split_in(each) for each in tables]
        return open_prose(name, list(tables.values()), named if all(named) else ())
    if apart:
        raise _several(found, shown, list(tables))
    splits = [split for each in groups.values() for _, split in each]
    source = open_parts(name, [Path(entry.path) for entry in tables.values()], splits, known)
    others = [entry.name for entry in found.files if entry.name not in tables]
    source.said += (
        [f"other files passed over: {', '.join(others[:4])}{'…' if len(others) > 4 else ''}"]
        if others
        else []
    )
    return source


def _split_in(name: str) -> str | None:
    """'wiki.train.txt' and 'train/a.txt' -> 'train'."""
    path = PurePosixPath(name)
    return split_of_name(path.stem)[1] or next(
        (found for part in path.parts[:-1] if (found := split_name(part))), None
    )


def _are_prose(entries: Sequence[Entry], apart: bool) -> bool:
    """Are files texts without columns? Prose has commas too: of files that are no parts of one table (apart),
    those are whose columns differ."""
    some = list(entries)[:3]
    if all(map(_is_prose, some)) or not apart or any(entry.suffix != ".txt" for entry in entries):
        return all(map(_is_prose, some))
    names = [
        find_dialect(Path(entry.path)).names
        for entry in entries[:20]
        if entry.size and file_kind(entry.path)[1] == "text"
    ]
    return any(_is_prose(entry) for entry in entries[:20] if entry.size) or len(set(names)) > 1


def _is_prose(entry: Entry) -> bool:
    """Is it a text without columns? An empty one may be."""
    return entry.suffix == ".txt" and (not entry.size or is_prose(Path(entry.path)))


def _folder_in_name(name: str) -> str:
    """'train/rows.csv' -> 'train-rows': a folder named as a split counts as the file's."""
    path = PurePosixPath(name)
    above = [part for part in path.parts[:-1] if split_name(part)]
    return (
        "-".join([stem(path.name), *above[-1:]])
        if above and split_name(stem(path.name)) is None
        else stem(path.name)
    )


def _is_notice(name: str) -> bool:
    return PurePosixPath(name).stem.lower() in (
        "license",
        "licence",
        "readme",
        "notice",
        "classes",
        "labels",
        "citation",
        "requirements",
        "changelog",
    )


def _several(found: Listing, shown: str, tables: list[str]) -> DataError:
    listed = ", ".join(tables[:8]) + (f", … ({len(tables)} in all)" if len(tables) > 8 else "")
    pairs = [
        base
        for base, each in group_by_split([stem(table) for table in tables]).items()
        if len(each) > 1 and base
    ]
    together = f', or train and test together: "{shown}/{pairs[0]}*"' if pairs else ""
    return DataError(
        f"expected one table in {shown}, found {len(tables)}: {listed}.\nName one:"
        f" {shown}/{tables[0] if not pairs else tables[-1]}{together}."
    )


def open_parts(
    name: str, paths: Sequence[Path], splits: Sequence[str | None], known: Sequence[str] = ()
) -> Source:
    """Tables of the same columns as one source; splits count when there are two or more."""
    if len(paths) == 1:
        return open_table(paths[0], known)
    divided = len(set(splits)) > 1
    order = sorted(
        range(len(paths)),
        key=lambda i: ("train", None, "validation", "test").index(splits[i]) if divided else i,
    )
    parts: list[Part] = []
    for i in order:
        source = open_table(paths[i], known)
        known = known or source.columns
        parts.append(Part(source, paths[i].name, splits[i] if divided else None))
    return join(name, parts)


def open_media(found: Listing, images: Sequence[Entry], name: str, medium: str) -> Source:
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
        else ((medium,), [], [f"no class folders: {MEDIA[medium].partition(' ')[0]} only"])
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
        if inside and not _is_notice(entry.name):
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
