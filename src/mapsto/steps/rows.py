"""Rows made ready to be learned from: scanned, divided, types inferred and fitted, cells encoded."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mapsto import recipes
from mapsto.cells import Annotated, Column, is_missing
from mapsto.checks.base import Evidence
from mapsto.config import Reading, Settings
from mapsto.data.encode import encode_source, list_bad
from mapsto.data.encode_chunk import spots
from mapsto.data.once import ReadOnce
from mapsto.data.resolve import asked as asked_signature
from mapsto.data.resolve import resolve
from mapsto.data.scan import Scan, cells_of, scan
from mapsto.data.split import TRAIN, Split, split, split_added
from mapsto.data.store import Store
from mapsto.errors import CellError, ConfigError, DataError
from mapsto.events import Emit
from mapsto.models import wants
from mapsto.registry import entry
from mapsto.signature import Signature, parse_call
from mapsto.source import Prepared, Source
from mapsto.types.base import DataType

if TYPE_CHECKING:
    from mapsto.run.warm_start import WarmStart

Types = dict[tuple[str, str], DataType]


@dataclass
class Ready(Prepared):
    """Rows scanned, divided and encoded: what the data gate looks at. left_out: columns that are not used,
    and why."""

    source: Source = field(kw_only=True)
    store: Store = field(kw_only=True)
    found: Scan = field(kw_only=True)
    parts: Split = field(kw_only=True)
    reading: Reading = field(kw_only=True)
    left_out: list[str] = field(kw_only=True)

    @property
    def evidence(self) -> Evidence:
        return Evidence(self.source, self.store, self.found, self.reading, self.left_out)


def make_ready(
    source: Source,
    asked: str | None,
    settings: Settings,
    emit: Emit,
    fold: int | None = None,
    earlier: WarmStart | None = None,
    path: Path | None = None,
    before: np.ndarray | None = None,
) -> Ready:
    """Scan, resolve, divide, fit and encode. path: the run's folder, which gets a quarantine.csv; before
    (m,): splits of the first rows, which a segment before has divided. DataError when too many rows are
    bad."""
    reading = settings.reading
    signature, said = asked_signature(asked, source, reading)
    _refuse_unseen_classes(signature, settings)
    original, source = source, ReadOnce.of(source)
    signature, found, left_out = scanned(source, signature, reading, path, asked)
    whole = before is None and fold == -1
    parts = (
        _all_rows(found, settings)
        if whole
        else split(found, reading, fold)
        if before is None
        else split_added(found, reading, before)
    )
    distinct = _distinct(source, signature, parts)
    types = fit_types(signature, found, parts, settings, earlier, distinct)
    folder = encode_source(
        source,
        signature,
        types,
        len(found),
        lambda done, rows: emit({"event": "encode", "rows": done, "total": rows}),
        reading.store,
    )
    source.forget()
    store = Store(folder, signature, types, parts.of, found.weights, found.groups)
    if path and (store.bad or store.problems):
        shutil.copyfile(folder / "quarantine.csv", path / "quarantine.csv")
    _refuse_bad([*store.bad, *store.problems], len(found), reading.max_bad, source.name, path)
    return Ready(
        signature,
        types,
        store,
        said,
        store.size("train"),
        store.folder,
        source=original,
        store=store,
        found=found,
        parts=parts,
        reading=reading,
        left_out=left_out,
    )


def scanned(
    source: Source,
    signature: Signature,
    reading: Reading,
    path: Path | None = None,
    asked: str | None = None,
) -> tuple[Signature, Scan, list[str]]:
    """The signature with every type, the rows as its columns tell them apart, and what is said of columns
    that are left out. These must not count among the inputs by which rows are divided, for without them
    equal rows are to stay together: rows are scanned again where there are any. path: gets the
    quarantine.csv of rows that cannot be read, where they are too many; asked: the signature as it was
    written."""
    said: list[str] = []
    while True:
        columns = [[slot.column for slot in slots] for slots in (signature.inputs, signature.outputs)]
        found = scan(source, *columns, group=reading.group, time=reading.time, weight=reading.weight)
        if path and found.bad and len(found.bad) > reading.max_bad * (len(found) + len(found.bad)):
            list_bad(path / "quarantine.csv", found.bad, [])
        _refuse_bad(found.bad, len(found) + len(found.bad), reading.max_bad, source.name, path)
        typed, left_out = resolve(signature, found, source, reading, asked)
        said += left_out
        if len(typed.inputs) == len(signature.inputs):
            return typed, found, said
        used = {slot.name for slot in typed.inputs}
        kept = tuple(slot for slot in signature.inputs if slot.name in used)
        signature = signature.with_slots(kept, signature.outputs)


def _refuse_unseen_classes(signature: Signature, settings: Settings) -> None:
    """ConfigError where whole classes would be held back (`data/splits/by_class`) from a learner that can say
    nothing of a class it has seen no row of."""
    lost = [slot.column for slot in signature.outputs if slot.column == settings.reading.group]
    if not lost:
        return
    name = parse_call(settings.learner, "learner")[0] if settings.learner else ""
    if not name or not entry("learners", name).unseen_classes:
        raise ConfigError(
            f"'{lost[0]}' is to be learned, but also dropped, or used as weight or group.\nUse it for one"
            " thing; as group it holds whole classes back, for a --learner that is made for new ones."
        )


def _distinct(source: Source, signature: Signature, parts: Split) -> dict[str, list[Any]]:
    """The training cells of the inputs whose types want all of them, or every distinct one: a pass of its
    own, for which columns these are is known only now."""
    wanted = {slot.column: entry("types", slot.type).wants for slot in signature.inputs}
    wanted = {column: what for column, what in wanted.items() if what != "sample"}
    return cells_of(source, wanted, parts.of == TRAIN) if wanted else {}


def fit_types(
    signature: Signature,
    found: Scan,
    parts: Split,
    settings: Any,
    earlier: WarmStart | None,
    known: Mapping[str, list[Any]] | None = None,
) -> Types:
    """Types that know vocabulary and statistics, from training rows only. earlier: whose types they go on
    from, which output types extend. known: the cells of the input columns whose types want more than a
    sample."""
    model, options = recipes.model_of(signature, settings)
    wanted = {} if earlier and earlier.found else wants(model, signature, options)
    rows = int((parts.of == TRAIN).sum())
    types: Types = {}
    for side, slot in spots(signature):
        kind = entry("types", slot.type)
        column_type = kind.with_options(slot.type, slot.options)
        before = earlier.column_type(side, slot, column_type, signature) if earlier else None
        if before is not None:
            column_type = before
            if side == "input":
                types[side, slot.name] = column_type  # the net has learned these; unseen values are "other"
                continue
        within = column_type.annotates(signature) if side == "output" else None
        cells = _training(found, parts, slot.column, signature.column_of(within) if within else None)
        every = found.distinct if side == "output" else (known or {})
        distinct = every.get(slot.column, [])
        if within is None:
            column = Column(slot.column, [*cells, *distinct], side, found.untyped)
            column_type = column_type.as_written(column, side)
        distinct = _read(column_type, distinct)
        values = distinct if side == "input" and kind.wants == "all" else _read(column_type, cells)
        spec = {
            "side": side,
            "rows": rows,
            "name": slot.name,
            "distinct": distinct,
            "into": within,
            **wanted.get(slot.name, {}),
        }
        if side == "output":
            spec["kind"] = recipes.output_kind(signature, slot, kind)
            spec["inputs"] = {one.name: types["input", one.name] for one in signature.inputs}
            spec["pairs"] = partial(_pairs, found, parts, signature, slot.column)
        else:
            spec["pairs"] = partial(_pairs, found, parts, signature, signature.outputs[0].column, slot.name)
        if "beside" in spec:
            both = [cell for column in spec["beside"] for cell in _training(found, parts, column)]
            spec["beside"] = [
                text
                for cell in both
                for text in (cell if isinstance(cell, (list, tuple)) else (cell,))
                if isinstance(text, str)
            ]
        if not any(value is not None for value in values):
            raise DataError(
                f"column '{slot.column}': expected {slot.type} cells, none of {len(cells)} training cells can"
                f" be read as one{_why(column_type, cells, slot.name)}.\nLeave it out (--drop), or give it"
                f" another type: {slot.name}:TYPE."
            )
        types[side, slot.name] = column_type.fit(values, spec)
        if earlier and before is not None:
            earlier.check_fit(slot, before, types[side, slot.name])
    return types


def _training(found: Scan, parts: Split, column: str, within: str | None = None) -> list[Any]:
    """The sampled cells of a column that stand in training rows; each beside that of the column `within`,
    where it speaks of one."""
    rows, cells = found.sample_rows[column], found.sample[column]
    if within is not None:
        others = dict(zip(found.sample_rows[within].tolist(), found.sample[within], strict=True))
        cells = [Annotated(cell, others.get(row)) for row, cell in zip(rows.tolist(), cells, strict=True)]
    return [cell for cell, is_training in zip(cells, parts.of[rows] == TRAIN, strict=True) if is_training]


def _pairs(found: Scan, parts: Split, signature: Signature, column: str, name: str) -> list[tuple[Any, Any]]:
    """The sampled cells of a column that stand in training rows, each with that of the input `name`."""
    both = _training(found, parts, column, signature.column_of(name))
    return [(pair.cell, pair.source) for pair in both]


def _read(column_type: DataType, cells: list[Any]) -> list[Any]:
    """Cells as read values; unreadable ones are left to the quarantine. A text that repeats is read once."""
    texts: dict[str, Any] = {}
    values = []
    for cell in cells:
        if type(cell) is str and cell in texts:
            values.append(texts[cell])
            continue
        try:
            values.append(column_type.read(cell))
        except CellError:
            continue
        if type(cell) is str:
            texts[cell] = values[-1]
    return values


def _why(column_type: DataType, cells: list[Any], name: str) -> str:
    for cell in cells:
        if not is_missing(cell):
            try:
                column_type.read(cell)
            except CellError as problem:
                return f" ({str(problem).splitlines()[0]})"
    return f" ({column_type.why_missing(name)})"


def _all_rows(found: Scan, settings: Any) -> Split:
    """Train and validation only: what a cross-validation's last net learns from."""
    parts = split(found, settings.reading)
    return Split(
        np.where(parts.of == 2, np.int8(TRAIN), parts.of).astype(np.int8),
        f"all rows but validation; tested by {settings.reading.folds} folds",
        parts.exchangeable,
    )


def _refuse_bad(bad: list, rows: int, most: float, name: str, path: Path | None = None) -> None:
    bad = [row for each in bad if not (row := each if isinstance(each, dict) else vars(each)).get("slight")]
    if len(bad) > most * max(1, rows) and bad:
        first = bad[0]
        listed = f" All are listed in {path / 'quarantine.csv'}." if path else ""
        raise DataError(
            f"{name}: {len(bad)} of {rows} rows cannot be read, more than {most:.0%} (--max-bad).\nFirst:"
            f" {first['where']}{', ' + repr(first['column']) if first.get('column') else ''}:"
            f" {' '.join(str(first['why']).split())}\nMend them, or raise --max-bad.{listed}"
        )
