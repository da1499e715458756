"""mapsto embed: what the net knows of each row, as numbers."""

from __future__ import annotations

import argparse

from mapsto.commands.base import input_paths, takes_data, takes_run, write_rows
from mapsto.config import Reading
from mapsto.events import Emit

HELP = "what the net knows of each row, as numbers"
EVENTS = False


def arguments(command: argparse.ArgumentParser) -> None:
    takes_run(command)
    takes_data(command)


def do(asked: argparse.Namespace, emit: Emit) -> int:
    from mapsto.data.open import open_source
    from mapsto.run import Run

    run = Run.open(asked.run)
    source = open_source(input_paths(asked.data), Reading(follow_links=asked.follow_links))
    where = [name for chunk in source.chunks() for name in chunk.where]
    vectors = run.embed(source)
    write_rows(
        (
            {"row": name, **{f"d{i}": float(value) for i, value in enumerate(vector)}}
            for name, vector in zip(where, vectors, strict=True)
        ),
        asked.out,
    )
    return 0
