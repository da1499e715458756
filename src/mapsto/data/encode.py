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
from pathlib import Path
from typing import Any

import numpy as np

from mapsto.batch import Ragged
from mapsto.cells import for_spreadsheet
from mapsto.data import cache, packed
from mapsto.data.encode_chunk import PLACES, Spot, encode_chunk, spots
from mapsto.data.files import identity
from mapsto.errors import RunError
from mapsto.files import write_json
from mapsto.models.base import Types
from mapsto.signature import Signature
from mapsto.source import BadRow, Source
from mapsto.types.base import placed_input

FORMAT = 2  # raise it when the meaning of the files changes


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
