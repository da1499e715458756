"""mapsto resume: go on with a training that was cut off."""

from __future__ import annotations

import argparse

from mapsto.commands.base import takes_run
from mapsto.events import Tell

SAYS = "go on with a training that was cut off"


def arguments(command: argparse.ArgumentParser) -> None:
    takes_run(command)


def do(asked: argparse.Namespace, tell: Tell) -> int:
    from mapsto import api

    api.resume(asked.run, tell=tell)
    return 0
