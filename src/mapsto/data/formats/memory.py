"""Data in memory: pandas and polars frames (neither is imported here), lists of dicts, dicts of columns."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mapsto.cells import Blob
from mapsto.data.formats.dialect import clean_names
from mapsto.data.offer import Offer
from mapsto.errors import DataError
from mapsto.source import Chunk, Source


@dataclass
class MemorySource(Source):
    """Columns in memory: {name: sequence, array or series}, equally long."""

    held: Mapping[str, Any] = field(default_factory=dict)
    rows: int = 0

    def chunks(self, size: int = 4096) -> Iterator[Chunk]:
        for start in range(0, self.rows, size):
            stop = min(start + size, self.rows)
            columns = {name: _cells(column, start, stop) for name, column in self.held.items()}
            yield Chunk(columns, [f"row {i}" for i in range(start, stop)], [None] * (stop - start))


def _module(data: Any) -> str:
    return type(data).__module__.split(".")[0]


def is_frame(data: Any) -> bool:
    if _module(data) in ("pandas", "polars") and type(data).__name__ in ("DataFrame", "LazyFrame"):
        return True
    if isinstance(data, Mapping):
        return bool(data)
    return isinstance(data, (list, tuple)) and bool(data) and all(isinstance(row, Mapping) for row in data)


def source_of(offer: Offer) -> Source:
    """DataError: no columns, no rows, columns of unequal length."""
    data = offer.data
    said: list[str] = []
    if _module(data) == "pandas":
        names, said = clean_names([str(name) for name in data.columns])
        columns = {name: data.iloc[:, i] for i, name in enumerate(names)}
        kind = "pandas frame"
    elif _module(data) == "polars":
        frame = data.collect() if type(data).__name__ == "LazyFrame" else data
        columns = {name: frame[name] for name in frame.columns}
        kind = "polars frame"
    elif isinstance(data, Mapping):
        columns = {str(name): _sequence(name, column) for name, column in data.items()}
        kind = "columns"
    else:
        keys = dict.fromkeys(key for row in data for key in row)
        columns = {str(key): [row.get(key) for row in data] for key in keys}
        kind = "rows"
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(
            "expected columns of equal length, got"
            f" {', '.join(f'{name}: {n}' for name, n in list(lengths.items())[:6])}."
            "\nGive each row a cell in every column, None where there is nothing."
        )
    rows = next(iter(lengths.values()), 0)
    if not rows:
        raise DataError(f"expected rows, the {kind} has {len(columns)} columns and no row.\nGive it rows.")
    source = MemorySource(
        name="data", columns=tuple(columns), fingerprint="", said=said, held=columns, rows=rows
    )
    source.fingerprint = _fingerprint(source)
    return source


def _sequence(name: Any, column: Any) -> Any:
    if (
        isinstance(column, (str, bytes))
        or not hasattr(type(column), "__len__")
        or not hasattr(type(column), "__getitem__")
    ):
        raise DataError(
            f"column '{name}': expected a list or an array of cells, got {type(column).__name__}."
            "\nGive one cell for each row."
        )
    return column


def _cells(column: Any, start: int, stop: int) -> Sequence[Any]:
    """A slice as a list of Python values; arrays of more than one dimension give arrays."""
    if _module(column) == "polars":
        return column.slice(start, stop - start).to_list()
    if _module(column) == "pandas":
        return column.iloc[start:stop].tolist()
    part = column[start:stop]
    if isinstance(part, np.ndarray):
        return _python(part) if part.ndim == 1 else list(part)
    return [_python(cell) if isinstance(cell, np.generic) else cell for cell in part]


def _python(value: np.ndarray | np.generic) -> Any:
    """numpy's values as Python's. Times and durations keep their microseconds: in nanoseconds numpy gives
    them as whole numbers."""
    return (value.astype(f"{value.dtype.kind}8[us]") if value.dtype.kind in "mM" else value).tolist()


def _fingerprint(source: Source) -> str:
    """blake2b over every cell, with its column's name."""
    digest = hashlib.blake2b(digest_size=16)
    for chunk in source.chunks():
        for name, cells in chunk.columns.items():
            digest.update(name.encode("utf-8", "surrogatepass"))
            for cell in cells:
                digest.update(_bytes_of(cell))
    return digest.hexdigest()


def _bytes_of(cell: Any) -> bytes:
    if isinstance(cell, bytes):
        return b"b" + len(cell).to_bytes(8, "little") + cell
    if isinstance(cell, np.ndarray):
        return f"a{cell.dtype}{cell.shape}".encode() + np.ascontiguousarray(cell).tobytes()
    if isinstance(cell, Blob):
        return f"f{cell.path}".encode("utf-8", "surrogatepass") + hashlib.blake2b(cell.read()).digest()
    if _module(cell) == "PIL":
        return f"p{cell.mode}{cell.size}".encode() + cell.tobytes()
    return f"{type(cell).__name__}:{cell!r}\0".encode("utf-8", "surrogatepass")
