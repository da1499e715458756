"""What is handed to a run to be answered: one row or many, of values as they are at hand."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mapsto.config import Reading
from mapsto.data.media import by_suffix
from mapsto.data.open import open_source
from mapsto.data.resolve import as_asked
from mapsto.signature import Signature, Slot
from mapsto.source import Source


def to_source(data: Any, signature: Signature, types: Mapping[tuple[str, str], Any]) -> tuple[bool, Source]:
    """(was it one row, the rows as a source). Bare values are rows of the only input. A list or array in a
    dict is a column of rows, but where its input reads such a thing as one cell."""
    if isinstance(data, Source):
        return False, data
    slots = {name: slot for slot in signature.inputs for name in (slot.column, slot.name)}

    def one(name: Any, value: Any) -> bool:
        return name in slots and is_cell(value, slots[name], signature, types)

    only = signature.inputs[0].column if len(signature.inputs) == 1 else None
    prose = only is not None and types["input", signature.inputs[0].name].prose
    if isinstance(data, Mapping) and not any(
        is_column(value) and not one(name, value) for name, value in data.items()
    ):
        return True, open_source([dict(data)], Reading())
    if only is not None and (bare(data, prose) or (isinstance(data, np.ndarray) and one(only, data))):
        return True, open_source([{only: data}], Reading())
    if (
        only is not None
        and isinstance(data, (list, tuple))
        and data
        and all(is_column(item) and one(only, item) for item in data)
    ):
        return False, open_source([{only: item} for item in data], Reading())
    if (
        only is not None
        and isinstance(data, Sequence)
        and not isinstance(data, str)
        and all_bare(data, prose)
    ):
        return False, open_source([{only: item} for item in data], Reading())
    return False, as_asked(signature, open_source(data, Reading()))


def is_cell(value: Any, slot: Slot, signature: Signature, types: Mapping[tuple[str, str], Any]) -> bool:
    """Is a list or array one cell of this input, though its like is a column elsewhere: samples of a sound,
    words that get a tag each?"""
    column_type = types["input", slot.name]
    if column_type.is_cell(value, signature):
        return True
    answers = (types["output", other.name] for other in signature.outputs)
    return column_type.prose and any(answer.is_cell(value, signature) for answer in answers)


def bare(item: Any, prose: bool) -> bool:
    """A value that is a cell rather than rows: a picture or a sound, its path, an array of two or three
    sides, samples with their rate; where cells are prose, every text that is no existing file and does not
    end like one."""
    if prose and isinstance(item, str):
        return not _names_file(item)
    if isinstance(item, (str, Path)):
        return by_suffix(Path(item).name) is not None and not Path(item).is_dir()
    if isinstance(item, np.ndarray):
        return item.ndim in (2, 3)
    return (
        isinstance(item, (bytes, int, float)) or _is_sound(item) or type(item).__module__.startswith("PIL.")
    )


def is_column(value: Any) -> bool:
    """Cells of many rows rather than one: a list, tuple or array of one side."""
    return isinstance(value, (list, tuple, np.ndarray)) and not _is_sound(value) and len(np.shape(value)) == 1


def _is_sound(item: Any) -> bool:
    """(samples, rate)."""
    return (
        isinstance(item, tuple)
        and len(item) == 2
        and isinstance(item[0], np.ndarray)
        and isinstance(item[1], (int, float))
    )


def all_bare(items: Sequence[Any], prose: bool) -> bool:
    """Several cells. One text among many may happen to be called like a file; where all are, they are
    files."""
    if prose and all(item is None or isinstance(item, str) for item in items):
        return not all(item is not None and _names_file(item) for item in items)
    return bool(items) and all(bare(item, prose) for item in items)


def _names_file(text: str) -> bool:
    if re.fullmatch(
        r"\S+\.(csv|tsv|jsonl|ndjson|json|parquet|conll|conllu|zip|tar|tgz|gz)", text.strip(), re.IGNORECASE
    ):
        return True  # with a slip in it, it is still no text to be judged
    try:
        return bool(text.strip()) and Path(text).expanduser().exists()
    except (OSError, ValueError, RuntimeError):  # too long for a name, a NUL in it, nobody's home
        return False
