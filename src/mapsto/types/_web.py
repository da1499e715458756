"""Cells as a request over the web holds them (`mapsto.serve`): what `DataType`'s methods of that name do
where a type brings nothing of its own.

A cell comes as JSON's value or as an uploaded file's bytes. Cells that are files are bytes, in JSON as
base64: a text is never taken for a path, whoever sends it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from mapsto.cells import Blob, bytes_of, decoded, is_missing, plain, shorten
from mapsto.errors import CellError

CHOICES = 200  # that are listed; of more, any text is taken


def field_of(column_type: Any, names: bool) -> dict[str, Any]:
    """What a page asks with: "kind", a file of `page/fields`, and what that needs."""
    if column_type.web_kind:
        return {"kind": column_type.web_kind, "accept": sorted(column_type.suffixes)}
    if column_type.prose:
        return {"kind": "text"}
    if names and 0 < len(column_type.classes) <= CHOICES:
        return {"kind": "choice", "choices": list(column_type.answers)}
    return {"kind": "value"}


def schema_of(column_type: Any, field: Mapping[str, Any]) -> dict[str, Any]:
    """JSON schema of one cell. What a run did not see in training is answered too, so that choices and ranges
    are examples and no limits."""
    if column_type.suffixes:
        said = f"base64 of one of: {column_type.file_words}" if column_type.file_words else "base64 of a file"
        return {"type": ["string", "null"], "contentEncoding": "base64", "description": said}
    if column_type.prose:
        return {"type": ["string", "null"], "description": "a text"}
    if choices := field.get("choices"):
        told = ", ".join(map(str, choices[:20])) + (", …" if len(choices) > 20 else "")
        return {"description": f"one of: {told}", "examples": choices[:3]}
    said = f"a {field['kind']}" if field["kind"] != "value" else f"a {type(column_type).__name__.lower()}"
    if "low" in field:
        said += f", in training {field['low']} to {field['high']}"
        return {"type": ["number", "string", "null"], "description": said, "examples": [field["middle"]]}
    return {"description": said}


def cell_of(column_type: Any, cell: Any) -> Any:
    """A request's cell as `read` takes it. CellError: a file's cell that is no file."""
    if not column_type.suffixes:
        return _text_of(cell) if isinstance(cell, (bytes, bytearray)) else cell
    if isinstance(cell, (bytes, bytearray)):
        if not cell:
            raise CellError("expected a file, got an empty one.\nSend it again; a cell that lacks is null.")
        return bytes(cell)
    if is_missing(cell) and not isinstance(cell, (list, Mapping)):
        return None
    if not isinstance(cell, str):
        raise CellError(
            f"expected a file as base64, got {type(cell).__name__} {shorten(cell)}.\nSend the file itself"
            " (multipart), or its base64."
        )
    text = cell.partition(",")[2] if cell.startswith("data:") else cell
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise CellError(
            f"expected a file as base64, got {shorten(cell)}.\nSend the file itself (multipart), or its"
            " base64; paths are not read here."
        ) from None


def _text_of(data: bytes | bytearray) -> str:
    try:
        return bytes(data).decode("utf-8")
    except UnicodeDecodeError as problem:
        raise CellError(f"expected utf-8 text, byte {problem.start} is none.\nSave it as utf-8.") from None


def shown_cell(column_type: Any, cell: Any) -> Any:
    """A raw cell of the data as a request holds it. CellError: its file cannot be opened."""
    if not column_type.suffixes:
        return decoded(cell) if isinstance(cell, Blob) else plain(cell)
    if isinstance(cell, Mapping):
        cell = cell.get("bytes") or cell.get("path")
    if cell is None or isinstance(cell, (Blob, bytes, bytearray, memoryview, str, PurePath)):
        found = None if is_missing(cell) else bytes_of(cell, "a file", "a file")[1]
    else:  # held as an array: as it is shown
        value = column_type.read(cell)
        found = column_type.picture(value) or column_type.sound(value)
    return base64.b64encode(found).decode() if found else None
