"""mapsto resume: go on with a training that was cut off."""

from __future__ import annotations

import argparse

from mapsto.commands.base import takes_run
from mapsto.events import Emit

HELP = "go on with a training that was cut off"


def arguments(command: argparse.ArgumentParser) -> None:
    takes_run(command)


def do(asked: argparse.Namespace, emit: Emit) -> int:
    from mapsto import api

    api.resume(asked.run, emit=emit)
    return 0
