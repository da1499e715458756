"""What stands on the page and where: the answer first, rows as tables, numbers as people write them, and what to do next."""

from __future__ import annotations

import numpy as np
import pytest

from mapsto import api
from mapsto.blocks import Bars, Gallery, Item, Section, Table
from mapsto.report.drawn import drawn
from mapsto.report.reporting import kept
from mapsto.report.rows import as_table
from mapsto.report.scales import figure, tick_text, ticks, typeset
from mapsto.report.text import lines_of
from mapsto.run import Run


def ignore(event: object) -> None:
    """Hears nothing."""


@pytest.fixture(scope="module")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Prices of 400 numbered houses, one of them huge, by a net that hardly learned."""
    rng = np.random.default_rng(0)
    size, town = rng.normal(100, 10, 400), rng.choice(["by the sea", "inland"], 400)
    size[::50] = 900
    price = 3000 * size + 50_000 * (town == "inland") + rng.normal(0, 9000, 400)
    path = tmp_path_factory.mktemp("data") / "houses.csv"
    rows = [f"{i + 1},{a:.1f},{b},{c:.0f}" for i, (a, b, c) in enumerate(zip(size, town, price, strict=True))]
    path.write_text("\n".join(["house_id,size,town,price", *rows]) + "\n")
    return api.train(
        path,
        "* -> price",
        steps=8,
        threads=1,
        model="linear",
        out=tmp_path_factory.mktemp("runs"),
        emit=ignore,
    )


def found(run: Run, name: str) -> Section:
    return next(one for one in kept(run)[0] if one.name == name)


# ---- numbers ------------------------------------------------------------------------------------------------------


def test_numbers_in_sentences_are_written_out() -> None:
    said = typeset(
        "rmse from 3.75e+04 to -1.2e-05 (-0.08 – 0.03), p < 1e-03; 'a-1' of 2026-11-30, '-2', runs/-3"
    )

    assert (
        said == "rmse from 37,500 to −0.000012 (−0.08 – 0.03), p < 0.001; 'a-1' of 2026-11-30, '-2', runs/-3"
    )


def test_axes_step_by_one_two_or_five() -> None:
    for high in np.geomspace(0.001, 1e6, 50):
        steps = np.diff(ticks(0, float(high)))
        assert float(f"{steps[0]:.6e}".split("e")[0]) in (1, 2, 5)
    assert tick_text(-20_000) == "−20k" and figure(-3) == "−3" and figure(1e-9) == "1.0e-9"


def test_tables_and_captions_have_true_minus_signs_and_capitals() -> None:
    text = drawn(
        Table(("part", "gain"), (("a", "-0.1 – 3.5e+04"), ("-b", "0.2 – 0.3")), "the gain of each part.")
    )

    assert "−0.1 – 35,000" in text and ">-b<" in text and "<figcaption>The gain" in text
    assert "<figcaption>price: the gain" in drawn(Bars(("a",), (1,), "x", "price: the gain"))


# ---- rows ---------------------------------------------------------------------------------------------------------


def test_rows_of_cells_are_a_table_and_others_are_not() -> None:
    rows = tuple(
        Item(f"line {i}", None, (), ("true: a", f"said: b ({i})", "note: x: y"), marked=(2,)) for i in (1, 2)
    )
    long = Item("line 3", None, (("word " * 30, 0.0),), ("true: a", "said: b"))

    table = as_table(Gallery((*rows, long), "Wrong."))

    assert table is not None and table.columns == ("row", "true", "said", "note")
    assert table.rows[0] == ("line 1", "a", "b (1)", "x: y") and table.rows[2][3].startswith("word word")
    assert table.unusual == ((0, 3), (1, 3)) and table.private
    assert 'class="unusual"' in drawn(Gallery(rows))
    assert any(
        line.split()[:3] == ["line", "1", "a"] for line in lines_of(Section("s", "T", "", (Gallery(rows),)))
    )
    for other in (
        Item("x", b"png"),
        Item("x", texts=(("t", (("a", "", False),)),)),
        Item("x", None, (("a", 0.5),)),
    ):
        assert as_table(Gallery((*rows, other))) is None
    assert as_table(Gallery((long,))) is None and as_table(Gallery(())) is None


def test_what_sets_a_row_apart_is_marked(houses: Run) -> None:
    (shown,) = [block for block in found(houses, "errors").blocks if isinstance(block, Gallery)]

    huge = [item for item in shown.items if "size: 900" in item.lines]

    assert huge and all(item.lines[item.marked[0]] == "size: 900" for item in huge)
    assert not any(item.lines[n].startswith("town") for item in shown.items for n in item.marked)


def test_what_is_learned_stands_first_among_sample_rows(houses: Run) -> None:
    (table,) = found(houses, "rows").blocks
    assert isinstance(table, Table) and table.columns == ("price", "size", "town")


def test_slices_name_neither_the_target_nor_the_number_of_a_row(houses: Run) -> None:
    section = found(houses, "slices")

    columns = {part["column"] for part in section.figures["price"]["parts"]}

    assert columns == {"size", "town"}
    assert all(
        block.columns[2] == "rows" and min(row[2] for row in block.rows) >= 5
        for block in section.blocks
        if isinstance(block, Table)
    )
