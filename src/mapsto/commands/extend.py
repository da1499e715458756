"""mapsto extend: learn on, with new data too."""

from __future__ import annotations

import argparse
import dataclasses

from mapsto.commands.base import settings, takes_places, takes_run
from mapsto.config import Budget
from mapsto.events import Emit

HELP = "learn on, with new data too"


def arguments(command: argparse.ArgumentParser) -> None:
    takes_run(command)
    command.add_argument("--data", help="new rows, learned together with those it has")
    takes_places(command)
    settings(command, Budget)


def do(asked: argparse.Namespace, emit: Emit) -> int:
    from mapsto import api

    budget = {
        spot.name: getattr(asked, spot.name)
        for spot in dataclasses.fields(Budget)
        if getattr(asked, spot.name) is not None
    }
    api.extend(asked.run, asked.data, emit=emit, **budget, follow_links=asked.follow_links, root=asked.root)
    return 0
