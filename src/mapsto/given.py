"""What is handed to a run to be answered: one row or many, of values as they are at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mapsto.config import Reading
from mapsto.data.bare import all_bare, bare, is_column
from mapsto.data.open import open_source
from mapsto.data.resolve import as_asked
from mapsto.data.source import Source
from mapsto.signature import Signature, Slot


def given(data: Any, signature: Signature, types: Mapping[tuple[str, str], Any]) -> tuple[bool, Source]:
    """(was it one row, the rows as a source). Bare values are rows of the only input. A list or array in a dict is a column of rows, but where
    its input reads such a thing as one cell."""
    if isinstance(data, Source):
        return False, data
    slots = {name: slot for slot in signature.inputs for name in (slot.column, slot.name)}

    def one(name: Any, value: Any) -> bool:
        return name in slots and is_cell(value, slots[name], signature, types)

    only = signature.inputs[0].column if len(signature.inputs) == 1 else None
    prose = only is not None and types["input", signature.inputs[0].name].prose
    if isinstance(data, Mapping) and not any(is_column(value) and not one(name, value) for name, value in data.items()):
        return True, open_source([dict(data)], Reading())
    if only is not None and (bare(data, prose) or (isinstance(data, np.ndarray) and one(only, data))):
        return True, open_source([{only: data}], Reading())
    if only is not None and isinstance(data, (list, tuple)) and data and all(is_column(item) and one(only, item) for item in data):
        return False, open_source([{only: item} for item in data], Reading())
    if only is not None and isinstance(data, Sequence) and not isinstance(data, str) and all_bare(data, prose):
        return False, open_source([{only: item} for item in data], Reading())
    return False, as_asked(signature, open_source(data, Reading()))


def is_cell(value: Any, slot: Slot, signature: Signature, types: Mapping[tuple[str, str], Any]) -> bool:
    """Is a list or array one cell of this input, though its like is a column elsewhere: samples of a sound, words that get a tag each?"""
    room = types["input", slot.name]
    if room.modality == "audio":
        return isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "iuf"
    words = room.prose and any(other.type == "tags" for other in signature.outputs)
    return words and all(isinstance(word, str) and not any(map(str.isspace, word)) for word in value)
