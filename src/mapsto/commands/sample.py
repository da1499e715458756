"""mapsto sample: what a run without inputs makes from nothing. Texts go to the terminal as they are
written, other values to files."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mapsto.commands.base import run_or_export, takes_run
from mapsto.config import options_of, setting
from mapsto.errors import ConfigError
from mapsto.events import Emit
from mapsto.terminal.words import say, shown

if TYPE_CHECKING:
    from mapsto.run import Run

HELP = "write texts, or make what else a run learned to make from nothing"
EVENTS = False  # its output is text

FLAGS = {
    "tokens": "tokens a text has at most (256)",
    "temperature": "sampling temperature: 0 takes the likeliest token, 1 draws as the net believes (0.8)",
    "top-p": "draw only among the likeliest tokens that together have this probability (0.95)",
    "seed": "seed of the draws (0)",
    "stop": "end a text before this; \\n is a line's end",
}


OPTIONS = tuple(name.replace("-", "_") for name in FLAGS)


@dataclasses.dataclass(frozen=True)
class _Many:
    n: int = setting(1, "how many texts", above=0, most=100_000)


def arguments(command: argparse.ArgumentParser) -> None:
    takes_run(command)
    command.add_argument("--prompt", default="", help="how each text begins")
    command.add_argument("--n", default="1", help="how many texts (1)")
    for name, says in FLAGS.items():
        command.add_argument(f"--{name}", help=says)
    command.add_argument(
        "--out", help="a file, or of several a folder, for what is no text (sample-1.png, …)"
    )


def do(asked: argparse.Namespace, emit: Emit) -> int:
    from mapsto.generation.sampling import Sampling
    from mapsto.lite.writing import written

    given = {name: value for name in OPTIONS if (value := getattr(asked, name)) is not None}
    many = options_of(_Many, {"n": asked.n}, "sample").n
    run = run_or_export(asked.run)
    if run.samples and not _is_written(run):
        return _made(run, many, {name: value for name, value in given.items() if name != "n"}, asked.out)
    if asked.out:
        raise ConfigError("--out: texts go to standard output.\nLeave it out, or write: … > FILE")
    how = options_of(Sampling, given, "sample")
    for number in range(many):
        pieces, beyond = written(run, asked.prompt, [number], how)
        first = next(pieces, [""])  # a prompt that cannot be read is refused before anything is printed
        if beyond and number == 0:
            print(
                f"mapsto: the prompt is {beyond:,} tokens longer than the net reads at once: its end counts",
                file=sys.stderr,
            )
        if many > 1:
            print(f"--- {number + 1} ---")
        print(asked.prompt, end="", flush=True)
        for added in chain([first], pieces):
            sys.stdout.write(shown(added[0]))
            sys.stdout.flush()
        print()
    return 0


def _is_written(run: Run) -> bool:
    """Is what it makes a text that comes token by token?"""
    from mapsto.generation.sampling import Sampling

    return issubclass(run.learner.Sampling, Sampling)


def _made(run: Run, many: int, how: Mapping[str, Any], out: str | None) -> int:
    """Values as files, or in the terminal where they are texts."""
    slots = [slot.name for slot in run.signature.outputs]
    for number, made in enumerate(run.sample(many, **how), 1):
        for name, value in (made if len(slots) > 1 else {slots[0]: made}).items():
            column_type = run.types["output", name]
            if column_type.suffix == ".txt" and out is None:
                say(column_type.show(value))
                continue
            stem = f"{name}-{number}" if len(slots) > 1 else f"sample-{number}"
            path = Path(out or ".") / f"{stem}{column_type.suffix}"
            if out and many == 1 and len(slots) == 1 and Path(out).suffix == column_type.suffix:
                path = Path(out)
            path.parent.mkdir(parents=True, exist_ok=True)
            column_type.write(value, path)
            print(path)
    return 0
