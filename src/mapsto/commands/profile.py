"""mapsto profile: where the time of a run's steps goes."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from mapsto.commands.base import takes_run
from mapsto.errors import ConfigError
from mapsto.events import Emit

HELP = "watch some steps of a run: a trace, and a page that says where the time goes; the run stays as it is"


def arguments(command: argparse.ArgumentParser) -> None:
    takes_run(command)
    command.add_argument("--steps", default="20", help="steps to watch (20)")
    command.add_argument("--out", help="where trace.json and profile.md go (RUN/profile)")


def do(asked: argparse.Namespace, emit: Emit) -> int:
    from mapsto.steps.profiling import profiled

    if not asked.steps.isdigit() or not int(asked.steps):
        raise ConfigError(f"--steps: expected a whole number more than 0, got '{asked.steps}'.")
    folder = Path(asked.out) if asked.out else Path(asked.run) / "profile"
    if folder.is_file():
        raise ConfigError(f"--out {folder}: expected a folder, this is a file.\nName another.")
    found = profiled(asked.run, int(asked.steps), folder, emit)
    print(json.dumps(asdict(found)) if asked.json else f"{found.text()}\n{folder / 'profile.md'}")
    return 0
