"""mapsto sample: texts written by a run that learned `-> text`."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from itertools import chain

from mapsto.commands.base import takes_run
from mapsto.config import options_of, setting
from mapsto.events import Emit

HELP = "write texts with a run that learned them"
EVENTS = False  # its output is text

FLAGS = {
    "tokens": "tokens a text has at most (256)",
    "temperature": "sampling temperature: 0 takes the likeliest token, 1 draws as the net believes (0.8)",
    "top-p": "draw only among the likeliest tokens that together have this probability (0.95)",
    "seed": "seed of the draws (0)",
    "stop": "end a text before this; \\n is a line's end",
}


@dataclasses.dataclass(frozen=True)
class _Many:
    n: int = setting(1, "how many texts", above=0, most=100_000)


def arguments(command: argparse.ArgumentParser) -> None:
    takes_run(command)
    command.add_argument("--prompt", default="", help="how each text begins")
    command.add_argument("--n", default="1", help="how many texts (1)")
    for name, says in FLAGS.items():
        command.add_argument(f"--{name}", help=says)


def do(asked: argparse.Namespace, emit: Emit) -> int:
    from mapsto.generation.sampling import Sampling
    from mapsto.run import Run
    from mapsto.run.writing import written

    known = {spot.name for spot in dataclasses.fields(Sampling)}
    how = options_of(
        Sampling,
        {name: value for name, value in vars(asked).items() if name in known and value is not None},
        "sample",
    )
    many = options_of(_Many, {"n": asked.n}, "sample").n
    run = Run.open(asked.run)
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
            sys.stdout.write(added[0])
            sys.stdout.flush()
        print()
    return 0
