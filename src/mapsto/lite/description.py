"""What a folder that answers rows is to somebody who asks it over the web: its fields, and the columns of its
answers. A page, a schema and a client are made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mapsto.prediction.table import Table


def describe(folder: Any, classes: Mapping[str, Sequence[Any]], names: bool) -> dict[str, Any]:
    """{"signature": a line; "inputs": [{"name", "field", "schema"}]; "outputs": [{"name", "columns": {field:
    column of an answer}, "classes": [[class, column of its probability]]}]; "columns": of an answer}. folder:
    a run or its export; classes: {output: its classes}; names: may values of the training rows be named?"""
    inputs = [
        {"name": slot.column, "field": type_.web_field(names), "schema": type_.web_schema(names)}
        for slot in folder.signature.inputs
        for type_ in (folder.types["input", slot.name],)
    ]
    table = Table.of(folder.fields, classes)
    outputs = [
        {
            "name": name,
            "columns": {field: table.answers[name, field] for field in fields},
            "classes": [[one, table.classes[name, one]] for one in classes.get(name, ())],
        }
        for name, fields in folder.fields.items()
    ]
    return {
        "signature": str(folder.signature),
        "inputs": inputs,
        "outputs": outputs,
        "columns": Table.of(folder.fields).columns,
    }
