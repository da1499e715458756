"""What every reader must do, for our own files of `data/readers` and for those of packages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from mapsto.data.offer import Offer
from mapsto.registry import module
from mapsto.source import SPLITS, Chunk, Source

ROOM = "data/readers"
SMALL = 3  # rows of a chunk, so that several are read


def check_reader(
    reader: str | ModuleType, place: str | Path | Any, rows: Sequence[Mapping[str, Any]] | None = None
) -> Source:
    """Hold a reader to its contract on something that is its own; the source it opens.

    reader: its name, or the module. place: a path, 'book.xlsx::Sheet1', or an object in memory. rows: every
    row that is to be found in it, {column: cell}, where that is known. AssertionError says what is wrong.
    """
    found = module(ROOM, reader) if isinstance(reader, str) else reader
    offer = _offer(place)
    assert 0 < found.claims(offer) <= 1, f"{found.__name__} does not claim {place}, or not between 0 and 1"
    _claims_nothing_else(found)
    source = found.open(offer)
    _check_head(source)
    again = found.open(_offer(place))
    assert again.fingerprint == source.fingerprint, "the fingerprint differs although the data does not"
    assert again.columns == source.columns, "the columns differ although the data does not"
    if source.kind != "rows":
        return source
    whole, small = (_rows(source, size) for size in (1 << 16, SMALL))
    assert whole, "expected rows"
    assert repr(whole) == repr(small), "the rows depend on how many are asked for at a time"
    assert repr(_rows(source, SMALL)) == repr(small), "a second pass gives other rows"
    if rows is not None:
        cells = [row for _, _, row in whole]
        assert cells == [dict(row) for row in rows], f"expected {list(rows)[:3]} …, got {cells[:3]} …"
    return source


def _offer(place: Any) -> Offer:
    if not isinstance(place, (str, Path)):
        return Offer(data=place)
    path, _, inside = str(place).partition("::")
    return Offer((Path(path),), str(place), inside)


def _claims_nothing_else(found: ModuleType) -> None:
    """Nobody is sure of what he cannot read, and asking raises nothing."""
    assert found.claims(Offer(data=object())) == 0, "claims any object"
    for place in (Path(__file__), Path(__file__).parent):
        assert found.claims(Offer((place,), str(place))) < 1, f"is sure of {place}, which is not its own"


def _check_head(source: Source) -> None:
    assert source.name, "a source has a name, which a run's folder is called by"
    assert source.columns, "a source has columns"
    assert len(set(source.columns)) == len(source.columns), f"columns of one name: {source.columns}"
    assert source.fingerprint, "a fingerprint tells whether the data has changed"
    assert all(isinstance(sentence, str) and sentence for sentence in source.said), "said: sentences"


def _rows(source: Source, size: int) -> list[tuple[str, str | None, dict[str, Any]]]:
    """(where, split, cells by column) of every row, chunk by chunk."""
    found = []
    for chunk in source.chunks(size):
        _check_chunk(source, chunk, size)
        columns = [chunk.columns[name] for name in source.columns]
        for i, where in enumerate(chunk.where):
            cells = {name: column[i] for name, column in zip(source.columns, columns, strict=True)}
            found.append((where, chunk.split[i], cells))
    return found


def _check_chunk(source: Source, chunk: Chunk, size: int) -> None:
    assert len(chunk) <= size, f"asked for {size} rows at a time, got {len(chunk)}"
    assert set(chunk.columns) == set(source.columns), f"columns {sorted(chunk.columns)} in a chunk"
    lengths = {name: len(cells) for name, cells in chunk.columns.items()}
    assert set(lengths.values()) == {len(chunk)}, f"unequally many cells: {lengths}"
    assert len(chunk.split) == len(chunk), "a split for each row, or None"
    assert set(chunk.split) <= {*SPLITS, None}, f"unknown splits: {set(chunk.split)}"
