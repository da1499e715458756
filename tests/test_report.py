"""The page and the card of a run: whole, safe, small, private where asked, drawn again when the data is gone; and lines that work as printed."""

from __future__ import annotations

import base64
import csv
import html
import io
import itertools
import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from mapsto import api
from mapsto.blocks import Bars, Code, Gallery, Item, Line, Lines, Matrix, Paragraph, Section, Table
from mapsto.cells import for_spreadsheet
from mapsto.checks.base import Finding
from mapsto.cli import main, parser
from mapsto.config import settings_of
from mapsto.data.encode import list_bad
from mapsto.errors import RunError
from mapsto.report import decisions, facts, reporting
from mapsto.report.card import card, metadata, yaml
from mapsto.report.drawn import drawn
from mapsto.report.figures import NARROW, WIDE, bars, lines
from mapsto.report.layout import Chapter, chapter
from mapsto.report.markup import clean, safe, tag
from mapsto.report.matrix import heat_map
from mapsto.report.page import MOST_BYTES, document, page
from mapsto.report.scales import column, figure, log_ticks, tick_text, ticks
from mapsto.run import Run
from mapsto.source import BadRow
from mapsto.terminal.results import table as table_of
from mapsto.terminal.words import short

EVIL = "<script>alert('x')</script>"
VOID = {"br", "hr", "img", "meta", "link", "rect", "line", "circle", "path"}


def quiet(event: object) -> None:
    """Hears nothing."""


class Parsed(HTMLParser):
    """A page as tags, attributes and text; fails on tags that do not match."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID or tag == "path":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    def of(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def odd_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 rows whose names and cells hold html, quotes, formulas, and numbers that stand nowhere else."""
    rng = np.random.default_rng(5)
    path = tmp_path_factory.mktemp("odd") / "odd.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(['size "in" <b>cm</b>', "shop's, name", "=SUM(A1)"])
        for i in range(200):
            shop = (EVIL, "O'Brien & Söhne", "مرحبا", "\u202egnirts")[i % 4]
            table.writerow([f"{rng.normal() * 100:.7f}", shop, "=1+1" if (i % 4 < 2) ^ (rng.random() < 0.1) else "-x"])
    return path


@pytest.fixture(scope="module")
def odd(odd_table: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return api.train(odd_table, "* -> '=SUM(A1)':category", steps=25, threads=1, out=tmp_path_factory.mktemp("runs"), emit=quiet)


@pytest.fixture(scope="module")
def bars_run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return api.train(photos, steps=10, threads=1, model="linear", out=tmp_path_factory.mktemp("runs"), emit=quiet)


def written(run: Run) -> str:
    return (run.path / "report.html").read_text(encoding="utf-8")


# --- the page --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["odd", "bars_run"])
def test_the_page_is_whole_and_asks_nothing_of_anybody(name: str, request: pytest.FixtureRequest) -> None:
    text = written(request.getfixturevalue(name))

    found = Parsed(text)

    assert len(text.encode()) <= MOST_BYTES
    assert not {tag for tag, _ in found.tags} & {"script", "iframe", "object", "embed", "form", "audio", "video"}
    addresses = [value for _, attributes in found.tags for key, value in attributes.items() if key in ("src", "href", "srcset", "action", "data")]
    assert addresses and all(str(one).startswith(("data:", "#")) for one in addresses)
    assert not re.search(r"url\(|@import|https?://", re.sub(r"<body.*", "", text, flags=re.DOTALL))
    assert not [key for _, attributes in found.tags for key in attributes if key.startswith("on")]


@pytest.mark.parametrize("name", ["odd", "bars_run"])
def test_the_page_can_be_heard_and_walked(name: str, request: pytest.FixtureRequest) -> None:
    found = Parsed(written(request.getfixturevalue(name)))

    levels = [int(tag[1]) for tag, _ in found.tags if re.fullmatch(r"h[1-6]", tag)]
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    figures = [one for one in found.of("svg") if one.get("aria-hidden") != "true"]
    assert levels[0] == 1 and levels.count(1) == 1 and all(b - a <= 1 for a, b in itertools.pairwise(levels))
    assert len(ids) == len(set(ids)) and {str(one["href"])[1:] for one in found.of("a")} <= set(ids)
    assert figures and all(one["role"] == "img" and one["aria-label"] for one in figures)
    assert all(one["alt"] for one in found.of("img"))
    assert found.of("html")[0]["lang"] == "en" and "width=device-width" in str(found.of("meta"))


def test_what_stands_in_the_data_is_text_and_nothing_else(odd: Run) -> None:
    text = written(odd)

    found = Parsed(text)

    assert EVIL in found.text and html.escape(EVIL) in text and EVIL not in text
    assert 'size "in" <b>cm</b>' in found.text and not found.of("b")
    assert "O'Brien & Söhne" in found.text


def test_chapters_stand_in_their_order(odd: Run) -> None:
    found = Parsed(written(odd))

    sections = [str(one["id"]) for one in found.of("section")]
    last = ["asked", "decided", "data", "curves", "cost", "use", "reproduce", "machine"]
    assert sections[:2] == ["metrics", "next"] and sections[-8:] == last and len(sections) > 12
    assert "baselines" not in sections, "one verdict, and no other"
    assert "confusion" in sections


def test_the_style_serves_light_dark_phone_and_paper(odd: Run) -> None:
    style = re.search(r"<style>(.*?)</style>", written(odd), re.DOTALL)

    assert style
    for wanted in ("prefers-color-scheme: dark", "@media print", "max-width: 640px", "overflow-x: auto", "tabular-nums"):
        assert wanted in style[1]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_letters_stand_out_from_what_is_behind_them(theme: str) -> None:
    """WCAG 2: 4.5 for text, 3 for what is drawn."""
    css = (Path(facts.__file__).with_name("style.css")).read_text()
    roots = re.findall(r":root \{(.*?)\n\s*\}", css, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", roots[0 if theme == "light" else 1]))

    def light(colour: str) -> float:
        parts = (int(colours[colour][i : i + 2], 16) / 255 for i in (1, 3, 5))
        return sum(w * (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4) for w, v in zip((0.2126, 0.7152, 0.0722), parts, strict=True))

    def contrast(a: str, b: str) -> float:
        low, high = sorted((light(a), light(b)))
        return (high + 0.05) / (low + 0.05)

    for letters in ("ink", "soft", "muted", "accent"):
        assert min(contrast(letters, behind) for behind in ("paper", "panel", "code")) >= 4.5, letters
    for level in ("stop", "warn", "note"):
        assert contrast(level, f"{level}-tint") >= 4.5, level
    for curve in ("s1", "s2", "s3", "s4", "s5", "s6", "s7", "right", "wrong"):
        assert contrast(curve, "paper") >= 2.9, curve


def test_a_page_of_too_much_is_made_smaller_and_says_so(odd: Run) -> None:
    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(40):
        file = io.BytesIO()
        PIL.Image.fromarray(rng.integers(0, 255, (256, 256, 3), np.uint8)).save(file, "PNG")
        pictures.append(Item("noise", file.getvalue(), lines=("true: a",)))
    sections = [Section(f"s{i}", "Pictures", "Many.", (Gallery(tuple(pictures), "Noise."),)) for i in range(2)]
    wide = Section("wide", "A wide table", "", (Table(tuple(f"c{i}" for i in range(500)), tuple(("x" * 400,) * 500 for _ in range(300))),))

    text = page(odd, [*sections, wide])

    assert len(text.encode()) <= MOST_BYTES
    assert "stays below 3 MB" in Parsed(text).text and "not shown here" in Parsed(text).text


def test_nothing_but_text_when_even_that_is_too_much(odd: Run) -> None:
    sections = [Section(f"s{i}", "Long", "It is long.", (Paragraph("word " * 30_000),)) for i in range(40)]

    text = page(odd, sections)

    assert len(text.encode()) <= MOST_BYTES and "Left out" in Parsed(text).text


# --- figures ---------------------------------------------------------------------------------------------------------------------

CURVE = Line("a", (1, 2, 3, 4), (0.5, None, float("nan"), 0.9), (0.4, None, 0.5, 0.8), (0.6, None, 0.7, 1.0), points=True)
BLOCKS = {
    "says": Paragraph("One `name`.\n- a list\n- of two\n# A heading\nTwo."),
    "code": Code("mapsto train data.csv --steps 200 '* -> y'"),
    "table": Table(("a", "b", "a long column of text"), ((1, 0.25, EVIL), (None, True, "x" * 500)), "A table.", (1,)),
    "long table": Table(("n", "square"), tuple((i, i * i) for i in range(300))),
    "pairs": Table(("", ""), (("a", "b"),)),
    "empty table": Table(("a", "b"), ()),
    "curves": Lines((CURVE, Line("b", (1, 4), (0.1, 0.2))), "x", "y", marks=((3.0, "here"),)),
    "one point": Lines((Line("a", (5,), (0.3,)),), "x", "y"),
    "no point": Lines((Line("a", (), ()),), "x", "y"),
    "logarithmic": Lines((Line("a", (0, 10, 100, 1000), (1, 2, 3, 4)),), "rows", "y", log_x=True),
    "diagonal": Lines((Line("a", (0.1, 0.9), (0.2, 0.8), (-0.02, 0.7), (0.3, 1.1)),), "said", "right", diagonal=True),
    "many points": Lines((Line("a", tuple(range(10_000)), tuple(range(10_000))),), "x", "y"),
    "many curves": Lines(tuple(Line(str(i), (0, 1), (0, i)) for i in range(12)), "x", "y"),
    "bars": Bars(("a", EVIL, "none"), (0.5, -0.2, None), "gain", "", (0.4, -0.3, None), (0.6, -0.1, None), marked=(0,)),
    "many bars": Bars(tuple(map(str, range(90))), tuple(range(90)), "n"),
    "all zero": Bars(("a", "b"), (0, 0), "n"),
    "no bars": Bars((), (), "n"),
    "gallery": Gallery((Item("t", None, (("for ", 0.8), (EVIL, -0.5), ("long " * 400, 0.0)), ("true: a",)),)),
    "broken picture": Gallery((Item("t", b"no picture"),)),
    "matrix": Matrix(("a", "b"), ("a", "b"), ((3, 1), (0, 4)), "true", "said"),
    "empty matrix": Matrix((), (), ()),
    "signed matrix": Matrix(("a", "b"), ("c", "d"), ((0.5, -1.0), (None, 0.0))),
}


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_every_kind_of_block_is_drawn_and_comes_back_from_json(block: object) -> None:
    section = Section("s", "T", "H", (block,))  # type: ignore[arg-type]
    back = Section.from_json(json.loads(json.dumps(section.to_json())))

    text = document("t", tag("header", tag("h1", "t")), [chapter(section)])

    assert Parsed(text).text and EVIL not in text
    assert back.blocks == section.blocks or "nan" in str(section)
    assert [drawn(one) for one in back.blocks] == [drawn(one) for one in section.blocks]


@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("name", ["curves", "one point", "logarithmic", "diagonal", "many points", "bars", "all zero"])
def test_nothing_is_drawn_beside_the_figure(name: str, width: int) -> None:
    block = BLOCKS[name]

    text = lines(block, width) if isinstance(block, Lines) else bars(block, width)  # type: ignore[arg-type]

    _, _, wide, high = map(float, re.search(r'viewBox="([^"]+)"', text)[1].split())  # type: ignore[index]
    places = [(float(x), float(y)) for x, y in re.findall(r"[ML](-?[\d.]+),(-?[\d.]+)", re.sub(r"<path[^>]*transform=[^>]*>", "", text))]
    places += [(float(x), float(y)) for x, y in re.findall(r' x="(-?[\d.]+)" y="(-?[\d.]+)"', text)]
    assert wide <= width and places and all(-1 <= x <= wide + 1 and -1 <= y <= high + 1 for x, y in places), places
    assert "nan" not in text and "inf" not in text


def test_every_row_of_a_wide_matrix_is_named() -> None:
    letters, steps = tuple("abcdefghijklmnop"), tuple(map(str, range(100)))
    drawing = heat_map(Matrix(letters, steps, ((0.5,) * 100,) * 16, "token", "step"))
    assert all(f">{letter}<" in drawing for letter in letters)


@pytest.mark.parametrize(("values", "top"), [((0.0, 0.0), "1"), ((1.0, 1.0), "1"), ((0.0, 0.02), "0.02")])
def test_an_axis_of_shares_stays_between_nothing_and_all(values: tuple[float, float], top: str) -> None:
    drawing = lines(Lines((Line("F1", (1, 2), values),), "step", "F1"))
    said = re.findall(r'text-anchor="end">([^<]+)<', drawing)
    assert "0" in said and top in said and not any(one.startswith("-") for one in said)


def test_many_points_are_thinned() -> None:
    assert len(lines(BLOCKS["many points"])) < 20_000  # type: ignore[arg-type]


@pytest.mark.parametrize("classes", [2, 5, 12, 13, 30, 41, 100, 400])
def test_confusion_matrices_of_any_size(classes: int) -> None:
    rng = np.random.default_rng(classes)
    values = rng.poisson(0.1, (classes, classes)) + 20 * np.eye(classes, dtype=int)
    names = tuple(f"class {i}" for i in range(classes))
    block = Matrix(names, names, tuple(tuple(map(int, row)) for row in values), "true", "said")

    text = drawn(block)

    assert len(text) < 250_000
    figures = re.findall(r'<text [^>]*class="n[^"]*"[^>]*>([^<]*)<', heat_map(block))
    assert (str(values[0, 0]) in figures) == (classes <= 30)
    assert f"{values.trace()} of {values.sum()}".replace(",", "") in heat_map(block).replace(",", "")


def test_a_confusion_shows_right_and_wrong_in_different_colours() -> None:
    text = heat_map(BLOCKS["matrix"])  # type: ignore[arg-type]

    assert text.count('class="heat wrong"') == 1 and "(25% of the row)" in text


@given(some.floats(-1e9, 1e9), some.floats(1e-6, 1e9), some.integers(3, 12))
def test_ticks_are_round_few_and_inside(low: float, width: float, most: int) -> None:
    high = low + width
    found = ticks(low, high, most)
    assert 0 < len(found) <= most + 1 and found == sorted(set(found))
    assert all(low - 1e-6 * width <= value <= high + 1e-6 * width for value in found)


@given(some.floats(1e-6, 1e6), some.floats(1.01, 1e9))
def test_logarithmic_ticks_stay_inside(low: float, factor: float) -> None:
    found = log_ticks(low, low * factor)
    assert found and all(low * 0.999 <= value <= low * factor * 1.001 for value in found)


def test_numbers_are_written_alike() -> None:
    assert [tick_text(value) for value in (0, 0.2, 1500, 20_000, 3e6, 1e-5)] == ["0", "0.2", "1,500", "20k", "3M", "0.00001"]
    shown = {None: "–", math.nan: "–", 0.99184: "0.9918", 12.345: "12.35", 1234.5: "1,234", 7: "7", 12_345: "12,345", True: "yes", 2e-5: "0.00002", -0.5: "−0.5000"}
    assert [figure(value) for value in shown] == list(shown.values())
    assert column([0.12, 0.2, None]) == ["0.12", "0.20", "–"]
    assert column([1.0, 2.0]) == ["1", "2"]


def test_text_is_escaped_unless_it_was_made_here() -> None:
    assert safe("<a>\x00\ud800") == "&lt;a&gt;\ufffd\ufffd"
    assert tag("p", "<b>", tag("b", "x"), title='"') == '<p title="&quot;">&lt;b&gt;<b>x</b></p>'


# --- what it says ----------------------------------------------------------------------------------------------------------------


def score(
    value: float | None, low: float, high: float, rival: float, ends: tuple[float, float], higher: bool = True, split: str = "test"
) -> facts.Score:
    mine = {"value": value, "low": low, "high": high, "n": 100, "definition": ""}
    theirs = {"value": rival, "low": ends[0], "high": ends[1], "n": 100, "definition": ""}
    return facts.Score("y", "accuracy", split, mine, {"linear": theirs}, higher)


def test_the_verdict_says_no_more_than_the_intervals() -> None:
    assert facts.verdict(score(0.9, 0.88, 0.92, 0.8, (0.78, 0.82))).startswith("Clearly better")
    assert "overlap" in facts.verdict(score(0.83, 0.8, 0.86, 0.8, (0.78, 0.82)))
    assert "not better" in facts.verdict(score(0.8, 0.78, 0.82, 0.8, (0.78, 0.82)))
    assert facts.verdict(score(1.0, 0.9, 1.1, 2.0, (1.8, 2.2), higher=False)).startswith("Clearly better")
    assert "flatter" in facts.verdict(score(0.9, 0.8, 1.0, 0.5, (0.4, 0.6), split="validation"))
    assert "Nothing could be measured" in facts.verdict(None)


def test_where_baselines_lack_the_metric_the_next_one_judges() -> None:
    """Of a net that writes: the loss decides, which copying the input does not have."""
    bleu = replace(score(0.0, 0.0, 0.0, 16.1, (15.0, 17.0)), metric="bleu")
    loss = replace(score(5.4, 5.3, 5.5, 0.0, (0.0, 0.0), higher=False), metric="loss", beside={"copy": {"value": None}}, known=bleu)
    assert facts.verdict(loss).startswith("By BLEU (0.0000): It is not better than the best baseline (linear, 16.10)") and loss.poor
    good = replace(loss, known=replace(score(30.0, 28.0, 32.0, 16.1, (15.0, 17.0)), metric="bleu"))
    assert "Clearly better" in facts.verdict(good) and not good.poor


def test_what_is_counted_is_named() -> None:
    blocks = replace(score(2.7, 2.6, 2.8, 0.0, (0.0, 0.0)), beside={}, unit="blocks")
    assert "100 blocks" in facts.verdict(blocks) and "rows" not in facts.verdict(blocks)


def test_the_figure_that_matters_stands_first_with_its_interval(odd: Run) -> None:
    found = odd.metrics["test"]["=SUM(A1)"]["accuracy"]

    text = Parsed(written(odd)).text

    assert text.index(figure(found["value"])) < text.index("What was asked", text.index("95% interval"))
    assert f"95% interval {figure(found['low'])} – {figure(found['high'])}" in text


def test_the_command_asked_again_asks_the_same(odd: Run, table: Path, tmp_path: Path) -> None:
    wished = settings_of({"steps": 7, "lr": 0.01, "drop": "shop", "no_samples": True, "model": "mlp(width=8)", "seed": 3})
    run = Run(tmp_path, {"settings": wished.to_json(), "data": {"name": "t", "locations": [str(table)], "fingerprint": ""}, "asked": "x -> y"})

    for one in (odd, run):
        asked = parser()[0].parse_args(shlex.split(decisions.command(one, one.path))[1:])
        given = {
            name: value
            for name, value in vars(asked).items()
            if name not in ("command", "words", "out", "name", "json", "debug") and value is not None
        }
        assert settings_of(given) == one.settings
        assert asked.words == [*one.record["data"]["locations"], *([one.record["asked"]] if one.record["asked"] else [])]


def test_the_command_says_where_the_run_goes_and_how_it_is_called(odd: Run) -> None:
    record = {"settings": settings_of({}).to_json(), "data": {"name": "my data", "locations": ["d.txt"], "fingerprint": ""}, "asked": " -> text"}

    def told(path: str) -> list[str]:
        return shlex.split(decisions.command(Run(Path(path), record), Path(path)))

    assert told("/x/runs/2026-11-29-my-data-2") == ["mapsto", "train", "d.txt", "-> text"]
    assert told("/x/mine/2026-11-29-first") == ["mapsto", "train", "d.txt", "-> text", "--out", "/x/mine", "--name", "first"]


def test_a_long_clip_is_a_strip_that_can_be_seen() -> None:
    png = io.BytesIO()
    PIL.Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 500)).astype(np.uint8)).save(png, "PNG")
    text = drawn(Gallery((Item(picture=png.getvalue()),)))
    assert 'class="strip"' in text and 'width="500" height="40"' in text


def test_conversations_and_scales_are_told_as_people_know_them() -> None:
    assert short("-> messages") == "messages -> text" and short("-> chat:messages(max=64)") == "chat:messages(max=64) -> text"
    assert short(" -> text") == "-> text"
    one = {"value": 16.1, "low": 15.0, "high": 17.0, "n": 9}
    test = {"y": {"bleu": {**one, "definition": "BLEU, 0 to 100"}, "rouge1": {**one, "definition": "F1"}}}
    rows = "\n".join(table_of({"test": test, "baselines": {}}))
    assert "bleu (0–100)" in rows and " rouge1" in rows


def test_findings_are_shown_worst_first_and_escaped(odd: Run) -> None:
    findings = [
        Finding("constant", "note", "`x` is constant.", "Nothing.", "--drop x"),
        Finding("leakage", "stop", f"`{EVIL}` is the target.", "Figures mean nothing.", "--drop boat", where=("line 7",), examples=(EVIL,)),
    ]

    shown, hidden = page(odd, [], findings), page(odd, [], findings, private=False)

    assert shown.index("stops training") < shown.index("is constant") and EVIL not in shown
    assert "line 7" in shown and "line 7" not in hidden and "--drop boat" in hidden


# --- privacy, and what the run holds ---------------------------------------------------------------------------------------------


def numbers_of(table: Path) -> set[str]:
    with table.open(encoding="utf-8", newline="") as file:
        return {row[0] for row in list(csv.reader(file))[1:]}


def test_samples_are_shown_and_can_be_left_out(odd: Run, odd_table: Path) -> None:
    cells = numbers_of(odd_table)
    held = written(odd)
    try:
        api.report(odd.path, private=False, emit=quiet)
        text, model_card = written(odd), (odd.path / "README.md").read_text(encoding="utf-8")
    finally:
        api.report(odd.path, emit=quiet)

    assert any(f"{float(cell):g}" in held for cell in cells)
    assert not [cell for cell in cells if cell in text or cell in model_card or f">{float(cell):g}<" in text]
    assert "--no-samples" in text and written(odd) == held


def test_a_training_without_samples_keeps_them_out_of_every_page(odd_table: Path, tmp_path: Path) -> None:
    run = api.train(odd_table, "* -> '=SUM(A1)':category", steps=5, no_samples=True, threads=1, out=tmp_path, emit=quiet)
    api.report(run.path, emit=quiet)  # what was asked of the training holds for ever

    pages = [(run.path / name).read_text(encoding="utf-8") for name in ("report.html", "README.md", "sections.json")]

    assert run.settings.report.no_samples and not list(run.path.glob("example*"))
    assert not [cell for cell in numbers_of(odd_table) for text in pages if cell in text or f">{float(cell):g}<" in text]
    assert not [block for section in reporting.kept(run)[0] for block in section.blocks if block.private]


def test_the_page_is_drawn_again_when_the_data_has_moved(odd_table: Path, tmp_path: Path) -> None:
    moved = shutil.copy(odd_table, tmp_path / "data.csv")
    run = api.train(moved, "* -> '=SUM(A1)':category", steps=5, threads=1, out=tmp_path, emit=quiet)
    before = written(run)
    Path(moved).unlink()
    (run.path / "report.html").unlink()

    assert api.report(run.path, emit=quiet) == run.path / "report.html"
    assert written(run) == before

    (run.path / "sections.json").unlink()  # and asked anew from its encoded cells
    api.report(run.path, emit=quiet)
    assert "confusion" in {section.name for section in reporting.kept(run)[0]}


def test_a_question_that_fails_loses_no_training(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(view: object, **more: object) -> None:
        raise RuntimeError("no <answer>")

    events: list[dict] = []
    monkeypatch.setattr(reporting, "ask_all", fail)
    run = api.train(table, "x, shop -> sign", steps=3, threads=1, model="linear", out=tmp_path, emit=lambda event: events.append(dict(event)))

    assert run.status == "done" and events[-1]["event"] == "done"
    assert events[-1]["report"] == str(run.path / "report.html") and "no &lt;answer&gt;" in written(run)


def test_a_report_that_cannot_be_written_loses_no_training(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(run: Run) -> Path:
        raise RunError(f"{run.path}: the disk is full.")

    events: list[dict] = []
    monkeypatch.setattr(reporting, "draw", full)
    run = api.train(table, "x, shop -> sign", steps=3, threads=1, model="linear", out=tmp_path, emit=lambda event: events.append(dict(event)))

    assert Run.open(run.path).status == "done" and events[-1]["report"] == ""
    assert any("no report was written" in event.get("text", "") for event in events)


def test_a_cross_validation_is_reported_as_a_whole(table: Path, tmp_path: Path) -> None:
    run = api.train(table, "x, shop -> sign", steps=4, folds=2, threads=1, model="linear", out=tmp_path, emit=quiet)

    found = Parsed(written(run)).text

    assert f"on {run.metrics['test']['sign']['accuracy']['n']:,} test rows" in found and "Each fold" in found
    assert not list((run.path / "folds").glob("*/report.html"))


def test_rows_from_memory_are_reported_too(tmp_path: Path) -> None:
    rows = [
        {"x": i % 7, "when": f"2020-01-{i % 28 + 1:02}", "tags": ["a", "b"][: i % 3], "y": "up" if (i * 5) % 7 > 3 else "down"} for i in range(120)
    ]
    run = api.train(rows, "x, when, tags:categories -> y", steps=3, threads=1, model="linear", out=tmp_path, emit=quiet, allow="leakage")

    program = lines_of(run, "use", "python")

    assert not lines_of(run, "use", "sh") and "'tags': [" in program[0]
    assert "mapsto.train(rows" in Parsed(written(run)).text
    done = subprocess.run([sys.executable, "-c", program[0]], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout.split()[0] in ("up", "down"), done.stderr


def test_what_cannot_be_reported_says_what_to_do(odd: Run, tmp_path: Path) -> None:
    broken = shutil.copytree(odd.path, tmp_path / "broken")
    (broken / "sections.json").write_text("{")
    running = shutil.copytree(odd.path, tmp_path / "running")
    record = json.loads((running / "run.json").read_text(encoding="utf-8"))
    (running / "run.json").write_text(json.dumps({**record, "status": "running"}), encoding="utf-8")

    with pytest.raises(RunError, match=r"sections.json: is damaged"):
        api.report(broken, emit=quiet)
    with pytest.raises(RunError, match="mapsto resume"):
        api.report(running, emit=quiet)


# --- the card --------------------------------------------------------------------------------------------------------------------


def test_the_card_has_metadata_that_parses(odd: Run, bars_run: Run) -> None:
    loader = pytest.importorskip("yaml")
    for run, pipeline in ((odd, "tabular-classification"), (bars_run, "image-classification")):
        text = (run.path / "README.md").read_text(encoding="utf-8")

        front = loader.safe_load(text.split("---\n")[1])

        assert front == metadata(run) and front["pipeline_tag"] == pipeline and front["library_name"] == "mapsto"
        assert "license" not in front and "language" not in front
        result = front["model-index"][0]["results"][0]
        assert {one["type"] for one in result["metrics"]} >= {"accuracy", "f1", "roc_auc"} and result["task"]["type"] == pipeline
        assert "## Limits" in text and "## How to use it" in text


def test_the_card_holds_no_markup_of_the_data(odd: Run) -> None:
    text = card(odd, reporting.kept(odd)[0], [], {}, True)

    plain = re.sub(r"`[^`\n]+`", "", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    assert "<script" not in plain and "<b>" not in plain and "&lt;" in plain


def cleaned(value: object) -> object:
    if isinstance(value, dict):
        return {clean(name): cleaned(inner) for name, inner in value.items()}
    return [cleaned(inner) for inner in value] if isinstance(value, list) else clean(value) if isinstance(value, str) else value


@given(
    some.dictionaries(
        some.text(min_size=1, max_size=6),
        some.recursive(
            some.one_of(some.text(max_size=20), some.integers(-9, 9), some.floats(-9, 9)),
            lambda inner: some.one_of(some.lists(inner, max_size=3), some.dictionaries(some.text(min_size=1, max_size=6), inner, max_size=3)),
            max_leaves=8,
        ),
        min_size=1,
        max_size=4,
    )
)
@settings(max_examples=60, deadline=None)
def test_yaml_comes_back_as_it_was(value: dict[str, object]) -> None:
    loader = pytest.importorskip("yaml")
    wanted = cleaned(value)

    assert loader.safe_load(yaml(wanted)) == wanted  # type: ignore[arg-type]


# --- lines that work as printed --------------------------------------------------------------------------------------------------


def lines_of(run: Run, chapter: str, language: str) -> list[str]:
    """Code of a chapter of the page, as a person would copy it."""
    body = re.search(rf'<section id="{chapter}">(.*?)</section>', written(run), re.DOTALL)
    assert body
    return [html.unescape(re.sub(r"<[^>]+>", "", one)) for one in re.findall(rf'<code class="language-{language}">(.*?)</code>', body[1], re.DOTALL)]


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment whose `mapsto` is this one."""
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "mapsto"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mapsto.cli "$@"\n')
    command.chmod(0o755)
    yield {**os.environ, "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize("name", ["odd", "bars_run"])
def test_the_lines_of_use_work_as_printed(name: str, request: pytest.FixtureRequest, shell: dict[str, str], tmp_path: Path) -> None:
    run = request.getfixturevalue(name)
    classes = set(run.types["output", run.signature.outputs[0].name].vocabulary)

    for line in lines_of(run, "use", "sh"):
        done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, env=shell, cwd=tmp_path, timeout=120)
        assert done.returncode == 0, (line, done.stderr)
        text = done.stdout or (tmp_path / "answers.csv").read_text(encoding="utf-8")
        rows = list(csv.reader(io.StringIO(text)))
        assert len(rows) >= 2 and rows[1][1].removeprefix("'") in classes, line
    (program,) = lines_of(run, "use", "python")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=shell, cwd=tmp_path, timeout=120)
    assert done.returncode == 0 and done.stdout.rsplit(" ", 1)[0] in classes, done.stderr


def test_the_lines_of_making_it_again_are_understood(odd: Run) -> None:
    found = lines_of(odd, "reproduce", "sh")

    assert len(found) == 3
    for line in found:
        words = shlex.split(line)
        assert words[0] == "mapsto" and parser()[0].parse_args(words[1:]).command in ("reproduce", "train", "extend")


# --- spreadsheets ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["=1+1", "+SUM(A1)", "-2+3+cmd|' /C calc'!A0", "@x", "\t=1", "\r=1", "\n=1", "＝1+1"])
def test_formulas_become_text(cell: str) -> None:
    assert for_spreadsheet(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["-3", "+4.5", "-1,234.5", "-.5", "-1e-5", "-12 %", "-", "a=b", "", None, -3, 2.5, True])
def test_numbers_and_names_stay_as_they_are(cell: object) -> None:
    assert for_spreadsheet(cell) == cell


def test_answers_and_their_column_are_safe_in_a_spreadsheet(odd: Run, odd_table: Path, tmp_path: Path) -> None:
    out = tmp_path / "answers.csv"

    assert main(["predict", str(odd.path), str(odd_table), "--spreadsheet", "--out", str(out)]) == 0

    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0][1] == "'=SUM(A1)" and {row[1] for row in rows[1:]} <= {"'=1+1", "'-x"}


def test_a_list_of_unreadable_rows_is_safe_in_a_spreadsheet(tmp_path: Path) -> None:
    list_bad(tmp_path / "quarantine.csv", [BadRow("line 2", "=1+1")], [{"where": "line 3", "column": "@x", "why": "-1+1"}])

    with (tmp_path / "quarantine.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file))[1:] == [["line 2", "", "'=1+1"], ["line 3", "'@x", "'-1+1"]]


# --- the page's pictures, other pages --------------------------------------------------------------------------------------------


def test_pictures_of_the_page_are_pictures(bars_run: Run) -> None:
    found = Parsed(written(bars_run)).of("img")

    assert len(found) >= 8
    for one in found:
        kind, data = re.fullmatch(r"data:image/(png|jpeg);base64,(.*)", str(one["src"])).groups()  # type: ignore[union-attr]
        with PIL.Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            assert picture.format == kind.upper() and max(picture.size) <= 256


def test_a_page_of_other_sections_can_be_made() -> None:
    text = document("Two runs", tag("header", tag("h1", "Two runs")), [Chapter("a", "Which is better?", "The first.", safe("<x>"))])

    assert "&lt;x&gt;" in text and Parsed(text).of("section")[0]["id"] == "a"


def test_public_sections_keep_what_is_no_row() -> None:
    section = Section("s", "T", "H", (Paragraph("a"), replace(Paragraph("b"), private=True), Gallery(())))

    assert section.public().blocks == (Paragraph("a"),)
