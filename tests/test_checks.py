"""The data gate: planted faults are found and named with what mends them; clean twins and good predictors pass."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mapsto
from mapsto.checks import look
from mapsto.checks._clock import Clock
from mapsto.checks._gate import refusal
from mapsto.checks.base import Evidence, Finding
from mapsto.cli import main
from mapsto.config import settings_of
from mapsto.data.open import open_source
from mapsto.data.resolve import as_asked
from mapsto.errors import DataError
from mapsto.measure import dependency
from mapsto.steps.rows import make_ready

pytestmark = pytest.mark.usefixtures("without_reports")

Rows = list[dict[str, Any]]
N = 600
SUBJECTS = [
    "the old film",
    "this small house",
    "a red train",
    "our kind doctor",
    "the long road",
    "that quiet song",
    "my first book",
    "the last game",
]
ENDS = ["in the rain", "near the sea", "with great care", "after the war", "without a sound", "before the night", "on the hill", "for the children"]


def ignore(event: Any) -> None:
    """Nobody listens."""


# --- clean twins -----------------------------------------------------------------------------------------------------------------


def a_table(rows: int = N, seed: int = 0) -> Rows:
    """A class and a number that columns tell of, with noise."""
    draw = np.random.default_rng(seed)
    size, age = draw.normal(50, 12, rows).round(3), draw.integers(18, 90, rows)
    town = draw.choice(["north", "south", "east"], rows)
    score = 0.1 * size + 0.05 * age + np.where(town == "north", 2, 0) + draw.normal(0, 1.5, rows)
    sold = score + draw.normal(0, 1, rows) > np.median(score)
    return [
        {"size": s, "age": a, "town": t, "price": p, "sold": "yes" if k else "no"}
        for s, a, t, p, k in zip(size.tolist(), age.tolist(), town.tolist(), (score * 10).round(2).tolist(), sold, strict=True)
    ]


def some_texts(rows: int = N, seed: int = 0) -> Rows:
    """Reviews whose words tell of their class in most cases only; no two alike."""
    draw = np.random.default_rng(seed)
    good, bad = ("bright", "warm", "lovely", "clever", "fresh"), ("dull", "cold", "tired", "clumsy", "stale")
    neutral = [f"{a}{b}" for a in ("bar", "lon", "mer", "tis", "vol", "ken", "rud") for b in ("ano", "ette", "ick", "ula", "ine", "orn", "ap")]
    found = []
    for i in range(rows):
        words = good if (i % 2) ^ (draw.random() < 0.15) else bad
        middle = " ".join(draw.choice(neutral, 9).tolist())
        found.append({"text": f"{draw.choice(SUBJECTS)} was {draw.choice(words)} {middle} {draw.choice(ENDS)}", "mood": "good" if i % 2 else "bad"})
    return found


def some_pictures(rows: int = N, seed: int = 0) -> Rows:
    """Waves across or down, in noise."""
    draw = np.random.default_rng(seed)
    found = []
    for i in range(rows):
        wave = np.sin(np.arange(16) * draw.uniform(0.5, 1.5) + draw.uniform(0, 6))
        picture = 128 + 50 * np.expand_dims(wave, i % 2) + draw.normal(0, 25, (16, 16))
        found.append({"photo": picture.clip(0, 255).astype(np.uint8), "bars": "across" if i % 2 else "down"})
    return found


SETS: dict[str, tuple[Callable[..., Rows], str]] = {
    "table": (a_table, "sold"),
    "texts": (some_texts, "mood"),
    "pictures": (some_pictures, "bars"),
}


def found_in(rows: Any, target: str | None = None, signature: str | None = None, **options: Any) -> list[Finding]:
    given = settings_of({"target": target, **options} if target else options)
    return look(make_ready(open_source(rows, given.reading), signature, given, ignore).evidence)


def named(found: list[Finding], name: str) -> Finding:
    """The finding of that name; there must be one."""
    assert name in [finding.name for finding in found], [finding.what for finding in found]
    return next(finding for finding in found if finding.name == name)


def loud(found: list[Finding]) -> list[str]:
    return [f"{finding.name}: {finding.what}" for finding in found if finding.level != "note"]


@pytest.fixture(params=SETS)
def clean(request: pytest.FixtureRequest) -> tuple[Rows, str]:
    make, target = SETS[request.param]
    return make(), target


def test_clean_twins_pass(clean: tuple[Rows, str]) -> None:
    rows, target = clean
    assert loud(found_in(rows, target)) == []


def test_a_number_as_target_passes() -> None:
    assert loud(found_in(a_table(), "price", drop="sold")) == []


# --- leaks -----------------------------------------------------------------------------------------------------------------------


def test_a_copied_target_stops(clean: tuple[Rows, str], tmp_path: Path) -> None:
    rows, target = clean
    codes = {value: 10 * (k + 1) for k, value in enumerate(sorted({row[target] for row in rows}))}
    leaking = [{**row, "code": codes[row[target]]} for row in rows]
    leak = named(found_in(leaking, target), "leakage")
    assert leak.level == "stop" and leak.columns == ("code",) and "--drop code" in leak.fix and "--allow leakage" in leak.fix
    assert len(leak.where) == 5 and "code='10'" in " ".join(leak.examples)
    with pytest.raises(DataError) as refused:
        mapsto.train(leaking, target=target, steps=1, out=tmp_path, emit=ignore)
    said = str(refused.value)
    assert "'code'" in said and "--drop code" in said and "--allow leakage" in said and len(said.splitlines()) == 3
    assert not list(tmp_path.iterdir())
    assert loud(found_in(leaking, target, drop="code")) == []


def test_a_target_split_over_two_columns_stops(clean: tuple[Rows, str]) -> None:
    rows, target = clean
    draw, first = np.random.default_rng(1), sorted({row[target] for row in rows})[0]
    halves = []
    for row in rows:
        half = int(draw.integers(0, 4))
        halves.append({**row, "one": "abcd"[half], "two": "wxyz"[(half + 2 * (row[target] == first)) % 4]})
    leak = named(found_in(halves, target), "leakage")
    assert leak.level == "stop" and set(leak.columns) == {"one", "two"}


@pytest.mark.parametrize(
    ("parts", "columns"),
    [
        (lambda price, draw: {"net": (net := round(draw.uniform(1, 90), 2)), "tax": round(price - net, 2)}, {"net", "tax"}),
        (lambda price, draw: {"high": price + (low := round(draw.normal(), 2)), "low": low}, {"high", "low"}),
        (lambda price, draw: {"count": (n := int(draw.integers(1, 9))), "each": price / n}, {"count", "each"}),
        (lambda price, draw: {"cents": round(price * 100)}, {"cents"}),
        (lambda price, draw: {"squared": price**2 * np.sign(price)}, {"squared"}),
    ],
    ids=["sum", "difference", "product", "scaled", "monotone"],
)
def test_a_number_determined_by_columns_stops(parts: Callable[[float, np.random.Generator], dict], columns: set[str]) -> None:
    draw = np.random.default_rng(2)
    rows = [{**row, **parts(row["price"], draw)} for row in a_table()]
    leak = named(found_in(rows, "price", drop="sold"), "leakage")
    assert leak.level == "stop" and set(leak.columns) == columns


def test_a_number_cut_into_the_target() -> None:
    rows = [{**row, "dear": "yes" if row["price"] > 95 else "no"} for row in a_table(1500)]
    assert named(found_in(rows, "dear", drop="sold"), "leakage").columns == ("price",)
    few = named(found_in(rows[:400], "dear", drop="sold"), "determined")
    assert few.level == "warn" and few.columns == ("price",)


def test_missing_cells_may_tell_the_target() -> None:
    rows = [{**row, "ended": f"2020-01-{i % 28 + 1:02d}" if row["sold"] == "yes" else ""} for i, row in enumerate(a_table())]
    assert named(found_in(rows, "sold"), "leakage").columns == ("ended",)


def test_a_label_pasted_into_its_text_stops() -> None:
    rows = [{**row, "text": f"{row['text']} __label__{row['mood']}"} for row in some_texts()]
    leak = named(found_in(rows, "mood"), "leakage")
    assert leak.level == "stop" and leak.columns == ("text",) and "'good' in good" in leak.what


def test_a_watermark_stops() -> None:
    rows = some_pictures()
    for row in rows:
        row["photo"][15, 15] = 250 if row["bars"] == "down" else 10
    leak = named(found_in(rows, "bars"), "leakage")
    assert leak.level == "stop" and "1 pixel " in leak.what and "94% across and 94% down" in leak.what


def labelled_pictures(labels: int) -> Rows:
    """Noise, each picture with every label at chance; the pixel at the corner is bright where l0 holds."""
    draw = np.random.default_rng(5)
    held = draw.random((300, labels)) < 0.3
    photos = draw.integers(0, 200, (300, 12, 12), dtype=np.uint8)
    photos[:, 0, 0] = np.where(held[:, 0], 250, 10)
    return [{"photo": photo, "tags": [f"l{k}" for k in np.flatnonzero(row)]} for photo, row in zip(photos, held, strict=True)]


def evidence_of(rows: Rows, signature: str) -> Evidence:
    source = open_source(rows)
    return make_ready(as_asked(signature, source), signature, settings_of({}), ignore).evidence


def test_a_watermark_of_one_label_among_many_stops() -> None:
    found = look(evidence_of(labelled_pictures(12), "photo:image -> tags:categories"))
    assert "(l0)" in named(found, "leakage").what and "cut-short" not in [finding.name for finding in found]


def test_a_check_that_is_cut_short_says_so() -> None:
    found = look(evidence_of(labelled_pictures(60), "photo:image -> tags:categories"), seconds=0.0)
    cut = [finding.what for finding in found if finding.name == "cut-short"]
    assert named(found, "leakage").level == "stop"  # what was looked at counts
    if cut:  # a quick machine may be done before
        assert "of 60 answers" in cut[0] and "the check '" in cut[0]


def test_checks_share_their_seconds() -> None:
    clock = Clock(0.0)
    clock.begin()
    assert list(clock.each([1, 2, 3], "labels")) == [1, 2, 3] and not clock.cut
    clock._until = 0.0  # it is long past
    assert list(clock.each([1, 2, 3], "labels")) == [1] and clock.cut == ["1 of 3 labels"]
    clock.end(0.0)
    assert clock.seconds < 0 and list(clock.each([1, 2], "labels")) == [1, 2]


def test_copies_of_rows_are_no_leak_but_copies() -> None:
    """Every row three times, with a number of its own: each number then stands beside one class alone."""
    draw = np.random.default_rng(6)
    once = [{"x": x, "y": y, "t": "ab"[k]} for x, y, k in zip(draw.normal(size=200).tolist(), draw.normal(size=200).tolist(), draw.integers(0, 2, 200), strict=True)]
    rows = [{"id": i, **once[k % 200]} for i, k in enumerate(draw.permutation(600).tolist())]
    found = found_in(rows, "t", keep="id")
    assert "leakage" not in [finding.name for finding in found]
    assert named(found, "duplicates across splits").level == "warn" and "remembered" in named(found, "duplicates across splits").effect


def test_very_good_predictors_are_no_leaks() -> None:
    """A column right in 92 of 100 rows; iris, whose first class lies far from the others; a strong word."""
    draw = np.random.default_rng(3)
    rows = [{**row, "guess": row["sold"] if draw.random() < 0.85 else "no"} for row in a_table()]
    assert loud(found_in(rows, "sold")) == []
    flowers = [{"petal": round(draw.normal(1.4 if i % 3 else 4.5, 0.2), 1), "leaf": draw.normal(), "kind": "a" if i % 3 else "b"} for i in range(N)]
    assert loud(found_in(flowers, "kind")) == []


def test_an_almost_copied_target_is_a_warning() -> None:
    draw = np.random.default_rng(4)
    rows = [{**row, "later": row["sold"] if draw.random() < 0.98 else "no"} for row in a_table(2000)]
    near = named(found_in(rows, "sold"), "nearly leaking")
    assert near.level == "warn" and near.columns == ("later",)


def test_what_determines_everything_and_stands_alone_is_no_leak() -> None:
    rows = [{"x": x, "y": 2 * x + 1} for x in np.random.default_rng(5).normal(size=N).tolist()]
    alone = named(found_in(rows, "y"), "determined")
    assert alone.level == "warn" and "no other input" in alone.what


def test_allow_trains_in_spite_of_a_leak(tmp_path: Path) -> None:
    rows = [{**row, "copy": row["sold"]} for row in a_table(200)]
    run = mapsto.train(rows, target="sold", allow="leakage", steps=1, model="linear", out=tmp_path, emit=ignore)
    kept = json.loads((run.path / "findings.json").read_text())
    assert [finding["name"] for finding in kept if finding["level"] == "stop"] == ["leakage"]
    assert Finding.from_json(kept[0]).to_json() == {**kept[0], **{k: tuple(v) for k, v in kept[0].items() if isinstance(v, list)}}


# --- duplicates ------------------------------------------------------------------------------------------------------------------


def divided(rows: Rows, test: int = 200) -> Rows:
    return [{**row, "split": "test" if i < test else "train"} for i, row in enumerate(rows)]


def test_duplicates_across_splits(clean: tuple[Rows, str]) -> None:
    rows, target = clean
    whole = divided(rows)
    planted = [*whole, *({**row, "split": "train"} for row in whole[:200])]
    twice = named(found_in(planted, target), "duplicates across splits")
    assert twice.level == "warn" and twice.count == 200 and "--fix" in twice.fix
    assert loud(found_in(whole, target)) == []


def test_an_id_does_not_hide_duplicates() -> None:
    whole = a_table()
    planted = [{"id": i, **row} for i, row in enumerate([*whole, *whole[:200]])]
    found = found_in(planted, "sold", keep="id")
    assert named(found, "duplicates across splits").count > 20 and named(found, "id").columns == ("id",)


def saved_again(picture: np.ndarray) -> np.ndarray:
    """Brighter, and through a JPEG."""
    file = io.BytesIO()
    PIL.Image.fromarray((picture * 0.95 + 8).clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return np.asarray(PIL.Image.open(file))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("pictures", lambda row: {**row, "photo": saved_again(row["photo"])}),
        ("texts", lambda row: {**row, "text": row["text"].replace(" was ", " was so ")}),
    ],
)
def test_near_duplicates_across_splits(name: str, change: Callable[[dict], dict]) -> None:
    make, target = SETS[name]
    whole = divided(make())
    planted = [*whole, *({**change(row), "split": "train"} for row in whole[:150])]
    near = named(found_in(planted, target), "near duplicates")
    assert near.level == "warn" and 140 <= near.count <= 150 and near.columns == (next(iter(whole[0])),)


def test_rows_written_otherwise_are_near_duplicates() -> None:
    whole = divided(a_table())
    planted = [*whole, *({**row, "age": f"{row['age']}.0", "split": "train"} for row in whole[:100])]
    near = named(found_in(planted, "sold"), "near duplicates")
    assert near.level == "warn" and 90 <= near.count <= 100


def test_repeats_of_rows_with_few_values_are_natural() -> None:
    draw = np.random.default_rng(6)
    rows = divided([{"a": int(draw.integers(4)), "b": str(draw.choice(list("xyz"))), "y": int(draw.integers(2))} for _ in range(N)])
    found = found_in(rows, "y")
    assert loud(found) == [] and named(found, "duplicates across splits").level == "note"


# --- columns, classes, shift -----------------------------------------------------------------------------------------------------


def test_constant_and_id_columns(clean: tuple[Rows, str]) -> None:
    rows, target = clean
    planted = [{"number": 1000 + i, **row, "unit": "cm"} for i, row in enumerate(rows)]
    found = found_in(planted, target)
    assert named(found, "constant").columns == ("unit",) and named(found, "constant").fix == "--drop unit"
    assert named(found, "id").columns == ("number",) and named(found, "id").fix == "--drop number"
    assert len(loud(found)) == 2


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["teuer", "TEUER", "billig"], "'TEUER' and 'teuer'"),
        (["a  b", "a b", "c"], "'a b' and 'a b' (blanks differ)"),
        (["stra\u00dfe", "STRASSE", "Weg"], "'STRASSE' and 'stra\u00dfe'"),
        (["\uff21", "A", "B"], "'A' and '\uff21'"),
    ],
    ids=["case", "blanks", "letters", "width"],
)
def test_classes_that_are_likely_the_same_are_one_finding(names: list[str], told: str) -> None:
    rows = [{"x": draw, "y": names[i % 3]} for i, draw in enumerate(np.random.default_rng(0).random(200).tolist())]
    found = [one for one in found_in(rows, "y") if one.name == "alike"]
    assert len(found) == 1 and told in found[0].what and found[0].fix == "y:category(fold=true)"


@pytest.mark.parametrize("names", [["teuer", " teuer", "billig"], ["caf\u00e9", "cafe\u0301", "tea"]], ids=["blanks around", "composed"])
def test_classes_that_are_the_same_are_one_class(names: list[str]) -> None:
    rows = [{"x": draw, "y": names[i % 3]} for i, draw in enumerate(np.random.default_rng(0).random(200).tolist())]
    given = settings_of({"target": "y"})
    evidence = make_ready(open_source(rows, given.reading), None, given, ignore).evidence
    assert len(evidence.column_type("output", evidence.outputs[0]).classes) == 2


def test_contradictory_labels(clean: tuple[Rows, str]) -> None:
    rows, target = clean
    other = dict(zip(*(sorted({row[target] for row in rows}, reverse=turned) for turned in (False, True)), strict=True))
    found = found_in([*rows, *({**row, target: other[row[target]]} for row in rows[:30])], target)
    clash = named(found, "contradictions")
    assert clash.level == "warn" and clash.count == 60 and "at least 30 labels must be wrong" in clash.effect


def test_a_shift_between_training_and_test(clean: tuple[Rows, str]) -> None:
    rows, target = clean
    whole = divided(rows, 250)
    for row in whole[:250]:
        if "photo" in row:
            row["photo"] = (row["photo"] // 2).astype(np.uint8)
        elif "text" in row:
            row["text"] = " ".join(row["text"].split()[:6])
        else:
            row["size"] += 15
    shift = named(found_in(whole, target), "shift")
    assert shift.level == "warn" and shift.columns == (next(iter(whole[0])),)


def test_honest_splits_do_not_shift() -> None:
    for seed in range(10):
        rows = [{**row, "split": "test" if i % 4 == 0 else "train"} for i, row in enumerate(a_table(seed=seed))]
        assert "shift" not in [finding.name for finding in found_in(rows, "sold")]


def test_one_class_and_uneven_and_rare_classes() -> None:
    rows = a_table()
    one = named(found_in([{**row, "sold": "yes"} for row in rows], "sold"), "one-answer")
    assert one.level == "stop" and "yes" in one.what and "--allow one-answer" in one.fix
    uneven = found_in([{**row, "sold": "no" if i % 40 else "yes"} for i, row in enumerate(rows)], "sold")
    assert named(uneven, "imbalance").level == "warn" and "balance=true" in named(uneven, "imbalance").fix
    rare = named(found_in([{**row, "sold": f"{i}" if i < 3 else row["sold"]} for i, row in enumerate(rows)], "sold"), "few rows")
    assert rare.count == 3 and "fewer than 5" in rare.what


@pytest.mark.parametrize(("answer", "kind"), [("yes", "category"), (3.5, "number"), (True, "category"), (["a"], "categories"), ("2020-01-01", "number")])
def test_one_answer_alone_stops_a_training(answer: object, kind: str, tmp_path: Path) -> None:
    rows = [{"x": float(i * 7 % 60), "y": answer if i % 6 else None} for i in range(60)]
    with pytest.raises(DataError, match="every training row has the same 'y'") as stopped:
        mapsto.train(rows, f"x -> y:{kind}", steps=1, model="linear", out=tmp_path, emit=ignore)
    assert "--allow one-answer" in str(stopped.value) and len(str(stopped.value).splitlines()) == 3
    run = mapsto.train(rows, f"x -> y:{kind}", allow="one-answer", steps=1, model="linear", out=tmp_path, emit=ignore)
    assert run.status == "done"


def test_all_inputs_are_never_to_be_dropped() -> None:
    leaks = [Finding("leakage", "stop", f"'{name}' determines 'y'", "nothing", f"--drop {name}", (name,)) for name in "ab"]
    assert "--drop a,b;" in refusal(leaks, ["a", "b", "c"])
    assert "--drop" not in refusal(leaks, ["a", "b"]) and "other columns left of the arrow" in refusal(leaks, ["a", "b"])


def test_classes_without_a_test_row_are_told() -> None:
    rows = [{**row, "sold": "rare" if i < 6 else row["sold"], "split": "train" if i < 6 or i % 4 else "test"} for i, row in enumerate(a_table())]
    missed = named(found_in(rows, "sold"), "untested classes")
    assert missed.level == "warn" and "1 of 3 classes stands in no test row, of training rows: rare (" in missed.what


def test_unreadable_and_missing_cells(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    lines = [f"{i % 17},{'' if i % 20 else i % 7},{'' if i % 3 else i % 5},{'ab'[i % 2]}" for i in range(300)]
    lines[20:24] = ["1,2", "what?,2,3,a", "1,2,3,4,5", "4,5,6,b"]
    path.write_text("\n".join(["p,q,r,y", *lines]) + "\n")
    found = found_in(path, signature="p:number, q:number, r:number -> y:category")
    bad = named(found, "unreadable")
    assert bad.level == "warn" and bad.count == 3 and "line 22" in bad.where
    missing = {finding.columns: finding.level for finding in found if finding.name == "missing"}
    assert missing == {("q",): "warn", ("r",): "note"}


def _sentences(rows: int = 60) -> list[str]:
    return [f"{SUBJECTS[i % 8]} stood {ENDS[i // 8]}" for i in range(rows)]


@pytest.mark.parametrize(
    ("signature", "cells", "nothing"),
    [
        ("a:text -> y:text", _sentences(), [None, "", " "]),
        ("-> y:text", _sentences(), [None, "", " "]),
        ("a:text -> y:tags", [["O"] * len(text.split()) for text in _sentences()], [None]),
        ("a:text -> y:span", [text.split()[1] for text in _sentences()], [None, ""]),
        ("-> y:messages", [[{"role": "user", "content": "hi"}, {"role": "assistant", "content": text}] for text in _sentences()], [None]),
    ],
)
def test_missing_answers_are_told_of_every_type(tmp_path: Path, signature: str, cells: list[Any], nothing: list[Any]) -> None:
    answers = [nothing[i % len(nothing)] if i in (2, 31, 50) else cell for i, cell in enumerate(cells)]
    rows = [{**({"a": text} if "a:" in signature else {}), "y": y} for text, y in zip(_sentences(), answers, strict=True)]
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = named(found_in(path, signature=signature), "unlabelled")
    assert told.level == "warn" and told.count == 3 and "3 rows of 60" in told.what
    assert told.where == ("line 3", "line 32", "line 51")


@pytest.mark.parametrize("signature", ["a:text -> a:text", "a:text -> y:text"])
def test_a_text_that_is_its_own_answer_stops(signature: str) -> None:
    rows = [{"a": text, "y": text} for text in _sentences()]
    assert named(found_in(rows, signature=signature), "leakage").level == "stop"
    rows[3]["y"] = "another answer"
    assert signature.count("a:text") == 2 or "leakage" not in [finding.name for finding in found_in(rows, signature=signature)]


def test_answers_to_nothing_are_told(tmp_path: Path) -> None:
    rows = [{"a": "" if i in (2, 31) else text, "y": text.upper()} for i, text in enumerate(_sentences())]
    told = named(found_in(rows, signature="a:text -> y:text"), "nothing given")
    assert told.level == "warn" and told.count == 2 and told.rows == (2, 31)


# --- the command -----------------------------------------------------------------------------------------------------------------


def written(path: Path, rows: Rows) -> Path:
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return path


def test_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = a_table()
    clean = written(tmp_path / "clean.csv", rows)
    leaking = written(tmp_path / "leaking.csv", [{**row, "copy": row["sold"]} for row in rows])
    assert main(["check", str(clean), "--target", "sold"]) == 0
    assert "nothing found" in capsys.readouterr().out
    assert main(["check", str(leaking), "* -> sold:category", "--json"]) == 1
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert [event["name"] for event in told if event["event"] == "finding"] == ["leakage"] and told[-1]["stop"] == 1
    assert main(["check", str(leaking), "--target", "sold", "--drop", "copy"]) == 0
    assert main(["check", str(leaking), "--target", "sold", "--allow", "leakage"]) == 0
    assert main(["check", str(tmp_path / "none.csv")]) == 2


def test_a_training_says_each_thing_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = written(tmp_path / "t.csv", [{"number": i, **row, "unit": "cm"} for i, row in enumerate(a_table(200))])
    assert main(["train", str(rows), "--target", "sold", "--steps", "1", "--model", "linear", "--out", str(tmp_path / "runs")]) == 0
    said = capsys.readouterr().out
    assert said.count("--drop unit") == 1 and said.count("--keep number") == 1


# --- a cleaned copy --------------------------------------------------------------------------------------------------------------


def read(path: Path) -> Rows:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_fix_takes_the_faults_out(tmp_path: Path) -> None:
    rows = [{"number": i, **row, "unit": "cm", "split": "test" if i < 150 else "train"} for i, row in enumerate(a_table())]
    other = {"yes": "no", "no": "yes"}
    rows += [{**row, "number": 9000 + row["number"], "split": "train"} for row in rows[:100]]
    rows += [{**row, "number": 8000 + row["number"], "sold": other[row["sold"]]} for row in rows[200:220]]
    rows += [{**row, "number": 7000 + row["number"]} for row in rows[300:330]]
    path = written(tmp_path / "dirty.csv", rows)
    before = path.read_bytes()

    assert main(["check", str(path), "--target", "sold", "--fix", str(tmp_path / "out")]) == 0

    kept, log = read(tmp_path / "out" / "dirty.csv"), read(tmp_path / "out" / "changes.csv")
    assert path.read_bytes() == before
    assert len(kept) == 600 - 20 and set(kept[0]) == {"size", "age", "town", "price", "sold", "split"}
    assert sorted(row["column"] for row in log if row["what"] == "column removed") == ["number", "unit"]
    why = [row["why"] for row in log if row["what"] == "row removed"]
    assert len(why) == len(rows) - len(kept)
    assert [sum(part in text for text in why) for part in ("among the test rows", "another answer", "repeats")] == [100, 40, 30]
    assert loud(found_in(tmp_path / "out", "sold")) == []
    assert main(["check", str(path), "--target", "sold", "--fix", str(tmp_path / "out")]) == 2


def test_fix_of_a_folder_of_pictures(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for i, row in enumerate(some_pictures(120)):
        for split in ("train", "test") if i < 20 else ("test",) if i < 40 else ("train",):
            place = folder / split / row["bars"] / f"{i}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(row["photo"]).save(place)
    (folder / "train" / "down" / "broken.png").write_bytes(b"no picture")

    assert main(["check", str(folder), "--fix", str(tmp_path / "out")]) == 0

    left = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.png")}
    assert len(left) == 120 and sum(name.startswith("test/") for name in left) == 40
    assert len(read(tmp_path / "out" / "changes.csv")) == 21
    assert loud(found_in(tmp_path / "out")) == []


def test_fix_keeps_each_kind(tmp_path: Path) -> None:
    """Train and test files keep their names, parquet its types, a described folder its pictures; each opens again."""
    rows = a_table(300)
    written(tmp_path / "houses-train.csv", [*rows[:240], *rows[240:260]])
    written(tmp_path / "houses-test.csv", rows[240:])
    both = [str(tmp_path / f"houses-{part}.csv") for part in ("train", "test")]
    assert main(["check", *both, "--target", "sold", "--fix", str(tmp_path / "a")]) == 0
    assert [len(read(tmp_path / "a" / f"houses-{part}.csv")) for part in ("train", "test")] == [240, 60]
    assert len(open_source(tmp_path / "a").columns) == 5

    table = pl.DataFrame([{"unit": "cm", **row} for row in [*rows, *rows[:9]]])
    table.write_parquet(tmp_path / "houses.parquet")
    assert main(["check", str(tmp_path / "houses.parquet"), "--target", "sold", "--fix", str(tmp_path / "b")]) == 0
    assert pl.read_parquet(tmp_path / "b" / "houses.parquet").equals(table.drop("unit").head(300))

    folder = tmp_path / "photos"
    folder.mkdir()
    for i, row in enumerate(some_pictures(40)):
        PIL.Image.fromarray(row["photo"]).save(folder / f"{i}.png")
    PIL.Image.open(folder / "0.png").save(folder / "again.png")
    names = [*(f"{i}.png" for i in range(40)), "again.png", "lost.png"]
    written(folder / "metadata.csv", [{"file_name": name, "bars": "across" if name[0] in "13579" else "down"} for name in names])
    assert main(["check", str(folder), "--fix", str(tmp_path / "c")]) == 0
    assert len(list((tmp_path / "c").glob("*.png"))) == 40 and len(read(tmp_path / "c" / "changes.csv")) == 2
    assert loud(found_in(tmp_path / "c")) == []


@given(st.lists(st.tuples(st.integers(-999, 999), st.text('αb,"\n x=', max_size=6), st.sampled_from("pq")), min_size=30, max_size=60))
@settings(max_examples=15, deadline=None)
def test_fix_changes_nothing_but_what_it_lists(cells: list[tuple[int, str, str]]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        path, out = Path(place) / "t.jsonl", Path(place) / "out"
        rows = [{"n": i * 1.5 + n, "note": f"t{text}", "y": y} for i, (n, text, y) in enumerate(cells)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert main(["check", str(path), "n:number, note:text -> y:category", "--allow", "one-answer", "--fix", str(out)]) == 0
        kept = [json.loads(line) for line in (out / "t.jsonl").read_text().splitlines()]
        log = read(out / "changes.csv")
        gone = {row["column"] for row in log if row["column"]}
        removed = {int(row["where"].split()[-1]) for row in log if row["what"] == "row removed"}
        assert kept == [{k: v for k, v in row.items() if k not in gone} for i, row in enumerate(rows) if i + 1 not in removed]


# --- the arithmetic --------------------------------------------------------------------------------------------------------------


def test_a_dependency_needs_chances_to_fail() -> None:
    draw = np.random.default_rng(7)
    target = draw.integers(0, 2, 400)
    assert dependency.determines(target * 3 + draw.integers(0, 3, 400), target) is not None  # six values, none beside both classes
    assert dependency.determines(np.arange(400), target) is None  # each value once
    assert dependency.determines(np.where(draw.random(400) < 0.99, target, 1 - target), target) is None  # wrong in one of a hundred
    assert dependency.determines(np.zeros(400, int), np.zeros(400, int)) is None  # nothing to tell


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_chance_is_no_dependency(seed: int) -> None:
    draw = np.random.default_rng(seed)
    target = (draw.random(500) < draw.uniform(0.02, 0.98)).astype(int)
    assert dependency.determines(draw.integers(0, draw.integers(2, 300), 500), target) is None
    assert not dependency.same_order(draw.normal(size=500), draw.normal(size=500))
    assert dependency.linear_identity(list(draw.normal(size=(6, 500))), draw.normal(size=500)) is None
