"""mapsto predict: answers for new rows."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mapsto.commands.base import Row, input_paths, searched, takes_data, takes_run, takes_search, write_rows
from mapsto.config import Reading
from mapsto.errors import DataError, RunError
from mapsto.events import Emit

if TYPE_CHECKING:
    from mapsto.prediction import Answer
    from mapsto.run import Run
    from mapsto.source import Source

HELP = "answers for new rows"
EVENTS = False  # its output is rows
BOOKS = ("row", "unsure", "problem")  # columns that are no answers


def arguments(command: argparse.ArgumentParser) -> None:
    takes_run(command)
    takes_data(command, needed=False)
    command.add_argument(
        "--text", action="append", help="a text to answer, in place of data; may be given several times"
    )
    takes_search(command)


def do(asked: argparse.Namespace, emit: Emit) -> int:
    from mapsto.data.open import open_source
    from mapsto.run import Run

    run = searched(Run.open(asked.run), asked)
    if asked.data and asked.text:
        raise RunError("expected data or --text, got both.\nKeep one of them.")
    if asked.data:
        source, bad = opened(input_paths(asked.data), Reading(follow_links=asked.follow_links))
    else:
        source, bad = open_source(_rows(run, asked.text or []), Reading()), []
    for problem in bad:
        print(f"mapsto: left out: {' '.join(str(problem).split())}", file=sys.stderr)
    fields = run.fields
    named = columns(fields)
    if any(named[name, "value"] != name for name in fields):
        print(
            "mapsto: an output is called like another column, so answers stand in:"
            f" {', '.join(named.values())}",
            file=sys.stderr,
        )
    unread: list[Answer] = []
    answered: list[str] = []  # a row of every piece in which any was answered

    def rows() -> Iterable[Row]:
        for part in run.answers(source):
            unread.extend(answer for answer in part if answer.problem)
            answered.extend(
                answer.where
                for answer in part[:1]
                if not answer.problem or any(not other.problem for other in part)
            )
            yield from (_cells(named, answer.to_json(named)) for answer in part)

    write_rows(rows(), asked.out)
    if unread:
        what = "row" if len(unread) == 1 else "rows"
        print(
            f"mapsto: {len(unread):,} {what} could not be read; the first: {unread[0].where}:"
            f" {' '.join(unread[0].problem.split())}",
            file=sys.stderr,
        )
    return 0 if answered else 2


def opened(data: Any, reading: Reading) -> tuple[Source, list[DataError]]:
    """The rows of paths; of several, those that cannot be opened are left out, and why. DataError: none
    can."""
    from mapsto.data.open import open_source

    try:
        return open_source(data, reading), []
    except DataError:
        if not isinstance(data, list) or not all(isinstance(each, str) for each in data):
            raise
    good, bad = [], []
    for each in data:
        try:
            open_source(each, reading)
            good.append(each)
        except DataError as problem:
            bad.append(problem)
    if not good or not bad:
        return open_source(data, reading), []
    return open_source(good if len(good) > 1 else good[0], reading), bad


def _rows(run: Run, texts: list[str]) -> list[dict[str, str]]:
    """Texts as cells of the only input."""
    run._refuse_nothing()  # what has no inputs is no matter of files
    if not texts:
        raise RunError("expected rows to answer, got none.\nGive files, or a text: --text 'to be answered'.")
    if len(run.signature.inputs) != 1:
        raise RunError(
            f"--text answers texts alone, this run learned {run.signature}.\nGive its rows in a file."
        )
    return [{run.signature.inputs[0].column: text} for text in texts]


def columns(outputs: Mapping[str, Sequence[str]]) -> dict[tuple[str, str], str]:
    """{(output, field): column} of the table's answers, of {output: its fields, "value" first}. The one place
    that names them.

    A value stands under its output's name; the other fields under their own where there is one output, else
    under OUTPUT.FIELD. Where two names were equal, every one is OUTPUT.FIELD: outputs differ, and no field
    has a dot, so no two of these can be equal, nor one of BOOKS. Case does not count, as a parquet file tells
    no names apart by it."""
    spots = [(name, field) for name, fields in outputs.items() for field in fields]
    several = len(outputs) > 1
    short = {
        (name, field): name if field == "value" else f"{name}.{field}" if several else field
        for name, field in spots
    }
    named = (
        short
        if _differ([*BOOKS, *short.values()])
        else {(name, field): f"{name}.{field}" for name, field in spots}
    )
    assert len({*BOOKS, *named.values()}) == len(BOOKS) + len(spots), "a column is written once"
    return named


def _differ(names: Sequence[str]) -> bool:
    return len({name.casefold() for name in names}) == len(names)


def _cells(named: Mapping[tuple[str, str], str], row: Row) -> Row:
    """A row as a table holds it, with no list in it: labels stand behind semicolons, what else is several as
    JSON."""
    from mapsto.prediction import FIELDS

    found = dict(row)
    for (_, field), column in named.items():
        value = row[column]
        if isinstance(value, (list, tuple, dict)):
            flat = field in FIELDS and not any(isinstance(item, (list, tuple, dict)) for item in value)
            found[column] = ";".join(map(str, value)) if flat else json.dumps(value, ensure_ascii=False)
    return found
