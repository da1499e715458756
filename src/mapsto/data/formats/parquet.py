"""Parquet files, read by duckdb a few thousand rows at a time. Bytes and Hugging Face's {'bytes', 'path'}
cells stay as they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from mapsto.data.files import fingerprint_of, reading
from mapsto.data.offer import Offer
from mapsto.errors import DataError
from mapsto.source import Chunk, Source

CHUNK_BYTES = 1 << 26
INSTANT = "TIMESTAMP WITH TIME ZONE"  # as duckdb describes it


@dataclass
class ParquetSource(Source):
    """A parquet file. selected: the SQL expression of each column; average: bytes a row takes in the file."""

    path: str = ""
    selected: tuple[str, ...] = ()
    average: float = 1.0

    def chunks(self, size: int = 4096) -> Iterator[Chunk]:
        most = max(1, min(size, int(CHUNK_BYTES / self.average)))
        row = 0
        with connected(Path(self.path)) as database:
            result = database.execute(
                f"SELECT {', '.join(self.selected)} FROM read_parquet(?)", [literal(self.path)]
            )
            while rows := result.fetchmany(most):
                columns = dict(zip(self.columns, zip(*rows, strict=True), strict=True))
                yield Chunk(columns, [f"row {row + i}" for i in range(len(rows))], [None] * len(rows))
                row += len(rows)


@contextmanager
def connected(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory that never asks the network; what it says about `path` becomes a DataError."""
    settings: dict = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
    with reading(path):
        path.open("rb").close()  # permission and absence in our words
    database = duckdb.connect(config=settings)
    try:
        yield database
    except duckdb.Error as error:
        first = str(error).strip().splitlines()[0]
        raise DataError(
            f"{path.name}: expected a readable parquet file.\n{first[:300]}\nIn {path.absolute().parent}."
        ) from None
    finally:
        database.close()


def literal(path: str) -> str:
    """A path in which duckdb finds no wildcards."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in path)


def source_of(offer: Offer) -> Source:
    """DataError: damaged, packed again, or without rows."""
    path, entry = offer.path, offer.entry
    if offer.packing:
        raise DataError(
            f"{path.name}: parquet is packed already, {offer.packing} around it cannot be read.\nUnpack it"
            f" first: gunzip {path}"
        )
    with connected(path) as database:
        described = database.execute(
            "DESCRIBE SELECT * FROM read_parquet(?)", [literal(str(path))]
        ).fetchall()
        counted = database.execute("SELECT count(*) FROM read_parquet(?)", [literal(str(path))]).fetchone()
    rows = counted[0] if counted else 0
    if not rows:
        raise DataError(
            f"{path.name}: expected rows, the table has {len(described)} columns and no row ({path})."
            "\nGive a table with rows."
        )
    names = tuple(str(column[0]) for column in described)
    images = [
        name
        for name, kind, *_ in described
        if kind == "BLOB" or (kind.startswith("STRUCT") and "bytes BLOB" in kind)
    ]
    others = [name for name in names if name not in images]
    guess = f"{images[0]} -> {others[0]}" if len(images) == 1 and len(others) == 1 else None
    return ParquetSource(
        name=path.name.rsplit(".", 1)[0],
        columns=names,
        fingerprint=fingerprint_of([entry]),
        locations=(str(path.absolute()),),
        guess=guess,
        said=[f"{path.name}: parquet, {rows:,} rows"],
        path=str(path),
        selected=tuple(_selected(name, kind) for name, kind, *_ in described),
        average=max(1.0, entry.size / rows),
    )


def quote(name: str) -> str:
    """A column as SQL names it."""
    return '"' + name.replace('"', '""') + '"'


def instant(name: str) -> str:
    """A time with its zone as that instant in UTC; duckdb would ask for pytz."""
    return f"make_timestamp(epoch_us({quote(name)}))"


def _selected(name: str, kind: str) -> str:
    """Kinds that Python has no plain value for are cast on the way."""
    quoted = quote(name)
    if kind in ("HUGEINT", "UHUGEINT") or re.fullmatch(r"DECIMAL\((1[6-9]|[23]\d),0\)", kind):
        return f"{quoted}::VARCHAR"  # a float would merge whole numbers beyond 2^53
    if kind.startswith("DECIMAL"):
        return f"{quoted}::DOUBLE"
    if kind == INSTANT:
        return instant(name)
    return f"{quoted}::VARCHAR" if kind in ("UUID", "INTERVAL") else quoted
