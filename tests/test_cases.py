"""Small data that went wrong, made after faults that people reported of other tools: what mapsto makes of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mapsto.cells import Column
from mapsto.config import settings_of
from mapsto.data.open import open_source
from mapsto.errors import CellError
from mapsto.registry import entry
from mapsto.steps.rows import Ready, make_ready
from mapsto.types.base import DataType
from mapsto.types.number import Number
from mapsto.types.number.numerals import number_of

Read = Callable[..., Ready]


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """A table made ready: read("* -> y", "a,y\\n1,b\\n", drop="a"), or of columns in memory."""
    monkeypatch.setenv("MAPSTO_CACHE", str(tmp_path / "cache"))

    def ready(signature: str, data: Any, name: str = "cells.csv", **options: Any) -> Ready:
        settings = settings_of({"steps": 2, **options})
        if isinstance(data, str):
            path = tmp_path / name
            path.write_text(data, encoding="utf-8")
            data = path
        return make_ready(open_source(data, settings.reading), signature, settings, lambda event: None)

    return ready


def table(**columns: Sequence[Any]) -> str:
    """A csv of columns, cells quoted where they hold a comma."""
    lines = [tuple(columns), *zip(*columns.values(), strict=True)]
    return "".join(",".join(f'"{cell}"' if "," in str(cell) else str(cell) for cell in line) + "\n" for line in lines)


def values_of(ready: Ready, name: str, side: str = "input") -> list[Any]:
    """A column as it stands encoded in the store, read back."""
    encoded = ready.store.raw(np.arange(ready.store.n), [(side, name)])[side, name]
    return [ready.types[side, name].decode_cell(np.asarray(cell)) for cell in encoded]


def kinds(ready: Ready) -> dict[str, str]:
    return {slot.name: slot.type for slot in ready.signature.slots}


def said(ready: Ready, name: str, side: str = "input") -> str:
    return ready.types[side, name].said(name)


def surest(cells: Sequence[Any], name: str = "x") -> str:
    """The type that is surest of a column."""
    column = Column(name, cells)
    sure: Mapping[str, float] = {kind: entry("types", kind).sniff(column) for kind in ("categories", "category", "number")}
    return max(sure, key=lambda kind: sure[kind])


def as_written(column_type: DataType, cells: Sequence[Any], side: str = "input") -> Any:
    return column_type.as_written(Column("x", cells), side)


# --- decimal commas and thousands -----------------------------------------------------------------------------------------------


def test_a_comma_means_the_same_in_a_whole_column(read: Read) -> None:
    cells = ["1,669", "1,29", "1,704", "1,352"] * 10

    ready = read("price, z -> y", table(price=cells, z=[0.41 + i for i in range(40)], y=["a", "b"] * 20))

    assert values_of(ready, "price")[:4] == [1.669, 1.29, 1.704, 1.352]
    assert "decimal comma" in said(ready, "price") and "price:number(decimal='.')" in said(ready, "price")


@pytest.mark.parametrize("name", ["cells.csv", "cells.jsonl", "memory"])
def test_every_source_decides_alike(read: Read, name: str) -> None:
    cells = ["1,639", "1,44", "2,100"] * 10
    columns = {"price": cells, "z": list(range(30)), "y": ["a", "b"] * 15}
    rows = "\n".join(f'{{"price": "{price}", "z": {z}, "y": "{y}"}}' for price, z, y in zip(*columns.values(), strict=True))

    data = {"cells.csv": table(**columns), "cells.jsonl": rows, "memory": columns}[name]
    ready = read("price, z -> y", data, name)

    assert values_of(ready, "price")[:3] == [1.639, 1.44, 2.1]


def test_a_flag_turns_the_reading(read: Read) -> None:
    cells = ["1,669", "1,29", "1,704", "1,352"] * 10

    data = table(price=cells, z=range(40), y=["a", "b"] * 20)
    ready = read("price:number(decimal='.'), z -> y", data)

    assert "price:number(decimal='.')" in said(read("price, z -> y", data), "price")

    assert values_of(ready, "price")[:2] == [1669, 1.29]


@pytest.mark.parametrize(
    ("cells", "mark", "doubtful"),
    [
        (["1,669", "1,704"], ".", "."),
        (["1,669", "12", "1,234,567"], ".", ""),
        (["1,669", "0.41"], ".", ""),
        (["1,669", "0,41"], ",", ","),
        (["1.669", "0,41"], ",", ","),
        (["1.669", "0.41"], ".", ""),
        (["1.070", "890"], ",", ","),
        (["1.075", "890"], ".", "."),
        (["1.234.567", "1.075"], ",", ","),
        (["1.234,5", "1.075"], ",", ","),
        (["1.5", "2.25"], ".", ""),
        (["1,4,7"], ".", ""),
    ],
)
def test_what_decides_of_a_decimal_mark(cells: list[str], mark: str, doubtful: str) -> None:
    column_type = as_written(Number(), cells)

    assert (column_type.mark, column_type.doubtful) == (mark, doubtful)


def test_thousands_of_a_file_with_decimal_commas(read: Read) -> None:
    text = "people;tax;y\n" + "1.075;6,88;a\n567;8,5;b\n46.954;10,93;a\n" * 10

    ready = read("people, tax -> y", text)

    assert values_of(ready, "people")[:3] == [1075, 567, 46954]
    assert values_of(ready, "tax")[:3] == [6.88, 8.5, 10.93]


def test_thousands_beside_whole_numbers(read: Read) -> None:
    text = "pieces;size\n" + "2.230;large\n1.007;large\n890;small\n" * 10

    ready = read("pieces -> size", text)

    assert values_of(ready, "pieces")[:3] == [2230, 1007, 890]
    assert "pieces:number(decimal='.')" in said(ready, "pieces")


# --- codes -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["12_1", "1_000", "1,4,7", "1,2,3,4", "12,34,5", "0x1f", "1-2", "1.2.3", "1001-10"])
def test_codes_are_no_numbers(cell: str) -> None:
    with pytest.raises(CellError, match="expected a number or a date"):
        number_of(cell)


@pytest.mark.parametrize(("cell", "value"), [("1,234,567", 1234567), ("1,23,456.5", 123456.5), ("1.234,5", 1234.5), ("(1,234)", -1234), ("3,5", 3.5), ("$ 1,234.50", 1234.5)])
def test_numbers_stay_numbers(cell: str, value: float) -> None:
    assert number_of(cell) == value


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("store", ["12_1", "11_112", "11_12", "21_2"] * 5),
        ("code", ["1e5", "471", "472", "2e3", "882"] * 5),
        ("code", ["0x1f", "0x20", "0xff"] * 5),
        ("house", ["1-2", "3", "5-7", "9-11"] * 5),
        ("call", ["+4930123456", "+4930123457", "+49301234"] * 5),
        ("version", ["1.9", "1.10", "2.0"] * 5),
        ("zip", ["10115", "80331", "20095"] * 5),
        ("postal_code", [10115, 80331, 20095] * 5),
        ("who", ["12345678901234567890", "12345678901234567891"] * 5),
        ("who", [9007199254740993, 9007199254740992] * 5),
    ],
)
def test_codes_stay_codes(name: str, cells: list[Any]) -> None:
    assert surest(cells, name) == "category"
    assert len({entry("types", "category")().read(cell) for cell in cells}) == len(set(cells))


@pytest.mark.parametrize("cells", [["1e5", "1e4", "1e3"] * 5, ["1.5e3", "2", "7"] * 5, ["+5", "-3", "+12"] * 5, [2**53, 2**53 + 2, 3, 4, 5] * 5, ["1.9", "2.4", "3.1"] * 5])
def test_numbers_are_no_codes(cells: list[Any]) -> None:
    assert surest(cells, "x") == "number"


# --- times in zones --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cell",
    [
        "2024-10-07 13:38:00 UTC",
        "2024-10-07T13:38:00Z",
        "2024-10-07 15:38:00+02:00",
        "2024-10-07 15:38:00 +0200",
        "2024-10-07T15:38:00.000+02:00[Europe/Berlin]",
        "2024-10-07 08:38:00 EST",
        "2024-10-07 09:38:00-04",
        "10/07/2024 01:38 PM GMT",
        "Mon, 7 Oct 2024 15:38:00 +0200",
        "7 Oct 2024 15:38:00 CEST",
        "2024-10-07 15:38 GMT+2",
    ],
)
def test_times_of_a_zone_are_instants_in_utc(cell: str) -> None:
    assert number_of(cell) == number_of("2024-10-07 13:38:00")


def test_a_time_is_the_same_from_every_source(read: Read, tmp_path: Path) -> None:
    import duckdb
    import pandas

    texts = [f"2023-12-{day:02} 03:32:46-05:00" for day in range(1, 31)]
    columns = {"at": texts, "x": [i * 0.37 for i in range(30)], "y": ["a", "b"] * 15}
    frame = pandas.DataFrame({**columns, "at": pandas.to_datetime(texts).tz_convert("America/New_York")})
    database = duckdb.connect()
    database.execute('CREATE TABLE t ("at" TIMESTAMPTZ, x DOUBLE, y VARCHAR)')
    database.executemany("INSERT INTO t VALUES (?, ?, ?)", list(zip(*columns.values(), strict=True)))
    database.execute(f"COPY t TO '{tmp_path / 't.parquet'}' (FORMAT parquet)")

    found = [values_of(read("at, x -> y", data), "at") for data in (table(**columns), frame, tmp_path / "t.parquet")]

    assert found[0] == found[1] == found[2]
    assert found[0][0] == number_of("2023-12-01 08:32:46")


def test_mixed_zones_are_brought_to_one_and_told(read: Read) -> None:
    cells = ["2024-10-07 13:38:00 UTC", "2024-10-07 15:38:00+02:00", "2024-10-08 08:38:00 EST"] * 10

    ready = read("at, x -> y", table(at=cells, x=range(30), y=["a", "b"] * 15))

    assert kinds(ready)["at"] == "number"
    assert values_of(ready, "at")[0] == values_of(ready, "at")[1]
    assert "its zones (-05:00, UTC, +02:00) are brought to UTC" in said(ready, "at")


def test_large_ids_of_a_parquet_file_are_not_merged(tmp_path: Path) -> None:
    import duckdb

    path = tmp_path / "t.parquet"
    duckdb.sql(f"COPY (SELECT (12345678901234567890::HUGEINT + range)::DECIMAL(20, 0) AS who FROM range(3)) TO '{path}' (FORMAT parquet)")

    cells = [cell for chunk in open_source(path).chunks() for cell in chunk.columns["who"]]

    assert cells == ["12345678901234567890", "12345678901234567891", "12345678901234567892"]
