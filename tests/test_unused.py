"""Columns that '*' stands for and nothing is learned from: what no type reads, and what only numbers the rows."""

from __future__ import annotations

import datetime
import random
import uuid
from typing import Any

import numpy as np
import pandas
import pytest

from mapsto.config import Reading, settings_of
from mapsto.data.open import open_source
from mapsto.data.resolve import as_asked
from mapsto.data.resolve import asked as asked_signature
from mapsto.errors import ConfigError, SignatureError
from mapsto.source import table_of
from mapsto.steps.rows import scanned
from mapsto.types.number import Number

N = 100
DRAW = random.Random(0)
COLOURS = [DRAW.choice("rgb") for _ in range(N)]
SIZES = [DRAW.random() for _ in range(N)]


def read(column: list[Any] | np.ndarray, name: str = "x", asked: str | None = "* -> y", **options: Any) -> tuple[dict[str, str], str]:
    """({input: its type}, what was said) of a table with that column, numbers and classes."""
    reading = settings_of(options).reading
    source = open_source({name: column, "size": SIZES, "y": COLOURS}, reading)
    signature, said = asked_signature(asked, source, reading)
    signature, _, left_out = scanned(source, signature, reading, asked=asked)
    return {slot.column: slot.type for slot in signature.inputs}, "; ".join([*source.said, *said, *left_out])


# --- what no type reads ---


@pytest.mark.parametrize(
    ("column", "word"),
    [
        ([uuid.UUID(int=DRAW.getrandbits(128)) for _ in range(N)], "UUID"),
        ([np.zeros(3) + i for i in range(N)], "ndarray"),
        ([[1.0, 2.0, i] for i in range(N)], "list"),
        ([{"a": {"b": [i]}} for i in range(N)], "dict"),
        ([[i] if i % 3 == 0 else i if i % 3 == 1 else f"x{i}" for i in range(N)], "list, int and str"),
        (list(pandas.interval_range(0, N)), "Interval"),
        (list(pandas.period_range("2020-01", periods=N, freq="M")), "Period"),
        ([1 + 2j] * N, "complex"),
        ([b"\x01\x02%d" % i for i in range(N)], "bytes"),
    ],
    ids=["uuid", "arrays", "lists", "nested", "mixed", "interval", "period", "complex", "bytes"],
)
def test_what_no_type_reads_is_left_out_of_all(column: list[Any], word: str) -> None:
    inputs, said = read(column)
    assert inputs == {"size": "number"} and f"left out: 'x' (cells of {word}, which no type reads)" in said


def test_a_target_that_no_type_reads_stops() -> None:
    with pytest.raises(SignatureError, match=r"got cells of UUID\.\nWrite numbers or texts"):
        read([uuid.UUID(int=i) for i in range(N)], asked="size -> x")


@pytest.mark.parametrize(
    "column",
    [
        [datetime.timedelta(seconds=90 * (i % 7)) for i in range(N)],
        np.array([90 * (i % 7) for i in range(N)]).astype("timedelta64[s]").astype("timedelta64[ns]"),
        pandas.to_timedelta([90 * (i % 7) for i in range(N)], unit="s").tolist(),
    ],
    ids=["python", "numpy", "pandas"],
)
def test_durations_are_numbers_of_seconds(column: Any) -> None:
    inputs, _ = read(column)
    cells = table_of(open_source({"x": column}))["x"]
    assert inputs["x"] == "number"
    assert [Number().read(cell) for cell in cells[:3]] == [0.0, 90.0, 180.0]
    assert Number().encode_column(cells[:3])[0].tolist() == [0.0, 90.0, 180.0]
    assert Number().read(np.timedelta64("NaT")) is None


def test_moments_in_nanoseconds_stay_moments() -> None:
    cells = table_of(open_source({"x": np.array(["2020-01-02", "NaT"], "datetime64[ns]")}))["x"]
    assert [Number().read(cell) for cell in cells] == [1577923200.0, None]


def test_records_become_columns() -> None:
    inputs, said = read([{"u": DRAW.random(), "v": "ab"[i % 2]} if i % 9 else None for i in range(N)])
    assert inputs == {"x.u": "number", "x.v": "category", "size": "number"}
    assert "column 'x': a record, a column for each field (u, v)" in said
    source = open_source([{"x": {"u": 1}}, {"x": {"u": 2, "late": 3}}, {"x": None}])
    assert table_of(source) == {"x.u": [1, 2, None], "x.late": [None, 3, None]}


@pytest.mark.parametrize("cells", [[{"u": 1}], [{"u": 0}, None], [None]], ids=str)
def test_fields_that_are_named_are_columns_whatever_a_few_rows_look_like(cells: list[Any]) -> None:
    source = open_source({"x": cells})
    assert source.columns == ("x",)
    assert table_of(as_asked("x.u -> y", source)) == {"x.u": [cell and cell["u"] for cell in cells]}


def test_plain_fields_beside_records_in_a_record_are_columns() -> None:
    inputs, said = read([{"c": {"d": DRAW.random()}, "e": DRAW.random()} for _ in range(N)])
    assert inputs == {"x.e": "number", "size": "number"}
    assert "left out: 'x.c' (cells of dict, which no type reads)" in said


def test_records_that_are_cells_stay_cells() -> None:
    source = open_source([{"image": {"bytes": b"\x89PNG\r\n", "path": None}, "y": 1}])
    assert source.columns == ("image", "y")


# --- row numbers ---

NUMBERING = {
    "PassengerId": range(1, N + 1),
    "id": DRAW.sample(range(N), N),
    "Unnamed: 0": sorted(DRAW.sample(range(2 * N), N)),
    "instant": range(1, N + 1),
    "message_id": [str(i) for i in range(N)],
}
COUNTING = {
    "year": range(1900, 1900 + N),
    "day_no": range(N),
    "epoch": range(N),
    "t": range(1, N + 1),
    "population": sorted(DRAW.sample(range(10**6), N)),
    "rank": DRAW.sample(range(N), N),
    "customer_id": [i % 20 for i in range(N)],
    "x": [i / 2 for i in range(N)],
}


@pytest.mark.parametrize("name", NUMBERING)
def test_row_numbers_are_left_out_of_all(name: str) -> None:
    inputs, said = read(list(NUMBERING[name]), name)
    assert inputs == {"size": "number"} and f"left out: '{name}' (it only numbers the rows; to use it: --keep {name})" in said


@pytest.mark.parametrize("name", COUNTING)
def test_what_counts_or_measures_is_learned_from(name: str) -> None:
    assert read(list(COUNTING[name]), name)[0] == {name: "number", "size": "number"}


@pytest.mark.parametrize(
    "how",
    [{"keep": ["id"]}, {"keep": "id"}, {"asked": "id, size -> y"}, {"asked": "id:number, * -> y"}, {"time": "id"}],
    ids=["list", "text", "named", "beside all", "time"],
)
def test_a_row_number_that_is_asked_for_is_learned_from(how: dict[str, Any]) -> None:
    inputs, said = read(list(range(N)), "id", **how)
    assert inputs == {"id": "number", "size": "number"} and "numbers the rows" not in said


def test_keep_knows_its_columns() -> None:
    with pytest.raises(ConfigError, match="--keep: data has no column 'ix'"):
        read(list(range(N)), "id", keep=["ix"])


def test_a_row_number_alone_is_learned_from() -> None:
    source = open_source({"id": list(range(N)), "y": COLOURS})
    signature, _ = asked_signature("* -> y", source, Reading())
    assert len(scanned(source, signature, Reading(), asked="* -> y")[0].inputs) == 1


def test_a_row_number_beside_nothing_that_can_be_used_is_learned_from() -> None:
    source = open_source({"empty": [None] * N, "id": list(range(N)), "y": COLOURS})
    signature, _ = asked_signature("* -> y", source, Reading())
    signature, _, said = scanned(source, signature, Reading(), asked="* -> y")
    assert [slot.column for slot in signature.inputs] == ["id"] and said == ["left out: 'empty' (every cell is missing)"]


def test_rows_are_divided_without_their_numbers() -> None:
    """Equal rows stay together, though each has a number of its own."""
    source = open_source({"id": list(range(N)), "size": [i // 2 for i in range(N)], "y": COLOURS})
    signature, _ = asked_signature("* -> y", source, Reading())
    hashes = scanned(source, signature, Reading(), asked="* -> y")[1].hashes
    assert (hashes[::2] == hashes[1::2]).all()
