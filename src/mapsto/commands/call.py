"""mapsto call: answers from a server, as mapsto predict gives them from a run."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mapsto.commands.base import (
    Row,
    input_paths,
    places,
    spare,
    takes_data,
    takes_spreadsheet,
    write_rows,
)
from mapsto.errors import ConfigError, RunError
from mapsto.events import Emit

if TYPE_CHECKING:
    from mapsto.serve.client import Client

HELP = "answers from a server"
EVENTS = False  # its output is rows
EXAMPLES = (
    ("mapsto call http://127.0.0.1:8000/NAME new.csv", "a table with an answer for each row"),
    ("mapsto call 127.0.0.1:8000/NAME --text 'to be answered'", "one text"),
)
ROWS = 256  # of a request
SIMPLE = ("value", "set")  # fields whose several values stand behind semicolons


def arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("url", metavar="URL", help="where it is served: http://HOST:PORT/NAME")
    takes_data(command, needed=False)
    command.add_argument(
        "--text", action="append", help="a text to answer or go on with, in place of data; repeatable"
    )
    command.add_argument("--token", metavar="FILE", help="a file with the token that the server wants")
    command.add_argument("--probabilities", action="store_true", help="a column for every class")
    command.add_argument(
        "--missing-ok", action="store_true", help="columns of inputs may lack: their cells count as missing"
    )
    takes_spreadsheet(command)


def do(asked: argparse.Namespace, emit: Emit) -> int:
    from mapsto.serve.client import Client

    spare(asked.data, asked.out)
    if bool(asked.data) == bool(asked.text):
        raise RunError("expected data or --text, one of them.\nKeep one.")
    client = Client(asked.url, _token(asked.token) if asked.token else None)
    if client.description["writes"]:
        return _write(client, asked)
    wants = {"probabilities": asked.probabilities, "missing_ok": asked.missing_ok, "others_ok": True}
    unread: list[Row] = []

    def rows() -> Iterator[Row]:
        for where, answer in _answers(client, asked, wants):
            if answer.get("problem"):
                unread.append({**answer, "row": where})
            yield _flat({**answer, "row": where}, client.description)

    count = _counted(rows(), asked)
    if unread:
        what = "row" if len(unread) == 1 else "rows"
        first = f"{unread[0]['row']}: {' '.join(unread[0]['problem'].split())}"
        print(f"mapsto: {len(unread):,} {what} could not be read; the first: {first}", file=sys.stderr)
    return 0 if count > len(unread) else 2


def _counted(rows: Iterable[Row], asked: argparse.Namespace) -> int:
    counted = 0

    def each() -> Iterator[Row]:
        nonlocal counted
        for row in rows:
            counted += 1
            yield row

    write_rows(each(), asked.out, asked.spreadsheet)
    return counted


def _write(client: Client, asked: argparse.Namespace) -> int:
    """Texts that go on, as they are written."""
    if not asked.text:
        raise RunError(f"{asked.url}: writes texts.\nGive a beginning: --text 'Once upon'")
    for text in asked.text:
        talks = client.description["writes"] == "talk"
        for piece in client.write([{"role": "user", "content": text}] if talks else text):
            print(piece, end="", flush=True)
        print()
    return 0


def _answers(
    client: Client, asked: argparse.Namespace, wants: Mapping[str, bool]
) -> Iterator[tuple[str, Row]]:
    """(what a table calls the row, the answer), some rows at a time."""
    from mapsto.cells import Blob, plain
    from mapsto.commands.predict import opened
    from mapsto.prediction.table import place

    names = [one["name"] for one in client.description["inputs"]]
    if asked.text:
        if len(names) != 1:
            raise RunError(
                f"--text answers texts alone, this has the fields {', '.join(names)}.\nGive a file."
            )
        for i, answer in enumerate(client.predict([{names[0]: text} for text in asked.text], **wants)):
            yield f"row {i}", answer
        return
    source, bad = opened(input_paths(asked.data), places(asked))
    for problem in bad:
        print(f"mapsto: left out: {' '.join(str(problem).split())}", file=sys.stderr)
    number = 0
    for chunk in source.lines().chunks(ROWS):
        columns = dict(chunk.columns)
        if len(columns) == len(names) == 1:
            columns = {names[0]: next(iter(columns.values()))}
        sent = [
            {
                name: cell.read() if isinstance(cell, Blob) else plain(cell)
                for name, cell in zip(columns, row, strict=True)
            }
            for row in zip(*columns.values(), strict=True)
        ]
        for where, answer in zip(chunk.where, client.predict(sent, **wants), strict=True):
            yield place(where, number), answer
            number += 1
        for line in chunk.bad:
            yield line.where, {"problem": line.why}


def _flat(answer: Row, description: Mapping[str, Any]) -> Row:
    """An answer as a table holds it."""
    fields = {column: field for one in description["outputs"] for field, column in one["columns"].items()}
    names = dict.fromkeys([*(name for name in answer), *description["columns"]])
    return {name: _cell(answer.get(name), fields.get(name, "")) for name in names}


def _cell(value: Any, field: str) -> Any:
    if not isinstance(value, (list, dict)):
        return value
    simple = field in SIMPLE and not any(isinstance(item, (list, dict)) for item in value)
    return ";".join(map(str, value)) if simple else json.dumps(value, ensure_ascii=False)


def _token(name: str) -> str:
    try:
        return Path(name).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigError(
            f"--token {name}: cannot be read ({problem}).\nName a file with the token."
        ) from None
