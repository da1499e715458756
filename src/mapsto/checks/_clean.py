"""A cleaned copy of the data: faults that need no judgement are taken out, every change is written down, the
original is not touched.

Out go rows that cannot be read, repeated rows, training rows that also stand among those held back or are
nearly the same, equal inputs with different answers, and columns that are constant or number the rows. A
table stays a table and a folder a folder:

    OUT/<name>.csv, .jsonl or .parquet    a table; train and test files keep their names
    OUT/<class>/<picture>                 class folders as they were
    OUT/metadata.csv and the pictures     a folder described by a table
    OUT/changes.csv                       where, column, what, why: one line a change
"""

from __future__ import annotations

import csv
import json
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mapsto.cells import for_spreadsheet
from mapsto.checks import contradictions, near
from mapsto.checks.base import Evidence
from mapsto.data._beside import WithFiles
from mapsto.data.formats.jsonl import JsonLines, JsonList
from mapsto.data.formats.media import FolderSource
from mapsto.data.formats.metadata import MetadataSource
from mapsto.data.formats.parquet import ParquetSource, connected, literal
from mapsto.data.joined import JoinedSource
from mapsto.data.readers.delimited import DelimitedSource
from mapsto.data.split_column import SplitByColumn
from mapsto.data.structs import Flattened
from mapsto.errors import DataError
from mapsto.files import disk_error
from mapsto.source import SPLITS, Source

LOG = "changes.csv"


@dataclass(frozen=True)
class Change:
    """One line of the log."""

    where: str
    column: str
    what: str
    why: str


def clean(evidence: Evidence, out: Path) -> list[Change]:
    """Write the cleaned copy. DataError when `out` is there already, or the data is of a kind that cannot be
    written back."""
    refuse_to_overwrite(out)
    gone = rows_to_remove(evidence)
    written = {name for part in _parts(evidence.source) for name in part.columns}
    columns = sorted(
        evidence.ids & {slot.column for slot in evidence.inputs} & written,
        key=list(evidence.source.columns).index,
    )
    place = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        place.mkdir(parents=True)
        changes = [
            Change("", name, "column removed", "it is the same in every row, or only numbers the rows")
            for name in columns
        ]
        changes += _write(evidence.source, place, gone, columns)
        _write_log(place / LOG, changes)
        if out.is_dir():
            out.rmdir()
        place.rename(out)
    except OSError as problem:
        raise disk_error(out, problem) from None
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return changes


def refuse_to_overwrite(out: Path) -> None:
    """DataError when something stands where the copy is to go."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(
            f"{out}: is there already, and nothing is overwritten.\nName a folder that does not exist yet:"
            " --fix OUT"
        )


# --- which rows -----------------------------------------------------------------------------------


def rows_to_remove(evidence: Evidence) -> dict[int, str]:
    """{row: why}."""
    gone = {
        int(problem["row"]): f"cannot be read: {problem['column']}: {_line(problem['why'])}"
        for problem in evidence.store.problems
    }
    if not evidence.inputs or evidence.repeats_are_natural:
        return gone
    for row in contradictions.apart(evidence).tolist():
        gone.setdefault(row, "equal inputs stand beside another answer")
    for row, why in _repeated(evidence, gone):
        gone.setdefault(row, why)
    for slot in evidence.answering("similarity_embedding"):
        for kept, row in near.pairs_of(evidence, slot):
            if kept not in gone:
                gone.setdefault(row, f"nearly the same '{slot.column}' is held back for testing")
    for kept, row in near.pairs_by_value(evidence):
        if kept not in gone:
            gone.setdefault(row, "the same values are held back for testing")
    return gone


def _repeated(evidence: Evidence, gone: Mapping[int, str]) -> Iterator[tuple[int, str]]:
    """Rows equal to an earlier one, answers too; and, where the data names its splits, rows whose inputs
    stand in one that is measured on: test rows stay before validation rows, those before training rows."""
    named = np.maximum(evidence.scan.named, 0)
    used = np.flatnonzero(evidence.split_of >= 0)
    seen: set[tuple[int, int]] = set()
    first: dict[int, int] = {}  # inputs -> the split they were met in first
    for row in used[np.argsort(-named[used], kind="stable")].tolist():
        if row in gone:
            continue
        value, answer, split = int(evidence.keys[row]), int(evidence.answers[row]), int(named[row])
        if first.setdefault(value, split) != split:
            yield row, f"its inputs also stand among the {SPLITS[first[value]]} rows"
        elif (value, answer) in seen:
            yield row, "repeats another row"
        seen.add((value, answer))


# --- writing --------------------------------------------------------------------------------------

Row = tuple[str | None, dict[str, Any]]  # the split the data names, cells by column


def _write(source: Source, place: Path, gone: Mapping[int, str], columns: Sequence[str]) -> list[Change]:
    """Every part of the source in its own kind, under its own name; what was left out of it."""
    changes: list[Change] = []
    first = 0
    for part in _parts(source):
        counted = [first]
        rows = _kept(part, counted, gone, columns, changes)
        if isinstance(part, FolderSource):
            for _, cells in rows:
                _copy(cells[part.columns[0]], place)
        elif isinstance(part, MetadataSource):
            _write_metadata(rows, place, part.columns[0])
        elif isinstance(part, ParquetSource):
            for _ in rows:  # the log; duckdb copies the rows
                continue
            _write_parquet(
                part,
                _free(place, f"{part.name}.parquet"),
                [row - first for row in gone if first <= row < counted[0]],
                columns,
            )
        elif isinstance(part, (JsonLines, JsonList)):
            _write_json(rows, _free(place, f"{part.name}.jsonl"))
        elif isinstance(part, DelimitedSource):
            _write_csv(
                [name for name in part.columns if name not in columns],
                (cells for _, cells in rows),
                _free(place, f"{part.name}.csv"),
            )
        else:
            raise DataError(
                f"{part.name}: a cleaned copy is written of folders of pictures or sounds, csv, jsonl and"
                " parquet.\nSave it as one of these."
            )
        first = counted[0]
    return changes


def _parts(source: Source) -> Iterator[Source]:
    """The sources that are files or folders themselves. A column that names the split stays a column."""
    if isinstance(source, SplitByColumn) or (
        isinstance(source, (Flattened, WithFiles)) and not getattr(source, "places", None)
    ):
        assert source.inner is not None
        yield from _parts(source.inner)
    elif isinstance(source, JoinedSource):
        for part in source.parts:
            yield from _parts(part.source)
    else:
        yield source


def _kept(
    part: Source, counted: list[int], gone: Mapping[int, str], columns: Sequence[str], changes: list[Change]
) -> Iterator[Row]:
    """The rows that stay, without the columns that go; `counted[0]` moves on, and what goes is added to
    `changes`."""
    for chunk in part.chunks():
        changes += [
            Change(f"{part.name} {bad.where}", "", "row removed", f"cannot be read: {_line(bad.why)}")
            for bad in chunk.bad
        ]
        names = [name for name in chunk.columns if name not in columns]
        for i in range(len(chunk)):
            row = counted[0] + i
            if row in gone:
                changes.append(Change(f"{part.name} {chunk.where[i]}", "", "row removed", gone[row]))
            else:
                yield chunk.split[i], {name: chunk.columns[name][i] for name in names}
        counted[0] += len(chunk)


def _copy(cell: Any, place: Path) -> str:
    """A picture's file under its name; the name."""
    target = place / cell.name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(cell.path, target)
    return cell.name


def _write_metadata(rows: Iterator[Row], place: Path, medium: str) -> None:
    """Pictures or sounds, and metadata.jsonl beside them: its cells keep their kinds."""
    with (place / "metadata.jsonl").open("a", encoding="utf-8") as file:
        for split, cells in rows:
            named = {
                "file_name": _copy(cells.pop(medium), place),
                **cells,
                **({"split": split} if split else {}),
            }
            file.write(_json(named))


def _write_json(rows: Iterator[Row], path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(_json(cells) for _, cells in rows)


def _json(cells: Mapping[str, Any]) -> str:
    return json.dumps(cells, ensure_ascii=False, default=str) + "\n"


def _write_csv(names: Sequence[str], rows: Iterator[Mapping[str, Any]], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(names)
        table.writerows([row[name] for name in names] for row in rows)


def _write_parquet(part: ParquetSource, path: Path, gone: Sequence[int], columns: Sequence[str]) -> None:
    """Copied by duckdb, so that every cell keeps its type."""
    quoted = [name.replace('"', '""') for name in ("file_row_number", *columns)]
    without = ", ".join(f'"{name}"' for name in quoted)
    with connected(Path(part.path)) as base:
        base.execute("CREATE TABLE gone (row BIGINT)")
        if gone:
            base.executemany("INSERT INTO gone VALUES (?)", [[row] for row in gone])
        rows = (
            f"SELECT * EXCLUDE ({without}) FROM read_parquet({_text(literal(part.path))},"
            " file_row_number=true)"
        )
        base.execute(
            f"COPY ({rows} WHERE file_row_number NOT IN (SELECT row FROM gone)) TO {_text(str(path))} (FORMAT"
            " parquet)"
        )


def _text(value: str) -> str:
    """As SQL writes text."""
    return "'" + value.replace("'", "''") + "'"


def _write_log(path: Path, changes: Sequence[Change]) -> None:
    guarded = ({name: for_spreadsheet(cell) for name, cell in vars(change).items()} for change in changes)
    _write_csv(["where", "column", "what", "why"], guarded, path)


def _free(place: Path, name: str) -> Path:
    """A name that no part before it took."""
    path = place / name
    return path if not path.exists() else place / f"{path.stem}-{1 + len(list(place.iterdir()))}{path.suffix}"


def _line(text: Any) -> str:
    return " ".join(str(text).split())
