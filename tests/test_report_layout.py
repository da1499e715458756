"""What stands on the page and where: the answer first, rows as tables, numbers as people write them, and what to do next."""

from __future__ import annotations

import html
import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import browser
import numpy as np
import pytest

from mapsto import api
from mapsto.blocks import Bars, Code, Gallery, Item, Lines, Matrix, Paragraph, Section, Table
from mapsto.checks.base import Finding
from mapsto.cli import parser
from mapsto.report import decisions, facts
from mapsto.report.drawn import drawn
from mapsto.report.layout import TALLEST, chapter, first_figure, fitted
from mapsto.report.leaderboard import NET, metrics
from mapsto.report.next_steps import next_steps
from mapsto.report.page import page
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


def test_a_long_gallery_is_folded() -> None:
    text = drawn(Gallery(tuple(Item(f"line {i}", None, (("a word", 0.5),)) for i in range(10))))
    assert text.index("<summary>4 more rows") < text.index("line 6") and text.index("line 5") < text.index(
        "<details>"
    )


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


# ---- order and height ---------------------------------------------------------------------------------------------

LONG = Section("s", "T", "H.", (Paragraph("Look."), Table(("a",), ((1,),) * 8, "Ones."), Lines((), "x", "y")))


def test_the_first_figure_stands_open_and_the_others_are_named() -> None:
    one = chapter(LONG, lead=first_figure(LONG.blocks))

    assert "Look." in one.body and "<table>" in one.body and "<svg" not in one.body
    assert "<svg" in one.more and one.hint == "More: curves"
    assert "<svg" in one.shut().more and not one.shut().body and one.shut().hint == "Show"
    assert chapter(replace(LONG, blocks=())).shut().more == ""


def test_figures_fold_from_the_last_on_where_nothing_calls_for_a_look_first() -> None:
    many = [chapter(replace(LONG, name=str(i), sign="look" if i == 29 else "")) for i in range(30)]

    found = fitted(many)

    still = [bool(one.body) for one in found]
    assert still[0] and still[29] and not still[28] and still[:29] == sorted(still[:29], reverse=True)
    assert all(one.body for one in fitted(many[:3])) and not any(
        one.body for one in fitted(many[:3], many * 3)
    )


@pytest.mark.skipif(browser.PROGRAM is None, reason="no chromium here")
def test_a_page_can_be_read_through(houses: Run, tmp_path: Path) -> None:
    """Also one of many questions with long figures."""
    more = [Section(f"q{i}", f"Question {i}?", "It is so. " * 12, LONG.blocks[1:]) for i in range(8)]
    matrix = Section("m", "Confused?", "Yes.", (Matrix(("a", "b"), ("a", "b"), ((1, 2), (3, 4))),))
    (tmp_path / "page.html").write_text(page(houses, [*kept(houses)[0], matrix, *more]))

    with browser.Browser(tmp_path / "profile") as opened:
        opened.open(tmp_path / "page.html", 1280, 900, "light")
        size = opened.ask("Page.getLayoutMetrics")["cssContentSize"]

    assert 4_000 < size["height"] <= TALLEST + 300


def test_the_contents_say_where_to_look(houses: Run) -> None:
    signed = Section("s", "Odd?", "Yes.", (), sign="look")
    text = page(houses, [signed, replace(signed, name="t", sign="good"), replace(signed, name="u", sign="")])

    for name, mark in (("s", "!"), ("t", "✓")):
        assert re.search(rf'<a href="#{name}"><span class="sign [a-z]+"[^>]*>{mark}</span>Odd\?', text)
    assert (
        '<a href="#u">Odd?' in text and Section.from_json(json.loads(json.dumps(signed.to_json()))) == signed
    )


# ---- how good it is -----------------------------------------------------------------------------------------------


def paired(better: bool, worse: bool, trivial: bool = True) -> Section:
    rival = {
        "net": 35_857.0,
        "value": 40_377.0,
        "difference": -4520.0,
        "low": -6e3,
        "high": -3e3,
        "n": 2091,
        "better": better,
        "worse": worse,
    }
    mean = rival | {"value": 9e4, "better": trivial, "worse": False}
    return Section("baselines", "Better?", "", (), {"price": {"nearest": rival, "mean": mean}})


def test_one_verdict_by_the_paired_test_on_the_whole_page(houses: Run) -> None:
    said = {
        "Usable: better than the best baseline (nearest) beyond chance, MAE 35,857 against 40,377 on the same 2,091 rows.": paired(
            True, False
        ),
        "Usable, but no better than the best baseline (nearest) as far as can be told": paired(False, False),
        "Beaten by a baseline (nearest) beyond chance": paired(False, True),
        "Not usable: no better than 'mean', which knows nothing of the inputs": paired(
            False, False, trivial=False
        ),
    }
    for sentence, section in said.items():
        (score,) = facts.scores(houses, [section])
        assert facts.verdict(score).startswith(sentence) and score.poor == (
            not sentence.startswith("Usable:")
        )
        text = html.unescape(page(houses, [section]))
        assert text.count(sentence) == 2 and "baseline" in text, "in the head, and where it is shown"


def test_the_leaderboard_holds_whatever_baselines_there_are(houses: Run) -> None:
    rivals = houses.metrics["baselines"]["price"]

    board = metrics(houses, kept(houses)[0]).blocks[0]

    assert isinstance(board, Table) and {row[0] for row in board.rows} == {NET, *rivals}
    values = [row[1] for row in board.rows]
    assert values == sorted(values, reverse=True) and board.rows[board.marked[0]][0] == NET
    assert all(row[-1] in ("better", "worse", "not told apart") for row in board.rows if row[0] in rivals)


# ---- what to do ---------------------------------------------------------------------------------------------------


def commands(section: Section) -> list[str]:
    return [line for block in section.blocks if isinstance(block, Code) for line in block.text.split("\n")]


def test_a_net_that_loses_is_told_what_to_do_in_lines_that_can_be_typed(houses: Run) -> None:
    at = houses.path.absolute()
    labels = Section("labels", "", "", (), {"price": {"doubted": 12}})
    gains = Section("more_data", "", "", (), {"price": {"gain": {"twice": [0.12, 0.05, 0.2]}}})
    fault = Finding("leakage", "warn", "'town' gives the answer away", "too good", "--drop town")

    found = next_steps(houses, [*kept(houses)[0], labels, gains], [fault], at)

    verbs = [shlex.split(line)[1] for line in commands(found)]
    assert verbs == ["check", "check", "doctor", "train", "extend", "assess", "extend", "predict", "evaluate"]
    text = " ".join(block.text for block in found.blocks if isinstance(block, Paragraph))
    assert "'price': 'nearest' reaches r2" in text or "no better than that of 'mean'" in text, (
        "as the terminal said"
    )
    assert "12 labels are in doubt" in text and "12% off its error" in text and "--drop town" in text
    for line in commands(found):
        parser()[0].parse_args(shlex.split(line)[1:])


def test_a_good_net_is_used_first(houses: Run) -> None:
    good = Run(houses.path, {**houses.record, "cautions": [], "best_step": 4})

    found = next_steps(good, [paired(True, False)], [], houses.path)

    assert [shlex.split(line)[1] for line in commands(found)] == ["predict", "evaluate"] and not found.sign


def test_what_was_asked_is_said_as_it_was_asked(houses: Run) -> None:
    record = {**houses.record, "asked": ""}
    settings = houses.settings
    of_target = replace(settings, reading=replace(settings.reading, target="price")).to_json()
    rows = {name: dict(decisions.asked(Run(houses.path, one)).blocks[1].rows)["asked for"] for name, one in (  # type: ignore[union-attr]
        ("signature", houses.record), ("target", {**record, "settings": of_target}), ("nothing", record))}  # fmt: skip
    assert rows == {
        "signature": "* -> price",
        "target": "--target price",
        "nothing": "whatever the data suggests",
    }
