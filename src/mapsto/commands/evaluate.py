"""mapsto evaluate: measure a run on data with answers."""

from __future__ import annotations

import argparse
import json
import sys

from mapsto.commands.base import searched, takes_links, takes_run, takes_search
from mapsto.config import Reading
from mapsto.events import Emit

HELP = "measure a run on data with answers"


def arguments(command: argparse.ArgumentParser) -> None:
    takes_run(command)
    command.add_argument("data", metavar="DATA", help="rows with answers")
    takes_links(command)
    takes_search(command)


def do(asked: argparse.Namespace, emit: Emit) -> int:
    from mapsto.data.open import open_source
    from mapsto.data.resolve import as_asked
    from mapsto.run import Run
    from mapsto.terminal.words import number

    run = searched(Run.open(asked.run), asked)
    data = open_source(asked.data, Reading(follow_links=asked.follow_links))
    scores = run.evaluate(
        as_asked(run.signature, data), lambda event: print(f"mapsto: {event['text']}", file=sys.stderr)
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
