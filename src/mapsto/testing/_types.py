"""What every type must do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from mapsto.batch import Draw, Padded, Ragged
from mapsto.cells import Column
from mapsto.testing._contract import contract
from mapsto.types._geometry import identity
from mapsto.types.base import DataType


def check_type(
    kind: type[DataType],
    /,
    cells: Sequence[Any],
    side: str = "input",
    options: Mapping[str, Any] | None = None,
    **spec: Any,
) -> DataType:
    """Hold a type to its contract on some raw cells, a missing one among them where it may be missing. side:
    where it stands; spec: what else its `fit` is told. -> the type fitted on these cells."""
    assert kind.__doc__, "a type says what it is"
    assert set(kind.reading) <= set(kind.__dataclass_fields__), "`reading` names fields"
    assert kind.sniff(Column("c", [])) < 0.5, "nothing at all is no column of it"
    asked = kind.with_options("it", options or {})
    told = {"side": side, "rows": len(cells), "name": "it", **spec}
    fitted, again = (asked.fit([asked.read(cell) for cell in cells], told) for _ in range(2))
    assert fitted == again, "fitting twice gives the same type"
    record = json.loads(json.dumps(fitted.to_json()))
    back = type(fitted).from_json(record)
    assert back == fitted and hash(back) == hash(fitted), "a fitted type survives JSON"
    with contract("cells are encoded, one by one and as a column, and shown"):
        _check_encoding(fitted, cells)
    for rows in sorted({0, 1, len(cells)}):
        with contract(f"{rows} encoded rows make a batch, and what stands for them in a net"):
            _check_batch(fitted, cells[:rows], side)
    return fitted


def stored(fitted: DataType, cells: Sequence[Any]) -> Any:
    """Encoded cells as `collate` takes them: a tensor, or Ragged."""
    arrays = fitted.encode_column(cells)[0]
    return Ragged.of(arrays) if fitted.layout.ragged else torch.from_numpy(arrays)


def dense(field: Any) -> Any:
    """Collated values or features with their padding."""
    return field.values if isinstance(field, Padded) else field


def collated(fitted: DataType, arrays: Any, draw: Draw | None = None) -> Any:
    """A batch in whose input nothing is moved."""
    return fitted.collate(arrays, draw, identity(len(arrays)))


def _check_encoding(fitted: DataType, cells: Sequence[Any]) -> None:
    layout = fitted.layout
    encoded, problems = fitted.encode_column(cells)
    assert problems == {} and len(encoded) == len(cells), "these cells can be read"
    for row, cell in zip(encoded, cells, strict=True):
        one = fitted.encode(fitted.read(cell))
        assert one.dtype == row.dtype == layout.dtype, "an encoding has the layout's dtype"
        assert one.ndim == len(layout.shape), "and its dimensions"
        assert all(side in (None, found) for side, found in zip(layout.shape, one.shape, strict=True))
        np.testing.assert_array_equal(one, row, "a column is encoded as its cells are")
        assert isinstance(fitted.show(fitted.read(cell)), str)
    empty, problems = fitted.encode_column([])
    assert len(empty) == 0 and not problems, "a column without rows is encoded too"


def _check_batch(fitted: DataType, cells: Sequence[Any], side: str) -> None:
    arrays = stored(fitted, cells)
    for draw in (None, Draw(0, 1, len(arrays))):
        assert len(dense(collated(fitted, arrays, draw))) == len(arrays), "a batch has a line a row"
    columns = (*fitted.as_columns(arrays).values(), *fitted.summary_stats(arrays).values())
    for found in (*columns, fitted.pixels(arrays), fitted.similarity_embedding(arrays)):
        assert found is None or len(found) == len(arrays), "what the data gate asks has a line a row"
    if side == "input":
        _check_stems(fitted, collated(fitted, arrays))
    else:
        present = fitted.present(arrays)
        assert present.dtype == torch.bool and len(present) == len(arrays), "which labels are known is known"


def _check_stems(fitted: DataType, values: Any) -> None:
    rows = len(dense(values))
    for view in fitted.views(values):
        assert len(dense(view)) == rows and torch.isfinite(dense(view)).all(), "a view has a line a row"
    outside = fitted.range_violation(values)
    assert outside is None or (outside.shape == (rows,) and torch.isfinite(outside).all())
    plain: Any = fitted.stem(None)
    assert hasattr(plain, "features"), "the plain stem says how many `features` it gives a row"
    assert plain.gives == "pooled" and plain(values).shape == (rows, plain.features), "plain features"
    for width in (None, 8):
        one: Any = fitted.stem(width)
        many: Any = type(fitted).stems({"a.b": fitted, "c": fitted}, width)
        found = many({"a.b": values, "c": values})
        assert set(found) == set(many.gives) == {"a.b", "c"} and many.gives["c"] == one.gives
        assert dense(found["c"]).shape == dense(one(values)).shape, "slots together are as slots alone"
        assert torch.isfinite(dense(found["a.b"])).all()
        if one.gives == "tokens":
            assert dense(found["c"]).ndim == 3 and dense(found["c"]).shape[::2] == (rows, width)
