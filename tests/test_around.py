"""Numbers with something around them: units, durations, words for nothing, errors of spreadsheets, dates in two orders."""

from __future__ import annotations

import random
from typing import Any

import pytest

from mapsto.cells import Column
from mapsto.checks import look
from mapsto.config import settings_of
from mapsto.data.open import open_source
from mapsto.errors import CellError
from mapsto.registry import entry, names
from mapsto.steps.rows import make_ready
from mapsto.types.number import Number

N = 400
DRAW = random.Random(0)
NUMBERS = [f"{DRAW.gauss(0, 1):.2f}" for _ in range(N)]


def kind_of(cells: list[Any], side: str = "input") -> str:
    sure = {name: entry("types", name).sniff(Column("x", cells, side)) for name in names("types")}
    return max(sure, key=lambda name: sure[name])


def fitted(cells: list[Any], **options: Any) -> Number:
    written = Number(**options).as_written(Column("x", cells), "input")
    return written.fit(written.read_all(cells)[0], {"name": "x"})


def with_words(words: list[str], count: int) -> list[str]:
    cells = list(NUMBERS)
    for k, i in enumerate(DRAW.sample(range(N), count)):
        cells[i] = words[k % len(words)]
    return cells


@pytest.mark.parametrize("count", [17, 40])
@pytest.mark.parametrize("words", [["unknown"], ["N.A."], ["nicht bekannt"], ["not measured", "Unknown"], ["lost", "out"]], ids=str)
def test_words_for_nothing_among_numbers_are_missing(words: list[str], count: int) -> None:
    cells = with_words(words, count)
    number = fitted(cells)
    encoded, problems = number.encode_column(cells)
    assert kind_of(cells) == "number" and not problems
    assert sum(encoded != encoded) == count
    assert f"'{min(words).lower()}'" in number.said("x") and "x:category" in number.said("x")


def test_training_rows_may_have_more_of_them_than_all() -> None:
    """What a column is is decided over all rows, how it is written over those of training."""
    cells = with_words(["unknown"], 40)
    few = [cell for i, cell in enumerate(cells) if cell == "unknown" or i % 2]
    assert fitted(few).words == ("unknown",)


@pytest.mark.parametrize(
    ("words", "count", "kind"),
    [(["unknown"], 80, "category"), (["red", "green", "blue"], 40, "category")],
    ids=["too many", "several"],
)
def test_words_that_mean_something_make_classes(words: list[str], count: int, kind: str) -> None:
    assert kind_of(with_words(words, count)) == kind


@pytest.mark.parametrize("word", [">100", "1o2", "abc"])
def test_what_is_no_word_for_nothing_stays_unreadable(word: str) -> None:
    cells = [*NUMBERS[:-1], word] if word == "abc" else with_words([word], 10)
    assert kind_of(cells) == "number" and fitted(cells).words == ()
    assert fitted(cells).encode_column(cells)[1]


@pytest.mark.parametrize("error", ["#DIV/0!", "#REF!", "#VALUE!", "#NUM!", "#NAME?"])
def test_errors_of_spreadsheets_are_missing(error: str) -> None:
    cells = with_words([error], 100)
    assert kind_of(cells) == "number" and fitted(cells).read(error) is None


@pytest.mark.parametrize(
    ("cells", "unit", "values"),
    [
        (["50 kg", "62 kg", "7 kg"], "kg", [50.0, 62.0, 7.0]),
        (["50KG", "62 kg", "7"], "kg", [50.0, 62.0, 7.0]),
        (["104.1cm", "-3cm", "1,204.5cm"], "cm", [104.1, -3.0, 1204.5]),
        (["1,5 km/h", "2,25 km/h", "0,5 km/h"], "km/h", [1.5, 2.25, 0.5]),
        (["20 °C", "-5 °C", "0 °C"], "°c", [20.0, -5.0, 0.0]),
        (["12 m²", "80 m²", "7 m²"], "m²", [12.0, 80.0, 7.0]),
        (["1h 20m", "54m", "2h"], "h m s", [4800.0, 3240.0, 7200.0]),
        (["1 min 30 s", "45 s", "2 min"], "h m s", [90.0, 45.0, 120.0]),
        (["1d 2h", "3h", "10m 5s"], "h m s", [93600.0, 10800.0, 605.0]),
    ],
)
def test_one_unit_behind_all_is_read_away(cells: list[str], unit: str, values: list[float]) -> None:
    many = [DRAW.choice(cells) for _ in range(100)] + cells
    number = fitted(many)
    assert number.unit == unit and [number.read(cell) for cell in cells] == values
    assert number.encode_column(cells)[0].tolist() == values
    assert ("durations" if unit == "h m s" else f"numbers of {unit}") in number.said("x")


def test_a_unit_that_no_training_row_had_is_unreadable() -> None:
    number = fitted([f"{i} kg" for i in range(100)])
    with pytest.raises(CellError, match="expected a number"):
        number.read("50 g")
    assert number.read(50) == number.read("50") == 50.0


def test_numbers_of_a_unit_are_numbers() -> None:
    assert kind_of([f"{DRAW.randint(1, 99)} kg" for _ in range(N)]) == "number"
    assert kind_of([f"{DRAW.randint(1, 5)} stars" for _ in range(N)], "output") == "category"


@pytest.mark.parametrize("cells", [["50 kg", "62 g"], ["A1", "B2"], ["1st", "2nd"], ["12 Main St", "3 High Rd"], ["3 Jan", "4 Feb"]], ids=str)
def test_several_units_are_none(cells: list[str]) -> None:
    assert fitted(cells * 20).unit == ""


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ([f"2020-{1 + i % 12:02}-{1 + i % 28:02}" for i in range(60)], "'x' is read as dates"),
        ([f"{i % 24:02}:{i % 60:02}" for i in range(60)], "'x' is read as times of day"),
        ([f"{1 + i % 12}:{i % 60:02} {'AP'[i % 2]}M" for i in range(60)], "'x' is read as times of day"),
        ([f"{1 + i % 12:02}/{1 + i % 28:02}/2020" for i in range(60)], "'x' is read as dates, month before day where a date could be both (x:number(day_first=…))"),
        (
            [f"{1 + i % 12:02}/{1 + i % 28:02}/2020" if i % 3 else f"{1 + i % 28:02}/{1 + i % 12:02}/2020" for i in range(60)],
            "'x' holds dates with the day first and others with the month first; those that could be both are read month before day (x:number(day_first=…))",
        ),
    ],
    ids=["iso", "clock", "halves", "either", "both"],
)
def test_what_is_said_of_dates(cells: list[str], said: str) -> None:
    assert fitted(cells).said("x") == said


@pytest.mark.parametrize(("cell", "hours"), [("18:00", 18), ("6:00 PM", 18), ("12:30 am", 0.5), ("12:15 p.m.", 12.25), ("9:00:00AM", 9)])
def test_times_of_day(cell: str, hours: float) -> None:
    assert Number().read(cell) == hours * 3600


@pytest.mark.parametrize(
    "cells",
    [
        [f"{v}-{v + 3}" for v in range(200, 500, 3)],
        [f"{v / 7:.4f},{v / 9 - 30:.4f}" for v in range(100)],
        [f"{v}.5{'kg' if v % 2 else 'g'}" for v in range(100)],
    ],
    ids=["ranges", "pairs", "units"],
)
def test_numbers_that_are_read_as_names_are_told(cells: list[str]) -> None:
    assert [one.columns for one in findings(cells)] == [("x",)]


@pytest.mark.parametrize(
    "cells",
    [["18-25", "26-35", "36-45"] * 40, [f"{v}_1" for v in range(120)], [f"room {v} upstairs" for v in range(120)], NUMBERS[:120]],
    ids=["few", "codes", "texts", "numbers"],
)
def test_names_are_not_told_to_be_numbers(cells: list[str]) -> None:
    assert findings(cells) == []


def findings(cells: list[str]) -> list[Any]:
    """What is found of how a column is written."""
    cells = cells * 2
    rows = {"x": cells, "z": [DRAW.random() for _ in cells], "y": ["p", "q"] * (len(cells) // 2)}
    given = settings_of({})
    ready = make_ready(open_source(rows, given.reading), "x, z -> y", given, lambda event: None)
    return [one for one in look(ready.evidence) if one.name == "written"]


def test_codes_of_a_letter_and_a_number_are_names() -> None:
    from mapsto.checks.written import _is_numeric

    assert not any(map(_is_numeric, ["C85", "E46", "B57 B59", "X-12", "D"]))
    assert all(map(_is_numeric, ["30-39", "12 x 4 cm", "<5"]))
