"""Arrays on disk: the MNIST family's idx files (gzipped or not), npz as MedMNIST and Keras write it, and npy.
Streamed, never unpickled."""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mapsto.data.files import Entry, entry_of, fingerprint_of, reading
from mapsto.data.formats.stored import Stored, read_idx, read_npy
from mapsto.data.joined import Part, group_by_split, join, split_of_name
from mapsto.errors import DataError
from mapsto.source import BadRow, Chunk, Source, split_name

X_NAMES = frozenset(
    {
        "x",
        "image",
        "images",
        "img",
        "imgs",
        "data",
        "input",
        "inputs",
        "features",
        "pixels",
        "pictures",
        "samples",
    }
)


Y_NAMES = frozenset(
    {"y", "label", "labels", "target", "targets", "class", "classes", "category", "categories"}
)


NAME_FILES = (
    "classes.txt",
    "labels.txt",
    "class_names.txt",
    "label_names.txt",
    "names.txt",
    "categories.txt",
)


CHUNK_BYTES = 1 << 26
SLACK = 0.002  # by so much of the range a pixel may lie beyond it: half a step of 255


@dataclass
class ArraySource(Source):
    """Pictures (or rows of numbers) in one array, and what belongs to each in others, small enough to hold.

    picture: turns a block into cells; None for rows of numbers. most: the largest value that is a pixel's,
    where they are brought to 0 to 255. extra: {column: N cells}."""

    stored: Stored | None = None
    extra: dict[str, Sequence[Any]] | None = None
    picture: Callable[[np.ndarray], np.ndarray] | None = None
    most: float | None = None

    def chunks(self, size: int = 4096) -> Iterator[Chunk]:
        stored, extra = self.stored, self.extra or {}
        assert stored is not None
        row = max(1, math.prod(stored.shape[1:]) * stored.dtype.itemsize)
        start = 0
        for block in stored.blocks(max(1, min(size, CHUNK_BYTES // row))):
            n = len(block)
            if self.picture:
                columns: dict[str, Sequence[Any]] = {self.columns[0]: list(self.picture(block))}
            else:
                table = block.reshape(n, -1)
                columns = {
                    name: table[:, i].tolist() for i, name in enumerate(self.columns[: table.shape[1]])
                }
            columns |= {name: cells[start : start + n] for name, cells in extra.items()}
            places = [f"item {start + i}" for i in range(n)]
            yield _without(Chunk(columns, places, [None] * n), self._unread(block))
            start += n

    def _unread(self, block: np.ndarray) -> dict[int, str]:
        """{item: why} of pictures that hold what is no pixel's value."""
        if self.most is None or block.dtype == np.uint8:
            return {}
        flat = block.reshape(len(block), -1)
        low, high = flat.min(1, initial=0), flat.max(1, initial=0)  # NaN where there is one
        within = (low >= -SLACK * self.most) & (high <= (1 + SLACK) * self.most)
        said = f"expected pixels from 0 to {self.most:g}, as others have, got"
        return {
            i: f"{said} {'nan' if np.isnan(high[i]) else f'{low[i]:g} to {high[i]:g}'}"
            for i in np.flatnonzero(~within).tolist()
        }


def _without(chunk: Chunk, unread: dict[int, str]) -> Chunk:
    """The rows that can be read; the others are bad."""
    if not unread:
        return chunk
    keep = [i for i in range(len(chunk)) if i not in unread]
    return Chunk(
        {name: [cells[i] for i in keep] for name, cells in chunk.columns.items()},
        [chunk.where[i] for i in keep],
        [chunk.split[i] for i in keep],
        [BadRow(chunk.where[i], why) for i, why in unread.items()],
    )


def _as_pictures(block: np.ndarray, channels_first: bool, scale: float, keep: bool) -> np.ndarray:
    if channels_first:
        block = np.moveaxis(block, 1, -1)  # (n, C, H, W) -> (n, H, W, C)
    if block.ndim == 4 and block.shape[-1] == 1:
        block = block[..., 0]
    if keep or block.dtype == np.uint8:
        return block
    return np.clip(np.rint(np.nan_to_num(block.astype(np.float32) * scale)), 0, 255).astype(np.uint8)


def _pictures(stored: Stored, said: list[str]) -> dict[str, Any]:
    """How a block of `stored` becomes (n, H, W) or (n, H, W, C) uint8, and the most that a pixel can have;
    numbers that are no pixel values stay as they are."""
    channels_first = (
        len(stored.shape) == 4 and stored.shape[1] in (1, 3, 4) and stored.shape[-1] not in (1, 3, 4)
    )
    if channels_first:
        said.append(f"{stored.label}: channels come first, moved last")
    scale, keep, most = 1.0, stored.dtype == np.uint16, None
    if stored.dtype.kind in "fib" and stored.shape[0]:
        sample = next(stored.blocks(min(1000, stored.shape[0])))
        known = sample[np.isfinite(sample)]
        low, high = float(known.min(initial=0)), float(known.max(initial=0))
        scale, keep = (255.0, False) if stored.dtype.kind in "fb" and high <= 1 else (1.0, False)
        if low < 0 or high > 255:
            keep = True
        most = None if keep else 255 / scale
        said.append(
            f"{stored.label}: {stored.dtype} from {low:g} to {high:g},"
            f" {'kept' if keep else 'read as pixels from 0 to 255'}"
        )
    picture = partial(_as_pictures, channels_first=channels_first, scale=scale, keep=keep)
    return {"picture": picture, "most": most}


def _labels(array: np.ndarray, names: Sequence[str]) -> tuple[str, list[Any]]:
    """Label array -> (column name, cells): (N,) or (N, 1) classes, (N, K) one-hot classes, (N, K) 0/1 flags
    -> lists of names."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 1:
        cells = array.tolist()
        if (
            names
            and array.dtype.kind in "iu"
            and len(array)
            and array.min() >= 0
            and array.max() < len(names)
        ):
            cells = [names[cell] for cell in cells]
        return "category", cells
    labels = list(names) if len(names) == array.shape[1] else [str(i) for i in range(array.shape[1])]
    if (array.sum(axis=1) == 1).all():
        return "category", [labels[i] for i in array.argmax(axis=1)]
    return "categories", [[labels[i] for i in np.flatnonzero(row)] for row in array]


def class_names(files: Sequence[Entry]) -> list[str]:
    """The lines of a classes.txt (or so) among the files, else []."""
    for entry in files:
        if Path(entry.name).name.lower() in NAME_FILES:
            with reading(entry.path):
                lines = Path(entry.path).read_text("utf-8-sig", "replace").splitlines()
            return [re.sub(r"^\d+[\s:,]+", "", line).strip() for line in lines if line.strip()]
    return []


def open_idx(files: Sequence[Entry], others: Sequence[Entry], name: str) -> Source:
    """idx files -> one source: each file of images beside its file of labels; train and t10k become splits.
    others: for class names."""
    stored = {entry.name: read_idx(Path(entry.path)) for entry in files}
    images = [each for each in stored if len(stored[each].shape) >= 3]
    if not images:
        raise DataError(
            f"{name}: expected an idx file of images (3 dimensions or more), got {', '.join(stored)}."
        )
    pairs = {image: _partner(image, stored) for image in images}
    groups = group_by_split([re.sub(r"images?|idx\d|ubyte|\.gz", "", image) for image in images])
    if len(groups) > 1:
        raise DataError(
            f"{name}: expected one set of idx files, got {len(groups)}: {', '.join(images[:6])}.\n"
            "Name one of these files, or keep each set in its folder."
        )
    splits = dict(zip(images, (split for each in groups.values() for _, split in each), strict=True))
    divided = len(set(splits.values())) > 1
    parts = [
        Part(
            _idx_pair(name, image, pairs[image], stored, files, others),
            Path(image).name,
            splits[image] if divided else None,
        )
        for image in images
    ]
    return join(name, parts)


def _idx_pair(
    name: str,
    image: str,
    label: str | None,
    stored: dict[str, Stored],
    files: Sequence[Entry],
    others: Sequence[Entry],
) -> Source:
    names = class_names(others)
    array = stored[image]
    column, cells = _labels(stored[label].all(), names) if label else ("category", [None] * array.shape[0])
    used = [entry for entry in files if entry.name in (image, label)] + [
        entry for entry in others if names and entry.name.lower().endswith(NAME_FILES)
    ]
    said = [f"{image}: {array.shape[0]:,} images, {f'labels in {label}' if label else 'no labels found'}"]
    return ArraySource(
        name=name,
        columns=("image", column),
        fingerprint=fingerprint_of(used),
        guess=f"image -> {column}",
        said=said,
        stored=array,
        extra={column: cells},
        **_pictures(array, said),
    )


def _partner(image: str, stored: dict[str, Stored]) -> str | None:
    """The file of labels that belongs to a file of images: same name with 'labels' for 'images', and as many
    items."""
    count = stored[image].shape[0]
    fits = [each for each in stored if len(stored[each].shape) == 1 and stored[each].shape[0] == count]
    same = [
        each for each in fits if re.sub(r"labels?|idx\d", "", each) == re.sub(r"images?|idx\d", "", image)
    ]
    close = [each for each in fits if split_of_name(each)[1] == split_of_name(image)[1]]
    return next(iter(same or close), None)


def open_npz(path: Path) -> Source:
    """An npz as MedMNIST ('train_images'), Keras ('x_train') or anybody ('X', 'y') writes it; or a npy of
    images."""
    with reading(path), path.open("rb") as handle:
        zipped = handle.read(2) == b"PK"
    if zipped:
        with reading(path), zipfile.ZipFile(path) as archive:
            members = [name for name in archive.namelist() if name.endswith(".npy")]
        stored = {member.removesuffix(".npy"): read_npy(path, member) for member in members}
    else:
        stored = {"x": read_npy(path)}
    by_split: dict[str | None, dict[str, Stored]] = {}
    for key, array in stored.items():
        split, rest = _divided(key)
        by_split.setdefault(split, {})[rest] = array
    parts = [(split, _npz_part(path, arrays)) for split, arrays in by_split.items() if _inputs(arrays)]
    if not parts:
        held = ", ".join(f"{key} {array.shape}" for key, array in list(stored.items())[:8])
        raise DataError(
            f"{path.name}: expected arrays named like images and labels, x and y, train_images and"
            f" train_labels.\nIt holds {held}."
        )
    return join(
        path.stem, [Part(source, split or "", split if len(parts) > 1 else None) for split, source in parts]
    )


def _divided(key: str) -> tuple[str | None, str]:
    """'train_images' -> ('train', 'images'); 'x_test' -> ('test', 'x'); 'Xtrain' -> ('train', 'X')."""
    words = [word for word in re.split(r"[_\-. ]+|(?<=[a-z])(?=[A-Z])|(?<=^[xXyY])(?=t|v)", key) if word]
    splits = [word for word in words if split_name(word)]
    return (
        (split_name(splits[0]), "_".join(word for word in words if word != splits[0]))
        if splits and len(words) > 1
        else (None, key)
    )


def _inputs(arrays: dict[str, Stored]) -> list[str]:
    return [key for key, array in arrays.items() if key.lower() in X_NAMES and len(array.shape) >= 2]


def _npz_part(path: Path, arrays: dict[str, Stored]) -> Source:
    key = _inputs(arrays)[0]
    stored, said = arrays[key], []
    image = len(stored.shape) in (3, 4)
    extra, guess, left = _npz_columns(arrays, key, image)
    if left:
        said.append(
            f"{path.name}: {', '.join(left)} left out, not one value for each of the {stored.shape[0]:,}"
            " items"
        )
    width = math.prod(stored.shape[1:])
    first = ("image",) if image else tuple(f"column_{i + 1}" for i in range(width))
    return ArraySource(
        name=path.stem,
        columns=(*first, *extra),
        fingerprint=fingerprint_of([entry_of(path)]),
        guess=guess,
        said=said,
        stored=stored,
        extra=extra,
        **(_pictures(stored, said) if image else {}),
    )


def _npz_columns(
    arrays: dict[str, Stored], key: str, image: bool
) -> tuple[dict[str, Sequence[Any]], str | None, list[str]]:
    """What belongs to each item of arrays[key]: ({column: cells}, guess, names of arrays that do not)."""
    count, extra, guess, left = arrays[key].shape[0], {}, None, []
    for rest, array in arrays.items():
        if rest == key:
            continue
        if (
            not array.shape
            or array.shape[0] != count
            or len(array.shape) > 2
            or (len(array.shape) == 2 and array.shape[1] > 1 and rest.lower() not in Y_NAMES)
        ):
            left.append(rest)
        elif rest.lower() in Y_NAMES and guess is None:
            values = array.all()
            name, cells = (
                _labels(values, ())
                if image or values.dtype.kind in "iuUSb"
                else ("target", values.reshape(count, -1)[:, 0].tolist())
            )
            extra[name if image else "target"] = cells
            guess = f"image -> {name}" if image else None
        else:
            extra[rest] = array.all().reshape(count).tolist()
    return extra, guess, left
