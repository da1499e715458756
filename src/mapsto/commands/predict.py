"""mapsto predict: answers for new rows."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from mapsto.commands.base import Row, places, searched, takes_data, takes_run, takes_search, write_rows
from mapsto.config import Reading
from mapsto.errors import RunError
from mapsto.events import Tell

if TYPE_CHECKING:
    from mapsto.prediction import Answer
    from mapsto.run import Run

SAYS = "answers for new rows"
EVENTS = False  # its output is rows


def arguments(command: argparse.ArgumentParser) -> None:
    takes_run(command)
    takes_data(command, needed=False)
    command.add_argument("--text", action="append", help="a text to answer, in place of data; may be given several times")
    takes_search(command)


def do(asked: argparse.Namespace, tell: Tell) -> int:
    from mapsto.data.open import open_source
    from mapsto.run import Run

    run = searched(Run.open(asked.run), asked)
    if asked.data and asked.text:
        raise RunError("expected data or --text, got both.\nKeep one of them.")
    source = open_source(places(asked.data) if asked.data else _rows(run, asked.text or []), Reading())
    unread: list[Answer] = []
    answered: list[str] = []  # a row of every piece in which any was answered

    def rows() -> Iterable[Row]:
        for part in run.answers(source):
            unread.extend(answer for answer in part if answer.problem)
            answered.extend(answer.where for answer in part[:1] if not answer.problem or any(not other.problem for other in part))
            yield from (_row(run, answer) for answer in part)

    write_rows(rows(), asked.out)
    if unread:
        what = "row" if len(unread) == 1 else "rows"
        print(
            f"mapsto: {len(unread):,} {what} could not be read; the first: {unread[0].where}: {' '.join(unread[0].problem.split())}", file=sys.stderr
        )
    return 0 if answered else 2


def _rows(run: Run, texts: list[str]) -> list[dict[str, str]]:
    """Texts as cells of the only input."""
    run._refuse_nothing()  # what has no inputs is no matter of files
    if not texts:
        raise RunError("expected rows to answer, got none.\nGive files, or a text: --text 'to be answered'.")
    if len(run.signature.inputs) != 1:
        raise RunError(f"--text answers texts alone, this run learned {run.signature}.\nGive its rows in a file.")
    return [{run.signature.inputs[0].column: text} for text in texts]


def _row(run: Run, answer: Answer) -> Row:
    """One line of output: the row's place; every output's value with its probability and set, or its interval; whether the row is far from
    the training rows; why it could not be read."""
    row: Row = {"row": answer.where}
    several = len(run.signature.outputs) > 1
    for slot in run.signature.outputs:
        found = answer.predictions.get(slot.name)
        known = found.to_json() if found else {"value": None}
        kind = run.choice.kinds[slot.name]
        keys = ("value", "probability", "set") if kind != "regression" else ("value", "low", "high")
        for key in keys:
            name = f"{slot.name}.{key}" if several and key != "value" else slot.name if key == "value" else key
            value = known.get(key)
            row[name] = ";".join(map(str, value)) if isinstance(value, (list, tuple)) else value
        for key in run.types["output", slot.name].beside:
            more = found.detail.get(key) if found else None
            row[f"{slot.name}.{key}" if several else key] = json.dumps(more, ensure_ascii=False) if isinstance(more, (list, dict)) else more
    row["unsure"] = next((found.unsure for found in answer.predictions.values()), None)
    row["problem"] = " ".join(answer.problem.split())
    return row
