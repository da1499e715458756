"""mapsto reproduce: execute a run's record again and compare."""

from __future__ import annotations

import argparse

from mapsto.commands.base import takes_run
from mapsto.events import Emit

HELP = "execute a run's record again and compare"


def arguments(command: argparse.ArgumentParser) -> None:
    takes_run(command)


def do(asked: argparse.Namespace, emit: Emit) -> int:
    from mapsto import api

    _, equal = api.reproduce(asked.run, emit=emit)
    return 0 if equal else 1
