"""mapsto report: draw a run's page and model card again."""

from __future__ import annotations

import argparse
import json

from mapsto.commands.base import settings, takes_run
from mapsto.config import Report
from mapsto.events import Emit

HELP = "draw a run's page and model card again"


def arguments(command: argparse.ArgumentParser) -> None:
    takes_run(command)
    settings(command, Report)


def do(asked: argparse.Namespace, emit: Emit) -> int:
    from mapsto import api

    page = str(api.report(asked.run, not asked.no_samples, emit, asked.positive))
    print(json.dumps({"report": page}) if asked.json else page)
    return 0
