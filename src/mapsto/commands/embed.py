"""mapsto embed: what the net knows of each row, as numbers."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mapsto.commands.base import (
    folder_made,
    input_paths,
    places,
    spare,
    takes_data,
    takes_run,
    takes_spreadsheet,
    to_answer,
    write_rows,
)
from mapsto.errors import ConfigError
from mapsto.events import Emit
from mapsto.files import write_atomic

if TYPE_CHECKING:
    import numpy as np

HELP = "what the net knows of each row, as numbers"
EVENTS = False


def arguments(command: argparse.ArgumentParser) -> None:
    takes_run(command)
    takes_data(command, more=", .npy")
    takes_spreadsheet(command)


def do(asked: argparse.Namespace, emit: Emit) -> int:
    from mapsto.data.open import open_source
    from mapsto.prediction.table import place

    spare(asked.data, asked.out)
    run = to_answer(asked.run)
    source = open_source(input_paths(asked.data), places(asked))
    if Path(asked.out or "").suffix.lower() == ".npy":
        _write_array(run.embed(source), Path(asked.out), asked.spreadsheet)
        return 0
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


def _write_array(vectors: np.ndarray, out: Path, spreadsheet: bool) -> None:
    """numpy's own file, in the order of the rows; what it holds goes to standard error, as notes do."""
    import numpy as np

    if spreadsheet:
        raise ConfigError(f"--spreadsheet guards csv, {out} is none.\nLeave it out, or write to a .csv.")

    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.save(file, vectors)

    write_atomic(folder_made(out), write)
    rows, width = vectors.shape
    print(f"{out}: {rows:,} rows of {width:,} numbers, {vectors.dtype}", file=sys.stderr)
