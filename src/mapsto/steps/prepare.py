"""Everything that is decided before the first step: rows scanned, split, types inferred and fitted, cells
encoded, recipe chosen.

What was decided goes into the run's record; afterwards a run needs only that record, `rows.npz` and the
encoded cells.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mapsto import recipes
from mapsto.batch import Ragged
from mapsto.cells import Annotated, is_missing
from mapsto.checks._gate import gate
from mapsto.checks.base import Evidence
from mapsto.config import Reading, Settings
from mapsto.data.added import together
from mapsto.data.encode import encode_source, list_bad, spots
from mapsto.data.mirror import mirror_is_safe
from mapsto.data.open import open_source
from mapsto.data.resolve import as_asked, resolve
from mapsto.data.resolve import asked as asked_signature
from mapsto.data.scan import Scan, scan
from mapsto.data.source import Source
from mapsto.data.split import TEST, TRAIN, Split, split, split_added
from mapsto.data.store import Store
from mapsto.errors import CellError, DataError, RunError
from mapsto.events import Emit
from mapsto.files import write_atomic
from mapsto.models import wants
from mapsto.registry import entry
from mapsto.run import Run
from mapsto.run.warm_start import WarmStart, load_pretrained
from mapsto.signature import Signature
from mapsto.training.machine import choose_device, machine, machine_speed, text_speed
from mapsto.types.base import DataType

Types = dict[tuple[str, str], DataType]


def prepare(run: Run, source: Source, emit: Emit) -> None:
    """Decide, and write it into the run. The record's `fold` says which part of a cross-validation it is, -1
    the net that follows it."""
    source = as_asked(run.record["asked"], source)
    earlier, fold = WarmStart.of(run.record), run.record.get("fold")
    settings = earlier.wished(run.settings) if earlier else run.settings
    for sentence in source.said:
        emit({"event": "said", "text": sentence})
    ready = make_ready(
        source, run.record["asked"], settings, emit, fold, earlier, run.path, _splits_before(run)
    )
    store, found, parts = ready.store, ready.found, ready.parts
    signature, types = store.signature, dict(store.types)
    quiet = fold not in (None, 0)  # the parts of a cross-validation hold the same rows: said once
    gate(ready.evidence, run.path, (lambda event: None) if quiet else emit, not settings.report.no_samples)
    timed = settings.budget.steps is None and settings.budget.epochs is None
    facts = recipes.Facts(
        signature,
        types,
        store.size("train"),
        (settings.budget.minutes or recipes.MINUTES) if timed else None,
        lambda: machine_speed(choose_device(settings.training.device)),
        0 if (lengths := store.lengths(store.rows("train"))) is None else int(lengths.sum()),
        lambda: _said(store),
        "start" in run.record,
        earlier.found if earlier else {},
        lambda: text_speed(choose_device(settings.training.device)),
    )
    choice = recipes.choose(facts, settings)
    written = str(signature)
    signature, types, augmented = _with_recipe(signature, types, choice, store)
    begun = (
        [f"starts from {earlier.name}: its model, what its rooms learned, its weights"]
        if earlier and earlier.model
        else []
    )
    said = [
        *begun,
        *ready.said,
        *ready.left_out,
        parts.said,
        *augmented,
        *_worth_saying(signature, types, choice),
    ]
    _save_rows(run, store, parts, found)
    rows = {name: store.size(name) for name in ("train", "validation", "test")}
    run.save(
        signature=signature.to_json(),
        signature_text=written,
        types=_rooms_to_json(signature, types),
        choice=choice.to_json(),
        store=str(store.folder),
        rows=rows,
        unreadable=len(store.bad) + len({p["row"] for p in store.problems}),
        said=[*source.said, *said],
        machine=machine(),
    )
    _forget(run)
    said = [*load_pretrained(run), *said]
    run.save(said=[*source.said, *said])
    emit(
        {
            "event": "decided",
            "signature": written,
            "rows": rows,
            "total": sum(rows.values()),
            "classes": _classes(signature, types),
            "choice": str(choice),
            "reasons": list(choice.reasons),
            "best": choice.best,
            "said": said,
            "unreadable": run.record["unreadable"],
            "inferred": written != run.record["asked"],
        }
    )


@dataclass(frozen=True)
class Ready:
    """Rows scanned, divided and encoded, before a recipe is chosen: what the data gate looks at. said: what
    was inferred; left_out: columns that are not used, and why."""

    source: Source
    store: Store
    found: Scan
    parts: Split
    reading: Reading
    said: list[str]
    left_out: list[str]

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
    reading, source = settings.reading, as_asked(asked, source)
    signature, said = asked_signature(asked, source, reading)
    columns = [[slot.column for slot in slots] for slots in (signature.inputs, signature.outputs)]
    found = scan(source, *columns, group=reading.group, time=reading.time, weight=reading.weight)
    if path and found.bad and len(found.bad) > reading.max_bad * (len(found) + len(found.bad)):
        list_bad(path / "quarantine.csv", found.bad, [])
    _refuse_bad(found.bad, len(found) + len(found.bad), reading.max_bad, source.name, path)
    signature, left_out = resolve(signature, found, source)
    whole = before is None and fold == -1
    parts = (
        _all_rows(found, settings)
        if whole
        else split(found, reading, fold)
        if before is None
        else split_added(found, reading, before)
    )
    types = fit_types(signature, found, parts, settings, earlier)
    folder = encode_source(
        source,
        signature,
        types,
        len(found),
        lambda done, rows: emit({"event": "encode", "rows": done, "total": rows}),
        reading.store,
    )
    store = Store(folder, signature, types, parts.of, found.weights, found.groups)
    if path and (store.bad or store.problems):
        shutil.copyfile(folder / "quarantine.csv", path / "quarantine.csv")
    _refuse_bad([*store.bad, *store.problems], len(found), reading.max_bad, source.name, path)
    return Ready(source, store, found, parts, reading, said, left_out)


def reopen(run: Run, given: Any = None) -> Source:
    """The data a run was made from, with all rows that were added later; RunError when it is gone or has
    changed. given: what came from memory, again; a tuple where that was several times."""
    parts = parts_of(run)
    memory = [part for part in parts if not part["locations"]]
    again = given if isinstance(given, tuple) else () if given is None else (given,)
    if len(again) not in (len(memory), len(parts)):
        times = f" {len(memory)} times" if len(memory) > 1 else ""
        raise RunError(
            f"{run.path}: its data was given from memory{times}, and is to be read again; got {len(again)}.\n"
            f"Give it again: mapsto.resume(run, data=…){', a tuple of them, in order' if times else ''}"
        )
    place = iter(again)
    sources = [
        _reopened(run, part, None if part["locations"] and len(again) < len(parts) else next(place, None))
        for part in parts
    ]
    return together(sources)


def parts_of(run: Run) -> list[dict[str, Any]]:
    """Where a run's rows come from: {"name", "locations", "fingerprint", "reading"} of the first data, and of
    each that was added."""
    data = run.record["data"]
    return data.get("parts") or [{**data, "reading": run.record["settings"]["reading"]}]


def part_of(source: Source, reading: Reading) -> dict[str, Any]:
    """The record of one of them."""
    return {
        "name": source.name,
        "locations": list(source.locations),
        "fingerprint": source.fingerprint,
        "reading": vars(reading),
    }


def _reopened(run: Run, part: Mapping[str, Any], given: Any) -> Source:
    places = part["locations"]
    source = open_source(
        given if given is not None else places if len(places) > 1 else places[0], Reading(**part["reading"])
    )
    if source.fingerprint != part["fingerprint"]:
        raise RunError(
            f"{source.name}: has changed since the training began, so it cannot be continued exactly.\n"
            "Put the data back as it was, or train anew: mapsto train DATA"
        )
    return as_asked(run.signature if run.record.get("signature") else run.record["asked"], source)


def _splits_before(run: Run) -> np.ndarray | None:
    """(m,) the splits of the rows that the segment before had; None where no rows were added."""
    if "parts" not in run.record["data"]:
        return None
    with np.load(run.path / run.record["segment"] / "rows.npz") as kept:
        return kept["split"]


def store_of(run: Run, source: Callable[[], Source], emit: Emit) -> Store:
    """The run's encoded rows; encoded again when the cache was emptied."""
    folder = Path(run.record["store"])
    with np.load(run.path / "rows.npz") as kept:
        rows = {name: kept[name] for name in kept.files}
    if not (folder / "store.json").exists():
        folder = encode_source(
            as_asked(run.signature, source()),
            run.signature,
            run.types,
            len(rows["split"]),
            lambda done, total: emit({"event": "encode", "rows": done, "total": total}),
            run.settings.reading.store,
        )
        run.save(store=str(folder))
    return Store(folder, run.signature, run.types, rows["split"], rows.get("weight"), rows.get("group"))


def fit_types(
    signature: Signature, found: Scan, parts: Split, settings: Any, earlier: WarmStart | None
) -> Types:
    """Rooms that know vocabulary and statistics, from training rows only. earlier: whose rooms they go on
    from, which output rooms extend."""
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
        values = _read(column_type, cells)
        distinct = _read(column_type, found.distinct.get(slot.column, [])) if side == "output" else []
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
                f" be read as one{_why(column_type, cells)}.\nLeave it out (--drop), or give it another type:"
                f" {slot.name}:TYPE."
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


def _why(column_type: DataType, cells: list[Any]) -> str:
    for cell in cells:
        if not is_missing(cell):
            try:
                column_type.read(cell)
            except CellError as problem:
                return f" ({str(problem).splitlines()[0]})"
    return " (all are missing)"


def _all_rows(found: Scan, settings: Any) -> Split:
    """Train and validation only: what a cross-validation's last net learns from."""
    parts = split(found, settings.reading)
    return Split(
        np.where(parts.of == 2, np.int8(TRAIN), parts.of).astype(np.int8),
        f"all rows but validation; tested by {settings.reading.folds} folds",
    )


def _with_recipe(
    signature: Signature, types: Types, choice: recipes.Choice, store: Store
) -> tuple[Signature, Types, list[str]]:
    """The recipe's options into the rooms whose owner named none; mirrored pictures only where they mean the
    same."""
    said: list[str] = []
    sides: dict[str, list] = {"input": [], "output": []}
    for side, slot in spots(signature):
        options = {
            name: value
            for name, value in choice.type_options.get(side, {}).get(slot.type, {}).items()
            if slot.options.get(name) is None
        }
        if "augment" in options:
            safe, told = mirror_is_safe(store, slot.name)
            options["augment"] += " flip" if safe else ""
            said.append(told)
        types = {**types, (side, slot.name): replace(types[side, slot.name], **options)}
        sides[side].append(replace(slot, options={**slot.options, **options}))
    return signature.with_slots(tuple(sides["input"]), tuple(sides["output"])), types, said


def _said(store: Store) -> tuple[np.ndarray, np.ndarray] | None:
    """(m,) steps of each training row's only input, and (m,) those that its answer takes at least; None where
    nothing is counted."""
    signature, rows = store.signature, store.rows("train")
    answers = store.raw(rows, [("output", slot.name) for slot in signature.outputs])
    least = [
        store.types[spot].min_input_steps(cells)
        for spot, cells in answers.items()
        if isinstance(cells, Ragged)
    ]
    if len(signature.inputs) != 1 or len(least) != 1 or least[0] is None:
        return None
    offsets = store.flat(("input", signature.inputs[0].name))[1]
    lengths = torch.from_numpy(offsets[rows + 1] - offsets[rows])
    return store.types["input", signature.inputs[0].name].steps(Ragged(torch.zeros(0), lengths)), least[0]


def _worth_saying(signature: Signature, types: Types, choice: recipes.Choice) -> list[str]:
    """How columns are read where it is not obvious, and the optimizer's settings."""
    twice = {slot.name for slot in signature.inputs} & {
        slot.name for slot in signature.outputs
    }  # `text -> text`: told apart by their columns
    told = [
        (types[side, slot.name], slot.column if slot.name in twice else slot.name)
        for side, slot in spots(signature)
    ]
    said = [text for column_type, name in told if (text := column_type.said(name))]
    t = choice.training
    rate = f"{t.optimizer}, peak rate {t.lr:g} ({t.schedule}, {100 * (t.warmup or 0):.2g}% warm-up)"
    said.append(f"{rate}, {t.batch} rows a step, weight decay {t.weight_decay:g}, seed {t.seed}")
    return said


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


def _save_rows(run: Run, store: Store, parts: Split, found: Scan) -> None:
    kept = {"split": parts.of, "test_hash": found.hashes[parts.of == TEST]}
    if found.weights is not None:
        kept["weight"] = found.weights
    if found.groups is not None:
        kept["group"] = found.groups

    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.savez_compressed(file, **kept)  # type: ignore[arg-type]

    write_atomic(run.path / "rows.npz", write)


def _classes(signature: Signature, types: Types) -> dict[str, int]:
    column_types: dict[str, Any] = {slot.name: types["output", slot.name] for slot in signature.outputs}
    return {
        name: len(column_type.vocabulary)
        for name, column_type in column_types.items()
        if "vocabulary" in vars(column_type)
    }


def _forget(run: Run) -> None:
    """Drop what was cached of the record before it was complete."""
    for name in ("signature", "choice", "types", "settings"):
        vars(run).pop(name, None)


def _rooms_to_json(signature: Signature, types: Types) -> dict[str, dict[str, Any]]:
    """The fitted rooms by side and slot."""
    return {
        side: {slot.name: types[side, slot.name].to_json() for slot in slots}
        for side, slots in (("input", signature.inputs), ("output", signature.outputs))
    }
