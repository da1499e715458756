"""What the command line's words do, beside `train`: each takes the parsed arguments and a teller, and gives an exit code."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from mapsto import api
from mapsto.config import Budget, Reading
from mapsto.data.open import open_source
from mapsto.errors import ConfigError, DataError
from mapsto.files import disk_error, write_atomic
from mapsto.run import Answer, Run
from mapsto.terminal import number, short

Tell = Callable[[Mapping[str, Any]], None]
Row = dict[str, Any]


def resume(asked: argparse.Namespace, tell: Tell) -> int:
    api.resume(asked.run, tell=tell)
    return 0


def extend(asked: argparse.Namespace, tell: Tell) -> int:
    budget = {spot.name: getattr(asked, spot.name) for spot in dataclasses.fields(Budget) if getattr(asked, spot.name) is not None}
    api.extend(asked.run, asked.data, tell=tell, **budget)
    return 0


def reproduce(asked: argparse.Namespace, tell: Tell) -> int:
    _, equal = api.reproduce(asked.run, tell=tell)
    return 0 if equal else 1


def evaluate(asked: argparse.Namespace, tell: Tell) -> int:
    scores = Run.open(asked.run).evaluate(asked.data, lambda event: print(f"mapsto: {event['text']}", file=sys.stderr))
    if asked.json:
        print(json.dumps(scores))
        return 0
    for slot, metrics in scores.items():
        for name, found in metrics.items():
            print(f"{slot}  {name}  {number(found['value'])}  ({number(found['low'])} – {number(found['high'])}, n {found['n']:,})")
    return 0


def predict(asked: argparse.Namespace, tell: Tell) -> int:
    run = Run.open(asked.run)
    source = open_source(_places(asked.data), Reading())
    unread: list[Answer] = []
    answered: list[str] = []  # a row of every piece in which any was answered

    def rows() -> Iterable[Row]:
        for part in run.answers(source):
            unread.extend(answer for answer in part if answer.problem)
            answered.extend(answer.where for answer in part[:1] if not answer.problem or any(not other.problem for other in part))
            yield from (_row(run, answer) for answer in part)

    _write(rows(), asked.out)
    if unread:
        what = "row" if len(unread) == 1 else "rows"
        print(
            f"mapsto: {len(unread):,} {what} could not be read; the first: {unread[0].where}: {' '.join(unread[0].problem.split())}", file=sys.stderr
        )
    return 0 if answered else 2


def embed(asked: argparse.Namespace, tell: Tell) -> int:
    run = Run.open(asked.run)
    source = open_source(_places(asked.data), Reading())
    where = [name for chunk in source.chunks() for name in chunk.where]
    vectors = run.embed(source)
    _write(
        ({"row": name, **{f"d{i}": float(value) for i, value in enumerate(vector)}} for name, vector in zip(where, vectors, strict=True)), asked.out
    )
    return 0


def runs(asked: argparse.Namespace, tell: Tell) -> int:
    folder = Path(asked.folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: expected a folder of runs, found none.\nTrain one: mapsto train DATA")
    lines = [("run", "signature", "status", "best metric on test", "seconds")]
    for run in Run.list(folder):
        slot, scores = next(iter(run.metrics.get("test", {}).items()), ("", {}))
        best = (run.record.get("choice", {}).get("best") or [slot, next(iter(scores), "")])[1]
        found = scores.get(best)
        lines.append(
            (
                run.path.name,
                short(run.record.get("signature_text", ""), 60),
                run.status,
                f"{best} {number(found['value'])} ({number(found['low'])} – {number(found['high'])})" if found else "—",
                str(run.record.get("seconds", "—")),
            )
        )
        if asked.json:
            print(
                json.dumps(
                    {"run": str(run.path), "status": run.status, "signature": run.record.get("signature_text"), "test": run.metrics.get("test")}
                )
            )
    if not asked.json:
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        print(
            "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)
            if len(lines) > 1
            else f"no runs in {folder}"
        )
    return 0


def _places(words: list[str]) -> Any:
    """Paths as given; '-' is a csv on standard input."""
    if words != ["-"]:
        return words[0] if len(words) == 1 else words
    text = sys.stdin.read()
    rows = list(csv.DictReader(io.StringIO(text)))
    if not rows:
        raise DataError("standard input: expected a csv with a header and rows, found none.")
    return rows


def _row(run: Run, answer: Answer) -> Row:
    """One line of output: the row's place, then every output's value, probability and interval."""
    row: Row = {"row": answer.where}
    several = len(run.signature.outputs) > 1
    for slot in run.signature.outputs:
        found = answer.predictions.get(slot.name)
        known = found.to_json() if found else {"value": None}
        kind = run.choice.kinds[slot.name]
        keys = ("value", "probability") if kind != "regression" else ("value", "low", "high")
        for key in keys:
            name = f"{slot.name}.{key}" if several and key != "value" else slot.name if key == "value" else key
            value = known.get(key)
            row[name] = ";".join(map(str, value)) if isinstance(value, (list, tuple)) else value
    row["problem"] = " ".join(answer.problem.split())
    return row


def _write(rows: Iterable[Row], out: str | None) -> None:
    """csv, jsonl or parquet, by the name's ending."""
    if out is None:
        _write_csv(rows, sys.stdout)
        return
    writers = {".csv": _csv_file, ".jsonl": _jsonl_file, ".parquet": _parquet_file}
    ending = Path(out).suffix.lower()
    if ending not in writers:
        raise ConfigError(f"--out {out}: expected a name ending in .csv, .jsonl or .parquet.")
    try:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise disk_error(Path(out), problem) from None
    write_atomic(Path(out), lambda path: writers[ending](rows, path))


def _write_csv(rows: Iterable[Row], file: IO[str]) -> None:
    table: Any = None
    for row in rows:
        if table is None:
            table = csv.DictWriter(file, list(row), lineterminator="\n")
            table.writeheader()
        table.writerow({name: _safe(value) for name, value in row.items()})


def _safe(value: Any) -> Any:
    """Spreadsheets run cells that begin like formulas; a quote in front keeps them text."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "@", "\t", "\r") else value


def _csv_file(rows: Iterable[Row], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        _write_csv(rows, file)


def _jsonl_file(rows: Iterable[Row], path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _parquet_file(rows: Iterable[Row], path: Path) -> None:
    import tempfile

    import duckdb

    with tempfile.TemporaryDirectory() as folder:
        between = Path(folder) / "rows.jsonl"
        _jsonl_file(rows, between)
        with duckdb.connect() as base:
            rows_of = f"SELECT * FROM read_json_auto('{between}', format='newline_delimited')"
            base.execute(f"COPY ({rows_of}) TO '{str(path).replace(chr(39), chr(39) * 2)}' (FORMAT parquet)")
