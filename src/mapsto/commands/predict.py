"""mapsto predict: answers for new rows."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mapsto.commands.base import (
    Row,
    flags,
    input_paths,
    parted,
    places,
    run_or_export,
    searched,
    spare,
    takes_data,
    takes_run,
    takes_search,
    takes_spreadsheet,
    write_rows,
)
from mapsto.config import Reading
from mapsto.errors import DataError, RunError
from mapsto.events import Emit

if TYPE_CHECKING:
    from mapsto.prediction import Answer, Wanted
    from mapsto.prediction.table import Table
    from mapsto.run import Run
    from mapsto.source import Source

HELP = "answers for new rows"
EVENTS = False  # its output is rows
COMMON = flags("text keep only probabilities missing-ok out")
EXAMPLES = (
    ("mapsto predict RUN new.csv --out answers.csv", "a table with an answer for each row"),
    ("mapsto predict RUN new.csv --keep id --probabilities", "beside a column of the data, each class"),
    ("mapsto predict RUN --text 'to be answered'", "one text"),
)


def arguments(command: argparse.ArgumentParser) -> None:
    takes_run(command)
    takes_data(command, needed=False)
    command.add_argument(
        "--text", action="append", help="a text to answer, in place of data; may be given several times"
    )
    command.add_argument(
        "--keep",
        metavar="COLUMNS",
        help="columns of the data that go with the answers, with commas between them, or all",
    )
    command.add_argument(
        "--only",
        metavar="FIELDS",
        help="what is written of each answer, with commas: value, probability, set, low, row, … or columns",
    )
    command.add_argument(
        "--probabilities",
        action="store_true",
        help="a column for every class, TARGET.CLASS: how likely it is",
    )
    command.add_argument(
        "--missing-ok", action="store_true", help="columns of inputs may lack: their cells count as missing"
    )
    takes_spreadsheet(command)
    takes_search(command)


def do(asked: argparse.Namespace, emit: Emit) -> int:
    from mapsto.data.open import open_source

    spare(asked.data, asked.out)
    run = searched(run_or_export(asked.run), asked)
    if asked.data and asked.text:
        raise RunError("expected data or --text, got both.\nKeep one of them.")
    if asked.data:
        source, bad = opened(input_paths(asked.data), places(asked))
    else:
        source, bad = open_source(_rows(run, asked.text or []), Reading()), []
    for problem in bad:
        print(f"mapsto: left out: {' '.join(str(problem).split())}", file=sys.stderr)
    table, wanted = _asked(run, source, asked)
    if any(table.answers.get((name, "value"), name) != name for name in run.fields):
        print(
            "mapsto: an output is called like another column, so answers stand in:"
            f" {', '.join(table.answers.values())}",
            file=sys.stderr,
        )
    unread: list[Answer] = []
    answered: list[str] = []  # a row of every piece in which any was answered

    def rows() -> Iterable[Row]:
        number = 0
        for part in run.answers(source, wanted=wanted):
            unread.extend(answer for answer in part if answer.problem)
            answered.extend(
                answer.where
                for answer in part[:1]
                if not answer.problem or any(not other.problem for other in part)
            )
            for answer in part:
                yield table.flat(table.row(answer, number))
                number += answer.counted

    write_rows(rows(), asked.out, asked.spreadsheet)
    if unread:
        what = "row" if len(unread) == 1 else "rows"
        print(
            f"mapsto: {len(unread):,} {what} could not be read; the first: {unread[0].where}:"
            f" {' '.join(unread[0].problem.split())}",
            file=sys.stderr,
        )
    return 0 if answered else 2


def _asked(run: Run, source: Source, asked: argparse.Namespace) -> tuple[Table, Wanted]:
    """The columns that are written, and what is asked of answers for them."""
    from mapsto.lite.rows import classes_of, kept_columns
    from mapsto.prediction import Wanted
    from mapsto.prediction.table import Table

    names = parted(asked.keep)
    keep = kept_columns(source.lines(), "all" if names == ["all"] else names)
    classes = classes_of(run) if asked.probabilities else {}
    table = Table.of(run.fields, classes, keep, parted(asked.only))
    return table, Wanted(keep, asked.probabilities, asked.missing_ok)


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
    if not run.signature.inputs:  # which is no matter of files
        run.refuse_nothing()
    if not texts:
        raise RunError("expected rows to answer, got none.\nGive files, or a text: --text 'to be answered'.")
    if len(run.signature.inputs) != 1:
        raise RunError(
            f"--text answers texts alone, this run learned {run.signature}.\nGive its rows in a file."
        )
    return [{run.signature.inputs[0].column: text} for text in texts]
