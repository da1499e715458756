"""mapsto evaluate: measure a run on data with answers."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

from mapsto.commands.base import places, searched, takes_places, takes_run, takes_search, to_answer
from mapsto.events import Emit

HELP = "measure a run on data with answers"


def arguments(command: argparse.ArgumentParser) -> None:
    takes_run(command)
    command.add_argument("data", metavar="DATA", help="rows with answers")
    takes_places(command)
    takes_search(command)


def do(asked: argparse.Namespace, emit: Emit) -> int:
    from mapsto.data.open import open_source
    from mapsto.data.resolve import as_asked
    from mapsto.terminal.words import number

    run = searched(to_answer(asked.run), asked)
    data = open_source(asked.data, places(asked))
    scores = run.evaluate(
        as_asked(run.signature, data), lambda event: print(f"mapsto: {event['text']}", file=sys.stderr)
    )
    if asked.json:
        print(json.dumps(scores))
        return 0
    shown = [(f"{slot}  {name}", found) for slot, of in scores.items() for name, found in of.items()]
    for name, found in shown:
        print(_line(name, found, number))
    new = [(name, found["new"]) for name, found in shown if found.get("new")]
    if new:
        print(f"on the {new[0][1]['n']:,} rows that it has not learned from:")
    for name, found in new:
        print(_line(name, found, number))
    return 0


def _line(name: str, found: Mapping[str, Any], number: Callable[[float | None], str]) -> str:
    between = f"{number(found['low'])} – {number(found['high'])}"
    return f"{name}  {number(found['value'])}  ({between}, n {found['n']:,})"
