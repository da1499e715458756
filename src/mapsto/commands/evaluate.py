"""mapsto evaluate: measure a run on data with answers."""

from __future__ import annotations

import argparse
import json
import sys

from mapsto.commands.base import searched, takes_run, takes_search, to_answer
from mapsto.events import Emit

HELP = "measure a run on data with answers"


def arguments(command: argparse.ArgumentParser) -> None:
    takes_run(command)
    command.add_argument("data", metavar="DATA", help="rows with answers")
    takes_search(command)


def do(asked: argparse.Namespace, emit: Emit) -> int:
    from mapsto.terminal.words import number

    scores = searched(to_answer(asked.run), asked).evaluate(
        asked.data, lambda event: print(f"mapsto: {event['text']}", file=sys.stderr)
    )
    if asked.json:
        print(json.dumps(scores))
        return 0
    for slot, metrics in scores.items():
        for name, found in metrics.items():
            print(
                f"{slot}  {name}  {number(found['value'])}  ({number(found['low'])} –"
                f" {number(found['high'])}, n {found['n']:,})"
            )
    return 0
