"""Encoding: every cell of a source read, checked and written once into the arrays of a store
(`mapsto.data.store`)."""

from __future__ import annotations

import csv
import dataclasses
import functools
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mapsto.batch import Ragged
from mapsto.cells import Annotated, Blob, for_spreadsheet
from mapsto.data import cache, packed
from mapsto.data.files import identity
from mapsto.errors import RunError
from mapsto.files import write_json
from mapsto.models.base import Types
from mapsto.signature import Signature, Slot
from mapsto.source import BadRow, Chunk, Source
from mapsto.types.base import placed_input

PART = 16  # cells that a thread reads at a time
FORMAT = 2  # raise it when the meaning of the files changes
PLACES = "places"  # (2, 4) of each row: placement (2, 3) and extent (2,) of the input that outputs annotate
Spot = tuple[str, str]  # ("input" | "output" | PLACES, slot name)


@dataclass(frozen=True)
class Block:
    """Slots of one dtype and shape, in one file."""

    file: str
    dtype: str
    shape: tuple[int, ...]
    spots: tuple[Spot, ...]


def encode_source(
    source: Source,
    signature: Signature,
    types: Types,
    rows: int,
    emit: Callable[[int, int], None] | None = None,
    kept: str | None = None,
) -> Path:
    """Encode all rows into the cache, unless they lie there already; the store's folder. tell(rows done,
    rows) reports progress. kept: "raw" or "compressed" (`mapsto.data.packed`); None: as their size and the
    memory there is suggest."""
    layouts = [types[side, slot.name].layout for side, slot in spots(signature)]
    packs = kept == "compressed" or (
        kept is None and packed.worth_packing(layouts, rows, source.locations, cache.stores())
    )
    folder = cache.stores() / _key(
        source, signature, types, rows, packs and any(map(packed.can_pack, layouts))
    )
    if cache.whole(folder):
        os.utime(folder)
        return folder
    if folder.exists():
        cache.take_away(folder)  # damaged: made again
    workplace = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        workplace.mkdir(parents=True)
        with cache.hold(workplace):  # else it looked like what a killed command left
            _encode(source, signature, types, rows, workplace, emit, packs)
            os.rename(workplace, folder)
        cache.shrink(code())
    except OSError as problem:
        if cache.whole(folder):  # another training made it meanwhile
            return folder
        raise RunError(
            f"cannot write encoded data to {folder.parent}: {problem.strerror or problem}.\nFree some disk,"
            " or set MAPSTO_CACHE to another folder."
        ) from None
    finally:
        shutil.rmtree(workplace, ignore_errors=True)
    return folder


def _key(source: Source, signature: Signature, types: Types, rows: int, packs: bool) -> str:
    reading: list[Any] = [
        (
            side,
            slot.name,
            slot.column,
            slot.type,
            {f: getattr(types[side, slot.name], f) for f in types[side, slot.name].reading},
        )
        for side, slot in spots(signature)
    ]
    placed = placed_input(signature, types)
    reading += [] if placed is None else [placed]
    places = identity(source.read_from or source.locations)
    text = json.dumps([FORMAT, code(), source.fingerprint, places, rows, packs, reading], default=str)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


@functools.cache
def code() -> str:
    """The version of the code that encodes: a hash of the types' and readers' files and of every module of
    mapsto that these import."""
    here = Path(__file__).parents[1]
    found = {file for column_type in ("types", "data") for file in (here / column_type).rglob("*.py")}
    new = set(found)
    while new:
        new = {file for path in new for file in imported_files(path, here)} - found
        found |= new
    return hashlib.blake2b(b"".join(file.read_bytes() for file in sorted(found)), digest_size=8).hexdigest()


IMPORT = re.compile(
    r"^\s*(?:from mapsto((?:\.\w+)*) import (\([^)]*\)|[^\n(#]+)|import mapsto((?:\.\w+)+))", re.MULTILINE
)


def imported_files(path: Path, here: Path) -> set[Path]:
    """Files of mapsto (which lies in `here`) that a file imports, wherever in it: one too many only means to
    encode once more."""
    names: set[str] = set()
    for package, members, whole in IMPORT.findall(path.read_text(encoding="utf-8")):
        names |= {package or whole, *(f"{package}.{member}" for member in re.findall(r"\w+", members))}
    places = [here.joinpath(*name.split(".")[1:]) for name in names if name]
    files = {file for place in places for file in (place.with_suffix(".py"), place / "__init__.py")}
    return {file for file in files if file.is_file()}


def spots(signature: Signature) -> list[tuple[str, Slot]]:
    """Every slot with its side, inputs first."""
    return [("input", slot) for slot in signature.inputs] + [("output", slot) for slot in signature.outputs]


class _Writer:
    """The files of a store being made."""

    def __init__(self, folder: Path, signature: Signature, types: Types, packs: bool):
        self.folder, self.types = folder, types
        self.packed: dict[Spot, dict[str, Any]] = {}
        grouped: dict[tuple[str, tuple], list[Spot]] = {}
        self.ragged: dict[Spot, dict[str, Any]] = {}
        for side, slot in spots(signature):
            layout = types[side, slot.name].layout
            if layout.ragged:
                number = len(self.ragged)
                files = {name: f"r{number}.{name}.bin" for name in ("values", "offsets", "steps")}
                self.ragged[side, slot.name] = {
                    "spot": (side, slot.name),
                    "dtype": layout.dtype,
                    "shape": layout.shape[1:],
                    **files,
                }
            elif packs and packed.can_pack(layout):
                files = {name: f"p{len(self.packed)}.{name}.bin" for name in ("values", "offsets")}
                self.packed[side, slot.name] = {
                    "spot": (side, slot.name),
                    "dtype": layout.dtype,
                    "shape": layout.shape,
                    **files,
                }
            else:
                grouped.setdefault((layout.dtype, layout.shape), []).append((side, slot.name))  # type: ignore[arg-type]
        placed = placed_input(signature, types)
        if placed is not None:
            grouped.setdefault(("float32", (2, 4)), []).append((PLACES, placed))
        self.blocks = [
            Block(f"{i}.bin", dtype, shape, tuple(names))
            for i, ((dtype, shape), names) in enumerate(grouped.items())
        ]
        names = [block.file for block in self.blocks] + [
            record[part] for record in self.ragged.values() for part in ("values", "offsets", "steps")
        ]
        names += [record[part] for record in self.packed.values() for part in ("values", "offsets")]
        self.files = {name: (folder / name).open("wb") for name in names}
        self.ends = dict.fromkeys((*self.ragged, *self.packed), 0)  # values written so far
        for record in (*self.ragged.values(), *self.packed.values()):
            np.zeros(1, np.int64).tofile(self.files[record["offsets"]])

    def write(self, encoded: Mapping[Spot, Any], pool: ThreadPoolExecutor) -> None:
        for block in self.blocks:
            np.stack([np.asarray(encoded[spot], block.dtype) for spot in block.spots], 1).tofile(
                self.files[block.file]
            )
        for spot, record in self.ragged.items():
            cells = Ragged.of([np.asarray(value, record["dtype"]) for value in encoded[spot]])
            self._behind(spot, record, cells)
            np.asarray(self.types[spot].steps(cells), np.int64).tofile(self.files[record["steps"]])
        for spot, record in self.packed.items():
            self._behind(
                spot,
                record,
                Ragged.of(list(pool.map(packed.pack, np.asarray(encoded[spot], record["dtype"])))),
            )

    def _behind(self, spot: Spot, record: Mapping[str, Any], cells: Ragged) -> None:
        """Cells of unequal length behind those written before, and where each ends."""
        ends = self.ends[spot] + cells.lengths.numpy().cumsum()
        self.ends[spot] = int(ends[-1]) if len(ends) else self.ends[spot]
        cells.flat.numpy().tofile(self.files[record["values"]])
        ends.tofile(self.files[record["offsets"]])

    def close(self, rows: int, problems: list[dict], bad: list[BadRow], about: Mapping[str, Any]) -> None:
        for file in self.files.values():
            file.flush()
            os.fsync(file.fileno())
            file.close()
        record = {
            **about,
            "rows": rows,
            "files": {name: (self.folder / name).stat().st_size for name in self.files},
            "blocks": [dataclasses.asdict(block) for block in self.blocks],
            "ragged": list(self.ragged.values()),
            "packed": list(self.packed.values()),
            "problems": problems,
            "bad": [dataclasses.asdict(row) for row in bad],
        }
        list_bad(self.folder / "quarantine.csv", bad, problems)
        write_json(self.folder / cache.RECORD, record)


def list_bad(path: Path, bad: Sequence[BadRow], problems: Sequence[Mapping[str, Any]]) -> None:
    """quarantine.csv: every row that could not be read, and why, one line each."""
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        table = csv.writer(file)
        table.writerow(["where", "column", "why"])
        rows = [(row.where, "", row.why) for row in bad] + [
            (problem["where"], problem["column"], problem["why"]) for problem in problems
        ]
        table.writerows(
            [for_spreadsheet(cell) for cell in (where, column, " ".join(why.split()))]
            for where, column, why in rows
        )


def _encode(
    source: Source,
    signature: Signature,
    types: Types,
    rows: int,
    folder: Path,
    emit: Callable[[int, int], None] | None,
    packs: bool,
) -> None:
    writer = _Writer(folder, signature, types, packs)
    problems: list[dict] = []
    bad: list[BadRow] = []
    done = 0
    heavy = any(types[side, slot.name].layout.shape for side, slot in spots(signature))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for chunk in source.chunks(1024 if heavy else 16384):
            bad += chunk.bad
            encoded, found = encode_chunk(chunk, signature, types, pool)
            problems += [{**problem, "row": done + problem["row"]} for problem in found]
            writer.write(encoded, pool)
            done += len(chunk)
            if emit:
                emit(done, rows)
    writer.close(done, problems, bad, {"code": code(), "name": source.name})


def encode_chunk(
    chunk: Chunk, signature: Signature, types: Types, pool: ThreadPoolExecutor | None = None
) -> tuple[dict[Spot, Any], list[dict]]:
    """A chunk's cells, encoded; and what could not be read: {"row" in the chunk, "where", "column", "why"}.
    Columns that are absent (targets at prediction) are left out. Beside an input that outputs annotate stands
    where its type has placed each cell."""
    encoded: dict[Spot, Any] = {}
    problems: list[dict] = []
    placed = placed_input(signature, types)
    for side, slot in spots(signature):
        if slot.column not in chunk.columns:
            continue
        cells = _beside(types[side, slot.name], side, chunk.columns[slot.column], signature, chunk.columns)
        if (side, slot.name) == ("input", placed):
            encoded[side, slot.name], encoded[PLACES, slot.name], unread = _encode_placed(
                types[side, slot.name], cells, pool
            )
        else:
            encoded[side, slot.name], unread = _encode_column(types[side, slot.name], cells, pool)
        problems += [
            {"row": i, "where": chunk.where[i], "column": slot.column, "why": why, "side": side}
            for i, why in unread.items()
        ]
    unread = {problem["row"] for problem in problems}
    unsaid = {row: told for row, told in _too_short(encoded, signature, types).items() if row not in unread}
    problems += [
        {"row": i, "where": chunk.where[i], "column": column, "why": why, "side": "output"}
        for i, (column, why) in unsaid.items()
    ]
    return encoded, problems


def _too_short(encoded: Mapping[Spot, Any], signature: Signature, types: Types) -> dict[int, tuple[str, str]]:
    """{row: (column, why)} of answers that take more steps than a net makes of the input, where steps are
    counted (`DataType.takes`)."""
    found: dict[int, tuple[str, str]] = {}
    for slot in signature.outputs:
        column_type = types["output", slot.name]
        cells = encoded.get(("output", slot.name))
        least = (
            column_type.min_input_steps(Ragged.of(cells))
            if cells is not None and column_type.layout.ragged
            else None
        )
        if least is None:
            continue
        given = [
            one
            for one in signature.inputs
            if types["input", one.name].layout.ragged and ("input", one.name) in encoded
        ]
        steps = [types["input", one.name].steps(Ragged.of(encoded["input", one.name])) for one in given]
        for row in np.flatnonzero(least > np.sum(steps, axis=0)).tolist() if steps else ():
            had = int(np.sum(steps, axis=0)[row])
            found[row] = (
                slot.column,
                (
                    f"takes {int(least[row]):,} steps of the input at least, which has {had:,}. Do they"
                    " belong together?"
                ),
            )
    return found


def _beside(
    column_type: Any,
    side: str,
    cells: Sequence[Any],
    signature: Signature,
    columns: Mapping[str, Sequence[Any]],
) -> Sequence[Any]:
    """An output's cells, each with that of the input it speaks of, where it speaks of one."""
    within = column_type.annotates(signature) if side == "output" else None
    if within is None:
        return cells
    return [
        Annotated(cell, other)
        for cell, other in zip(cells, columns[signature.column_of(within)], strict=True)
    ]


def _encode_placed(
    column_type: Any, cells: Sequence[Any], pool: ThreadPoolExecutor | None
) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    """A spatial column: its cells encoded, their places (n, 2, 4), and what could not be read."""
    parts = _parts(cells) or [cells]
    found = list((pool.map if pool else map)(partial(_encode_and_place, column_type), parts))
    unread = {i * PART + j: why for i, (_, _, problems) in enumerate(found) for j, why in problems.items()}
    encoded, places = np.concatenate([part[0] for part in found]), np.concatenate([part[1] for part in found])
    return encoded, places, unread


def _encode_and_place(
    column_type: Any, cells: Sequence[Any]
) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    layout = column_type.layout
    values, problems = column_type.read_all(cells)
    encoded = np.empty((len(values), *layout.shape), layout.dtype)
    places = np.empty((len(values), 2, 4), np.float32)
    for row, (value, array) in enumerate(zip(values, column_type.encode_all(values), strict=True)):
        encoded[row] = array
        places[row, :, :3], places[row, :, 3] = column_type.placement(value), column_type.extent(value)
    return encoded, places, problems


def _parts(cells: Sequence[Any]) -> list[Sequence[Any]]:
    return [cells[i : i + PART] for i in range(0, len(cells), PART)]


def _encode_column(
    column_type: Any, cells: Sequence[Any], pool: ThreadPoolExecutor | None
) -> tuple[Any, dict[int, str]]:
    """One column, its files decoded by all cores: decoders release the interpreter's lock."""
    if (
        pool is None
        or len(cells) < 32
        or not (isinstance(cells[0], (Blob, bytes, dict)) or column_type.layout.shape)
    ):
        return column_type.encode_column(cells)
    found = list(pool.map(column_type.encode_column, _parts(cells)))
    unread = {i * PART + j: why for i, (_, problems) in enumerate(found) for j, why in problems.items()}
    joined = (
        [value for part, _ in found for value in part]
        if column_type.layout.ragged
        else np.concatenate([part for part, _ in found])
    )
    return joined, unread
