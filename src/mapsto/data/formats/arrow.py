"""Arrow and feather files, and folders that Hugging Face's `datasets` wrote by `save_to_disk`, of one split
or of several. Read by pyarrow, which comes with `pip install "mapsto[arrow]"`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

from mapsto.cells import leads_out
from mapsto.data.files import entry_of, fingerprint_of, reading
from mapsto.data.joined import Part, join
from mapsto.data.offer import Offer
from mapsto.errors import ConfigError, DataError
from mapsto.source import BadRow, Chunk, Source, split_name

FILE, STREAM = b"ARROW1", b"\xff\xff\xff\xff"  # Arrow's two ways of writing; the second says little


UNLABELLED = (None, -1)  # how `datasets` writes that a row has no class
STATE, SPLITS_FILE, INFO = "state.json", "dataset_dict.json", "dataset_info.json"  # of `datasets`


def source_of(offer: Offer) -> Source:
    """DataError: damaged, without rows, or rows of a `datasets` folder chosen but not written. ConfigError:
    pyarrow is missing."""
    if not offer.is_folder:
        return _opened(offer.name, [offer.path], {})
    splits = offer.path / SPLITS_FILE
    if not splits.exists():
        return _within(offer, _dataset(offer.name, offer.path))
    names = _json(splits).get("splits", [])
    parts = [
        Part(_within(offer, _dataset(offer.name, offer.path / name)), name, split_name(name))
        for name in names
    ]
    if not parts or (len(parts) > 1 and not all(part.split for part in parts)):
        told = ", ".join(names) or "none"
        raise DataError(
            f"{offer.shown}: expected train, validation and test splits, found {told}.\nName one:"
            f" {offer.shown}/{names[0] if names else 'train'}"
        )
    return join(offer.name, parts if len(parts) > 1 else [Part(parts[0].source, "", None)])


def _within(offer: Offer, source: ArrowSource) -> ArrowSource:
    """DataError where a file lies elsewhere than in the folder, by a link or a name."""
    lost = [path for path in source.paths if not offer.follow and leads_out(path, str(offer.path))]
    if lost:
        raise DataError(
            f"{offer.shown}: {lost[0]} leads out of the folder.\nSave the data set again, or, where it is"
            " yours, add --follow-links."
        )
    return source


@dataclass
class ArrowSource(Source):
    """Record batches of files, one after the other. classes: {column: names of its numbers}."""

    paths: Sequence[str] = ()
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def chunks(self, size: int = 4096) -> Iterator[Chunk]:
        first = 0
        for path in self.paths:
            for batch in _batches(Path(path)):
                for low in range(0, batch.num_rows, size):
                    part = batch.slice(low, size)
                    _check(part, Path(path))
                    columns, bad = {}, {}
                    for name in self.columns:
                        columns[name] = self._cells(name, part.column(name), bad)
                    yield _chunk(columns, part.num_rows, first, bad)
                    first += part.num_rows

    def _cells(self, name: str, column: Any, bad: dict[int, str]) -> list[Any]:
        """bad: gets why a row cannot be read, by its place."""
        try:
            cells = column.to_pylist()
        except (ValueError, OverflowError):
            cells = [_cell(value, name, place, bad) for place, value in enumerate(column)]
        cells = [float(cell) if isinstance(cell, Decimal) else cell for cell in cells]
        if name not in self.classes:
            return cells
        names = self.classes[name]
        there = range(len(names))
        for place, cell in enumerate(cells):
            if cell not in there and cell not in UNLABELLED:
                bad[place] = f"'{name}': class {cell}, of which there are {len(names)}"
        return [names[int(cell)] if cell in there else None for cell in cells]


def _check(batch: Any, path: Path) -> None:
    """DataError: its lengths and places lead out of what is there, where reading would end the process. Texts
    that are no UTF-8 are found cell by cell."""
    try:
        batch.validate(full=True)
    except _library().ArrowInvalid as problem:
        if "UTF8" not in str(problem):
            said = str(problem).splitlines()[0][:200]
            raise DataError(f"{path.name}: is damaged ({said}).\nWrite it again ({path}).") from None


def _cell(value: Any, name: str, place: int, bad: dict[int, str]) -> Any:
    try:
        return value.as_py()
    except (ValueError, OverflowError) as problem:
        bad[place] = f"'{name}': {problem}"
        return None


def _chunk(columns: Mapping[str, list[Any]], rows: int, first: int, bad: Mapping[int, str]) -> Chunk:
    """Without the bad rows, which it lists."""
    good = [place for place in range(rows) if place not in bad]
    if bad:
        columns = {name: [cells[place] for place in good] for name, cells in columns.items()}
    told = [BadRow(f"row {first + place}", why) for place, why in sorted(bad.items())]
    return Chunk(columns, [f"row {first + place}" for place in good], [None] * len(good), told)


def _dataset(name: str, folder: Path) -> ArrowSource:
    """One split, as `datasets` writes it."""
    state, info = _json(folder / STATE), _json(folder / INFO)
    if state.get("_indices_data_files"):
        raise DataError(f"{folder}: rows are chosen, but not written.\nSave it after: .flatten_indices()")
    features = info.get("features") or {}
    classes = {
        column: found["names"]
        for column, found in features.items()
        if isinstance(found, Mapping) and found.get("_type") == "ClassLabel" and found.get("names")
    }
    paths = [folder / file["filename"] for file in state.get("_data_files", [])]
    if any(path.parent != folder for path in paths):
        raise DataError(f"{folder / STATE}: names a file outside the folder.\nSave the data set again.")
    return _opened(name, paths, classes)


def _opened(name: str, paths: Sequence[Path], classes: Mapping[str, Sequence[str]]) -> ArrowSource:
    rows, columns = 0, ()
    for path in paths:
        for batch in _batches(path):
            rows, columns = rows + batch.num_rows, tuple(batch.schema.names)
    if not rows:
        raise DataError(f"{name}: expected rows, the table has none.\nGive one with rows.")
    given, learned = ([c for c in columns if (c in classes) == is_class] for is_class in (False, True))
    return ArrowSource(
        name=name,
        columns=columns,
        fingerprint=fingerprint_of([entry_of(path) for path in paths]),
        guess=f"{given[0]} -> {learned[0]}:category" if len(given) == len(learned) == 1 else None,
        said=[f"{name}: Arrow, {rows:,} rows"],
        paths=list(map(str, paths)),
        classes=classes,
    )


def _batches(path: Path) -> Iterator[Any]:
    arrow = _library()
    with reading(path), path.open("rb") as handle:
        is_file = handle.read(6) == FILE
    try:
        with arrow.memory_map(str(path)) as mapped:
            if is_file:
                file = arrow.ipc.open_file(mapped)
                yield from (file.get_batch(i) for i in range(file.num_record_batches))
            else:
                yield from arrow.ipc.open_stream(mapped)
    except (arrow.ArrowException, OSError, ValueError, OverflowError) as problem:
        said = str(problem).splitlines()[0][:200]
        raise DataError(f"{path.name}: expected an Arrow file, {said}.\nWrite it again ({path}).") from None


def _library() -> ModuleType:
    try:
        import pyarrow
        import pyarrow.ipc
    except ImportError:
        raise ConfigError('reading Arrow files needs pyarrow: pip install "mapsto[arrow]"') from None
    return pyarrow


def _json(path: Path) -> dict[str, Any]:
    with reading(path):
        text = path.read_text("utf-8")
    try:
        found = json.loads(text)
    except ValueError as problem:
        raise DataError(f"{path}: expected JSON, {problem}.\nSave the data set again.") from None
    return found if isinstance(found, dict) else {}
