"""mapsto score: how probable texts are to a run that learned `-> text`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mapsto.commands.base import Row, spare, takes_run, takes_spreadsheet, to_answer, write_rows
from mapsto.errors import CellError, ConfigError
from mapsto.events import Emit

if TYPE_CHECKING:
    from mapsto.run import Run

HELP = "how probable texts are to a run that learned them"
EVENTS = False  # its output is rows


def arguments(command: argparse.ArgumentParser) -> None:
    takes_run(command)
    command.add_argument(
        "files",
        metavar="FILE",
        nargs="*",
        help="texts, or tables with a text a row; - or nothing: one text on standard input",
    )
    command.add_argument("--text", action="append", help="a text itself (several: give it again)")
    command.add_argument(
        "--out", help="where to write: .csv, .jsonl or .parquet; default: csv on standard output"
    )
    takes_spreadsheet(command)


def do(asked: argparse.Namespace, emit: Emit) -> int:

    if asked.text and asked.files:
        raise ConfigError("expected files or --text, got both.\nGive one of them.")
    spare(asked.files or (), asked.out)
    run = to_answer(asked.run)
    counted = unread = 0

    def rows() -> Iterator[Row]:
        nonlocal counted, unread
        for name, found in _scores(run, asked):
            counted, unread = (
                counted + (not isinstance(found, CellError)),
                unread + isinstance(found, CellError),
            )
            if isinstance(found, CellError):
                print(f"mapsto: {name}: {' '.join(str(found).split())}", file=sys.stderr)
            else:
                if found["unknown"]:
                    print(
                        f"mapsto: {name}: {found['unknown']:,} letters are not among those it learned: they"
                        " are not counted",
                        file=sys.stderr,
                    )
                yield {"text": name, **found}

    write_rows(rows(), asked.out, asked.spreadsheet)
    return 0 if counted or not unread else 2


def _scores(run: Run, asked: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any] | CellError]]:
    """Of texts given as they are, of what comes on standard input, or of files."""
    from mapsto.run.writing import scores

    if asked.text or asked.files in ([], ["-"]):
        return scores(run, asked.text or [sys.stdin.buffer.read().decode("utf-8", "replace")])
    return run.score(asked.files if len(asked.files) > 1 else asked.files[0])
