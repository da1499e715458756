"""Data as other libraries take it: arrays (X, y), X alone, or a list of (cell, label)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mapsto.data.offer import Offer
from mapsto.errors import DataError
from mapsto.source import Source

Columns = dict[str, Any]
LABELS = "iubUSO"  # kinds of numpy's that are classes beside pictures and texts


def claims(offer: Offer) -> float:
    return 0.9 if offer.is_memory and _kind(offer.data) else 0.0


def open(offer: Offer) -> Source:
    """Columns as X has them where it is a frame, else column_1, … or image; then target, or category.
    DataError: X and y of unequal length."""
    from mapsto.data.formats.memory import source_of

    data = offer.data
    kind = _kind(data)
    columns, learned = (
        _of_pairs(data) if kind == "pairs" else _of_arrays(*data) if kind == "arrays" else (_inputs(data), [])
    )
    source = source_of(Offer(data=columns))
    given = [name for name in columns if name not in learned]
    if len(learned) == 1:
        source.guess = f"{given[0] if len(given) == 1 else '*'} -> {learned[0]}"
    return source


def _kind(data: Any) -> str:
    """What it is: "arrays", (X, y); "array", X alone; "pairs", (cell, label) of each row; "" neither."""
    if _is_array(data):
        return "array" if data.ndim > 1 and len(data) else ""
    if not isinstance(data, (list, tuple)) or not data:
        return ""
    if len(data) == 2 and _is_matrix(data[0]) and _is_column(data[1]):
        return "arrays"
    pairs = all(isinstance(row, tuple) and len(row) == 2 and _is_plain(row[1]) for row in data)
    return "pairs" if pairs else ""


def _is_array(value: Any) -> bool:
    """numpy's or torch's."""
    return type(value).__module__.split(".")[0] in ("numpy", "torch") and getattr(value, "ndim", 0) > 0


def _is_frame(value: Any) -> bool:
    return (
        type(value).__module__.split(".")[0] in ("pandas", "polars") and type(value).__name__ == "DataFrame"
    )


def _is_matrix(value: Any) -> bool:
    if _is_array(value):
        return value.ndim > 1
    rows = isinstance(value, (list, tuple)) and bool(value)
    return _is_frame(value) or (
        rows
        and all(isinstance(row, (list, tuple)) and all(map(_is_plain, row)) for row in value)
        and len({len(row) for row in value}) == 1
    )


def _is_column(value: Any) -> bool:
    if _is_array(value):
        return value.ndim < 3
    series = type(value).__name__ == "Series"
    return series or (isinstance(value, (list, tuple)) and all(map(_is_plain, value)))


def _is_plain(value: Any) -> bool:
    """One number, text or truth value."""
    return value is None or isinstance(value, (str, int, float, bool)) or getattr(value, "shape", None) == ()


def _of_arrays(x: Any, y: Any) -> tuple[Columns, list[str]]:
    import numpy as np

    if len(x) != len(y):
        raise DataError(f"expected X and y of equal length, got {len(x):,} and {len(y):,} rows.")
    columns = _inputs(x)
    answers = np.asarray(y)
    answers = answers.reshape(len(answers), -1)
    classes = list(columns) == ["image"] and answers.dtype.kind in LABELS
    named = getattr(y, "name", None)
    name = named if isinstance(named, str) and named else "category" if classes else "target"
    name = f"{name}_2" if name in columns else name
    several = answers.shape[1] > 1
    learned = [f"{name}_{i + 1}" if several else name for i in range(answers.shape[1])]
    return columns | {one: answers[:, i] for i, one in enumerate(learned)}, learned


def _inputs(x: Any) -> Columns:
    """X as columns: one of pictures, or one for each of its own."""
    import numpy as np

    if _is_frame(x):
        return {str(name): x[name] for name in x.columns}
    array = np.asarray(x)
    if array.ndim in (3, 4):
        return {"image": list(array)}
    table = array.reshape(len(array), -1)
    return {f"column_{i + 1}": table[:, i] for i in range(table.shape[1])}


def _of_pairs(rows: Sequence[tuple[Any, Any]]) -> tuple[Columns, list[str]]:
    """Named by what the cells are; the labels "category", or "target" where they are numbers."""
    from mapsto.cells import Column
    from mapsto.data.media import media

    cells, labels = [cell for cell, _ in rows], [label for _, label in rows]
    first = Column("", cells[:64])
    sure: Mapping[str, float] = {name: kind.sniff(first) for name, kind in media().items()}
    best = max(sure, key=lambda name: sure[name])
    name = best if sure[best] >= 0.5 else "text" if isinstance(cells[0], str) else "input"
    numbers = any(isinstance(label, float) and label % 1 for label in labels)
    learned = "target" if numbers or name == "input" else "category"
    return {name: cells, learned: labels}, [learned]
