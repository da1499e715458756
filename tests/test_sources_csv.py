"""Round trips: a table written in any common way is read back cell for cell."""

from __future__ import annotations

import csv
import gzip
import tempfile
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import HealthCheck, given, settings

from mapsto.data.open import open_source
from mapsto.errors import DataError
from mapsto.source import table_of

DELIMITERS = (",", ";", "\t", "|")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252")


@st.composite
def tables(draw: st.DrawFn) -> tuple[str, list[list[str]]]:
    """(delimiter, rows with a header). Cells hold the delimiter itself, quotes, newlines and accents, but no other delimiter."""
    delimiter = draw(st.sampled_from(DELIMITERS))
    words = st.text(alphabet=f'abcé"\n {delimiter}', max_size=8).map(str.lstrip)
    numbers = st.one_of(st.integers(-(10**6), 10**6).map(str), st.floats(allow_nan=False, allow_infinity=False).map(str))
    kinds = draw(st.lists(st.sampled_from([words, numbers]), min_size=2, max_size=6))
    rows = draw(st.lists(st.tuples(*kinds).map(list), min_size=1, max_size=30))
    return delimiter, [[f"name_{i}" for i in range(len(kinds))], *rows]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    tables(),
    st.sampled_from(ENCODINGS),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_round_trip(table: tuple[str, list[list[str]]], encoding: str, quoting: int, ending: str, packed: bool) -> None:
    delimiter, rows = table
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("t.csv.gz" if packed else "t.csv")
        with (gzip.open if packed else open)(path, "wt", encoding=encoding, newline="") as handle:  # type: ignore[operator]
            csv.writer(handle, delimiter=delimiter, quoting=quoting, lineterminator=ending).writerows(rows)  # type: ignore[arg-type]
        source = open_source(path)
        assert source.columns == tuple(rows[0])
        assert [list(row) for row in zip(*table_of(source).values(), strict=True)] == rows[1:]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.tuples(st.floats(-1e6, 1e6).map("{:.3f}".format), st.sampled_from(["Ja", "Nein"]), st.integers(0, 99).map(str)), min_size=2),
    st.sampled_from([";", "\t", "|"]),
)
def test_decimal_commas_round_trip(rows: list[tuple[str, str, str]], delimiter: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        text = [["Größe", "Antwort", "Zahl"], *([number.replace(".", ","), word, whole] for number, word, whole in rows)]
        path.write_text("\n".join(delimiter.join(row) for row in text), encoding="cp1252")
        source = open_source(path)
        assert source.columns == ("Größe", "Antwort", "Zahl")
        assert list(zip(*table_of(source).values(), strict=True)) == rows


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.binary(max_size=400),
    st.sampled_from(["t.csv", "t.tsv", "t.txt", "t.jsonl", "t.json", "t.parquet", "t.npz", "t.zip", "t.csv.gz", "t.png"]),
    st.sampled_from([b"", b"PK\x03\x04", b"\x1f\x8b\x08", b"PAR1", b"\x93NUMPY\x01\x00", b"\0\0\x08\x03", b'{"a": 1}\n', b"a,b\n1,2\n", b"\xff\xfe"]),
)
def test_any_bytes_give_rows_or_a_data_error(data: bytes, name: str, start: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(start + data)
        try:
            source = open_source(path)
            for chunk in source.chunks(3):
                assert tuple(chunk.columns) == source.columns
        except DataError as error:
            assert len(str(error).splitlines()) <= 3
