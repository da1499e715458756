"""Small data that went wrong, made after faults that people reported of other tools: what mapsto makes of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from mapsto.cells import Column
from mapsto.checks import look
from mapsto.checks.base import Finding
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


def findings(ready: Ready, name: str) -> list[Finding]:
    return [finding for finding in look(ready.evidence) if finding.name == name]


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

    database.execute(f"ATTACH '{tmp_path / 't.duckdb'}' AS file; CREATE TABLE file.t AS SELECT * FROM t; DETACH file")

    places = (table(**columns), frame, tmp_path / "t.parquet", tmp_path / "t.duckdb")
    found = [values_of(read("at, x -> y", data), "at") for data in places]

    assert found[0] == found[1] == found[2] == found[3]
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


# --- values that are none --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", [1.7976931348623157e308, -3.4028234663852886e38, "-3.4e38", "1.797e308"])
def test_the_largest_floats_are_missing_and_told(read: Read, cell: Any) -> None:
    ages = [cell if i % 10 == 0 else 20 + i for i in range(40)]  # pytest makes any warning an error

    ready = read("age, x -> y", table(age=ages, x=range(40), y=["a", "b"] * 20))

    assert values_of(ready, "age")[:2] == [None, 21]
    assert ready.types["input", "age"].mean < 100
    assert "are read as missing" in said(ready, "age")


@pytest.mark.parametrize("value", [-9999, 999999])
def test_a_number_that_stands_for_unknown_is_named_with_its_flag(read: Read, value: int) -> None:
    data = table(age=[value if i % 10 == 0 else 20 + i for i in range(60)], x=range(60), y=["a", "b"] * 30)

    found = findings(read("age, x -> y", data), "not known")
    ready = read(f"age:number(missing={value}), x -> y", data)

    assert [(one.level, one.fix) for one in found] == [("warn", f"age:number(missing={value})")]
    assert values_of(ready, "age")[0] is None and ready.types["input", "age"].mean < 100
    assert not findings(ready, "not known")


@pytest.mark.parametrize("cells", [range(60), [99, *range(59)], [i * 100 for i in range(60)], [0, 1] * 30])
def test_usual_numbers_are_no_sentinels(read: Read, cells: Sequence[int]) -> None:
    ready = read("age, x -> y", table(age=cells, x=[i * 0.37 for i in range(60)], y=["a", "b"] * 30))

    assert not findings(ready, "not known") and not findings(ready, "far out")


def test_one_extreme_target_is_named(read: Read) -> None:
    prices = [1e12 if i == 7 else 100 + i * 1.5 for i in range(60)]

    found = findings(read("x -> price", table(x=range(60), price=prices)), "far out")

    assert [(one.level, one.rows, one.columns) for one in found] == [("warn", (7,), ("price",))]
    assert "price:number(log=true)" in found[0].fix


# --- classes written in several ways ---------------------------------------------------------------------------------------------


def test_whole_numbers_are_the_same_classes_however_written(read: Read, tmp_path: Path) -> None:
    test = tmp_path / "later.csv"
    test.write_text(table(x=range(40), sick=["0.0", "1.0"] * 20), encoding="utf-8")

    ready = read("x -> sick:category", table(x=range(40, 100), sick=["0", "1"] * 30), test=str(test))

    assert ready.types["output", "sick"].classes == ("0", "1")
    assert ready.store.size("test") == 40 and set(values_of(ready, "sick", "output")) == {"0", "1"}


def test_codes_with_points_stay_apart() -> None:
    cells = ["1.0", "1.10", "2.0"]

    column_type = as_written(entry("types", "category")(), cells)

    assert [column_type.read(cell) for cell in cells] == cells


def test_truth_values_of_a_frame_and_their_words_are_the_same() -> None:
    column_type = as_written(entry("types", "category")(), [True, "False", "TRUE"])

    assert [column_type.read(cell) for cell in (True, "TRUE", "false")] == ["true", "true", "false"]


def test_classes_are_the_same_in_every_unicode_form() -> None:
    read = entry("types", "category")().read

    assert read("Mu\u0308ller ") == read("M\u00fcller") == "M\u00fcller"
    assert entry("types", "categories")().read(["Mu\u0308ller"]) == ("M\u00fcller",)


def test_classes_that_are_likely_the_same_are_named(read: Read) -> None:
    data = table(x=range(60), y=["yes", "Yes", "no"] * 20)

    found = findings(read("x -> y", data), "alike")
    folded = read("x -> y:category(fold=true)", data)

    assert [(one.level, one.fix) for one in found] == [("warn", "y:category(fold=true)")]
    assert "'Yes' and 'yes'" in found[0].what
    assert folded.types["output", "y"].classes == ("no", "yes") and not findings(folded, "alike")


# --- classes that are words for nothing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["none", "NA", "null", "missing", "-"])
def test_a_word_for_nothing_that_repeats_is_a_class(read: Read, word: str) -> None:
    cells = [word, "mild", "severe", ""] * 15
    data = table(x=range(60), damage=cells)

    ready = read("x -> damage", data)
    without = read("x -> damage:category(gaps=true)", data)

    assert set(ready.types["output", "damage"].classes) == {word, "mild", "severe"}
    assert values_of(ready, "damage", "output")[:4] == [word, "mild", "severe", None]
    assert "damage:category(gaps=true)" in said(ready, "damage", "output")
    assert set(without.types["output", "damage"].classes) == {"mild", "severe"}


@pytest.mark.parametrize("cells", [["none", *["mild", "severe"] * 30], ["none", "0", "1"] * 20])
def test_a_gap_stays_a_gap(read: Read, cells: list[str]) -> None:
    ready = read("x -> y:category", table(x=range(len(cells)), y=cells))

    assert "none" not in ready.types["output", "y"].classes


# --- splits ----------------------------------------------------------------------------------------------------------------------


def shares(ready: Ready) -> list[float]:
    return [ready.store.size(name) / ready.store.n for name in ("train", "validation", "test")]


def survey(rows: int, draw: np.random.Generator) -> dict[str, Sequence[Any]]:
    sexes, regions = draw.choice(["f", "m"], rows), draw.choice(["north", "south", "west"], rows)
    return {"sex": sexes.tolist(), "region": regions.tolist(), "rating": draw.choice(["bad", "fair", "good"], rows).tolist()}


@pytest.mark.parametrize("rows", [300, 5000])
def test_a_survey_of_few_different_rows_has_rows_on_every_side(read: Read, rows: int) -> None:
    ready = read("* -> rating", survey(rows, np.random.default_rng(0)))

    wanted = [0.65, 0.15, 0.2] if rows < 5000 else [0.8, 0.1, 0.1]
    assert shares(ready) == pytest.approx(wanted, abs=0.03)
    assert f"row by row, for only 6 of {rows:,} have different inputs" in ready.parts.said
    assert [one.level for one in findings(ready, "duplicates across splits")] == ["note", "note"]


@pytest.mark.parametrize("rows", [400, 4000])
def test_groups_of_several_classes_are_counted_once(read: Read, rows: int) -> None:
    draw = np.random.default_rng(1)
    groups = [f"p{k}" for k in draw.integers(0, 50, rows)]

    ready = read("x -> kind", {"x": draw.normal(size=rows).tolist(), "kind": draw.choice(["a", "b", "c"], rows).tolist(), "who": groups}, group="who")

    train, validation, test = shares(ready)
    assert train >= 0.6 and 0.02 < validation < 0.25 and 0.02 < test < 0.31
    split_of = dict(zip(groups, ready.parts.of.tolist(), strict=True))
    assert all(split_of[group] == split for group, split in zip(groups, ready.parts.of.tolist(), strict=True))


def test_repeated_inputs_of_several_classes_leave_rows_to_learn_from(read: Read) -> None:
    draw = np.random.default_rng(2)
    x = draw.integers(0, 60, 500)

    ready = read("x -> y", {"x": x.tolist(), "y": draw.choice(["a", "b", "c", "d"], 500).tolist()})

    assert shares(ready) == pytest.approx([0.65, 0.15, 0.2], abs=0.05)
    assert not set(x[ready.store.rows("train")]) & set(x[ready.store.rows("test")])


def test_a_column_left_out_does_not_divide_the_rows(read: Read) -> None:
    x = [i % 120 for i in range(240)]
    columns = {"x": x, "who": [f"name {i}" for i in range(240)], "y": ["a", "b", "c"] * 80}

    ready, dropped = read("* -> y", columns), read("* -> y", columns, drop="who")

    assert ready.left_out and not dropped.left_out
    assert (ready.parts.of == dropped.parts.of).all()
    assert ready.parts.of[:120].tolist() == ready.parts.of[120:].tolist(), "equal inputs stay together"


@pytest.mark.parametrize("name", ["test.csv", "--test"])
def test_rows_without_an_answer_are_to_be_predicted(read: Read, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "competition"
    folder.mkdir()
    train = table(id=range(100), x=[i * 0.37 for i in range(100)], y=["a", "b"] * 50)
    (folder / "train.csv").write_text(train, encoding="utf-8")
    (folder / "test.csv").write_text(table(id=range(100, 140), x=[i * 0.41 for i in range(40)]), encoding="utf-8")
    (folder / "sample_submission.csv").write_text(table(id=range(100, 140), y=["a"] * 40), encoding="utf-8")

    ready = read("x -> y", folder) if name == "test.csv" else read("x -> y", folder / "train.csv", test=str(folder / "test.csv"))

    assert [ready.store.size(part) for part in ("train", "validation", "test")] == [64, 16, 20]
    assert (ready.parts.of[100:] == -1).all()
    assert "40 rows named test hold no answer: they are to be predicted" in ready.parts.said


# --- headers of words ------------------------------------------------------------------------------------------------------------


WORDS = "red,small,in\nred,large,in\ngreen,large,out\nblue,small,out\n" * 10


@pytest.mark.parametrize(
    "header",
    ["colour,size,verdict", "What is your gender?,How often?,Healthy?", "1st choice,2nd choice,verdict", "%colour,size.,verdict.", "¿Color?,tamaño,veredicto", f"{'a long question ' * 6},Size,verdict"],
)
def test_a_first_line_of_words_that_stand_nowhere_below_names_columns(tmp_path: Path, header: str) -> None:
    (tmp_path / "t.csv").write_text(f"{header}\n{WORDS}", encoding="utf-8")

    source = open_source(tmp_path / "t.csv")

    assert source.columns == tuple(" ".join(name.split()) for name in header.split(","))


def test_rows_of_words_alone_have_no_header(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(WORDS, encoding="utf-8")

    assert open_source(tmp_path / "t.csv").columns == ("column_1", "column_2", "column_3")


def test_the_line_that_holds_the_target_names_columns(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("word,in\nred,in\nblue,out\n", encoding="utf-8")

    source = open_source(tmp_path / "t.csv", settings_of({"target": "word"}).reading)

    assert source.columns == ("word", "in")


def test_a_header_that_stands_again_is_no_row(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"colour,size,verdict\n{WORDS}" * 3, encoding="utf-8")

    chunks = list(open_source(tmp_path / "t.csv").chunks())

    assert sum(map(len, chunks)) == 120
    assert [row.where for chunk in chunks for row in chunk.bad] == ["line 42", "line 83"]


def test_comments_above_a_header_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"# exported by a tool, do not edit\n# source: lab\ncolour,size,verdict\n{WORDS}", encoding="utf-8")

    assert open_source(tmp_path / "t.csv").columns == ("colour", "size", "verdict")


# --- lists in a cell -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cells",
    [
        ["['action', 'drama']", "['drama']", '["action", \'comedy\']'],
        ['["action", "drama"]', '["drama"]', '["action", "comedy"]'],
        ["{action, drama}", "{drama}", "{action, comedy}"],
        ["{'action', 'drama'}", "{'drama'}", "{'action', 'comedy'}"],
        ["[action|drama]", "[drama]", "[action|comedy]"],
        ["['action' 'drama']", "['drama']", "['action' 'comedy']"],
        ["action | drama", "drama", "action | comedy"],
        ["action;drama", "drama", "action;comedy"],
        ["action, drama", "drama", "action, comedy"],
    ],
)
def test_a_list_in_a_cell_is_read_as_one(read: Read, cells: list[str]) -> None:
    ready = read("x -> genres", {"x": list(range(60)), "genres": cells * 20})

    assert kinds(ready)["genres"] == "categories"
    assert ready.types["output", "genres"].classes == ("action", "comedy", "drama")
    assert values_of(ready, "genres", "output")[1] == {"action": False, "comedy": False, "drama": True}


@pytest.mark.parametrize("cells", [["1", "3", "1,2,3", "2,3"], ["1", "3", "1|2|3", "2|3"], ["[1 2]", "[3]", "[1 2 3]", "[2 3]"]])
def test_several_numbers_are_several_labels(read: Read, cells: list[str]) -> None:
    ready = read("x -> genres", {"x": list(range(80)), "genres": cells * 20})

    assert kinds(ready)["genres"] == "categories"
    assert ready.types["output", "genres"].classes == ("1", "2", "3")


def test_the_mark_between_labels_is_judged_over_the_column_and_told(read: Read) -> None:
    cells = ["rock, hard;pop", "pop", "rock, hard", "pop;rock, hard"] * 20

    ready = read("x -> kinds:categories", {"x": list(range(80)), "kinds": cells})

    assert ready.types["output", "kinds"].classes == ("pop", "rock, hard")
    assert "';' between them" in said(ready, "kinds", "output") and "separator=" in said(ready, "kinds", "output")


# --- files beside a table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "folder"),
    [("img/{}.png", "img"), ("{}.png", "img"), ("{}", "img"), ("{}.png", "."), ("{}", ".")],
    ids=["path", "name", "id", "name beside", "id beside"],
)
@pytest.mark.parametrize("whole", [False, True], ids=["table", "folder"])
def test_pictures_beside_a_table_are_found(read: Read, tmp_path: Path, cell: str, folder: str, whole: bool) -> None:
    place = tmp_path / "data" / folder
    place.mkdir(parents=True)
    for i in range(12):
        PIL.Image.new("L", (8, 8), 20 * i).save(place / f"{i:04}.png")
    path = tmp_path / "data" / "labels.csv"
    path.write_text(table(id_code=[cell.format(f"{i:04}") for i in range(12)], label=["a", "b"] * 6), encoding="utf-8")

    ready = read("* -> label", path.parent if whole else path)

    assert [slot.type for slot in ready.signature.slots] == ["image", "category"]
    assert len(np.unique(ready.found.hashes)) == 12
    told = path.parent if "/" in cell else place
    assert whole or any(f"files in {told}" in text for text in ready.source.said)


def test_numbers_without_files_stay_numbers(read: Read, tmp_path: Path) -> None:
    PIL.Image.new("L", (8, 8)).save(tmp_path / "1.png")

    ready = read("* -> label", table(x=range(12), label=["a", "b"] * 6))

    assert kinds(ready)["x"] == "number"


# --- whole numbers as classes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([0, 1, 2], "category"),
        (["1.0", "2.0", "3.0", "4.0", "5.0"], "category"),
        (list(range(20)), "category"),
        (list(range(21)), "number"),
        ([10, 500, 1200], "number"),
        ([0.5, 1.5], "number"),
        (["2024-01-01", "2024-01-02", "2024-01-03"], "number"),
    ],
)
def test_a_target_of_few_whole_numbers_is_a_category(read: Read, cells: list[Any], kind: str) -> None:
    rows = len(cells) * 5
    columns = {"x": [i * 0.37 for i in range(rows)], "grade": cells * 5}

    ready, asked = read("* -> grade", columns), read("* -> grade:number", columns)

    assert kinds(ready)["grade"] == kind and kinds(asked)["grade"] == "number"
    assert any("it could be grade:number, too" in text for text in ready.left_out) == (kind == "category")
    assert not findings(ready, "left out")


def test_an_input_of_few_whole_numbers_stays_a_number(read: Read) -> None:
    ready = read("* -> y", {"x": [0, 1, 2] * 20, "y": ["a", "b", "c", "d"] * 15})

    assert kinds(ready)["x"] == "number"
