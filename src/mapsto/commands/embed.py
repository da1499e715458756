"""mapsto embed: what the net knows of each row, as numbers."""

from __future__ import annotations

import argparse

from mapsto.commands.base import (
    input_paths,
    places,
    spare,
    takes_data,
    takes_run,
    takes_spreadsheet,
    to_answer,
    write_rows,
)
from mapsto.events import Emit

HELP = "what the net knows of each row, as numbers"
EVENTS = False


def arguments(command: argparse.ArgumentParser) -> None:
    takes_run(command)
    takes_data(command)
    takes_spreadsheet(command)


def do(asked: argparse.Namespace, emit: Emit) -> int:
    from mapsto.data.open import open_source
    from mapsto.prediction.table import place

    spare(asked.data, asked.out)
    run = to_answer(asked.run)
    source = open_source(input_paths(asked.data), places(asked))
    where = [name for chunk in source.chunks() for name in chunk.where]
    vectors = run.embed(source)
    write_rows(
        (
            {"row": place(where[number], number), **{f"d{i}": float(value) for i, value in enumerate(vector)}}
            for number, vector in enumerate(vectors)
        ),
        asked.out,
        asked.spreadsheet,
    )
    return 0
