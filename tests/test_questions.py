"""Questions put to a run: every file of assess/ against the contract, each against data with a known answer, and `mapsto assess`."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from scipy.stats import binomtest
from sklearn.metrics import precision_recall_fscore_support

import mapsto
from mapsto.assess import _ask as ask
from mapsto.assess import confusion, slices
from mapsto.assess.base import View
from mapsto.blocks import KINDS, Bars, Gallery, Lines, Section, Table
from mapsto.cli import main
from mapsto.errors import ConfigError
from mapsto.measure import scaling
from mapsto.measure.intervals import difference, ratio, wilson
from mapsto.prediction import Predictions
from mapsto.registry import module, names
from mapsto.report.text import lines_of
from mapsto.run import Run
from mapsto.training.flops import FlopCounter
from mapsto.training.timer import Timer
from mapsto.types import _corruptions as corruptions

TITLES = {"confusion": (confusion.TITLE, confusion.OF_NUMBERS)}  # what is asked of numbers is called otherwise
SECRET = "secretword"  # stands in every row, in a column that the net does not see
QUESTIONS = names("assess")
RUNS = ("pictures", "number", "several", "texts")


def ignore(event: object) -> None:
    """Tests read results, not progress."""


# --- runs with known answers -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """900 rows: y = x in shop a, -x in b, but noise alone in the west; z means nothing. 'only' is filled in one row of fifty."""
    rng = np.random.default_rng(0)
    n = 900
    x, z, shop = rng.normal(size=n), rng.normal(size=n), rng.choice(list("ab"), n)
    region = rng.choice(["north", "south", "west"], n, p=[0.45, 0.4, 0.15])
    y = np.where(region == "west", rng.normal(size=n) * 2, np.where(shop == "a", x, -x))
    path = tmp_path_factory.mktemp("shops") / "shops.csv"
    lines = ["x,z,shop,region,y,sign,tags,only,name"]
    for i in range(n):
        told = [(x[i] > 0) != (rng.random() < 0.1), (shop[i] == "a") != (rng.random() < 0.1), (z[i] > 0.5) != (rng.random() < 0.1)]
        tags = ";".join(name for name, held in zip(("big", "a", "z"), told, strict=True) if held) or "small"
        sign = "up" if y[i] > 0 else "down"
        lines.append(f"{x[i]:.5f},{z[i]:.5f},{shop[i]},{region[i]},{y[i]:.5f},{sign},{tags},{'yes' if i % 50 == 7 else ''},{SECRET}{i}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def corners(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise with a light square in the upper left or the lower right corner, which is the class."""
    rng = np.random.default_rng(1)
    folder = tmp_path_factory.mktemp("photos") / "corners"
    for name, at in (("above", 1), ("below", 11)):
        (folder / name).mkdir(parents=True)
        for i in range(100):
            picture = rng.integers(60, 120, (16, 16))
            picture[at : at + 4, at : at + 4] = 250
            PIL.Image.fromarray(picture.astype(np.uint8)).save(folder / name / f"{SECRET}{i:03d}.png")
    return folder


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sentences of filler; 'splendid' makes them good, 'dreadful' bad."""
    rng = np.random.default_rng(2)
    filler = np.array(["hotel", "room", "was", "near", "station", "and", "we", "had", "breakfast", "there", "each", "day", "before", "noon", "tea"])
    rows = []
    for i in range(400):
        words = list(rng.choice(filler, 9))
        words.insert(int(rng.integers(1, 8)), "splendid" if i % 2 else "dreadful")
        rows.append({"note": " ".join(words), "stars": "good" if i % 2 else "bad", "name": f"{SECRET}{i}"})
    path = tmp_path_factory.mktemp("notes") / "notes.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return path


@pytest.fixture(scope="module")
def runs(shops: Path, corners: Path, notes: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    out = tmp_path_factory.mktemp("runs")
    small = "mlp(width=32,depth=2,members=4,adapter=output)"
    return {
        "pictures": mapsto.train(corners, steps=60, model="resnet9(width=8)", out=out, emit=ignore),
        "number": mapsto.train(shops, "x, z, shop -> y:number", steps=250, model=small, out=out, emit=ignore),
        "several": mapsto.train(
            shops, "x, z, shop, region -> sign:category, y:number, tags:categories", steps=150, model=small, out=out, emit=ignore
        ),
        "texts": mapsto.train(notes, "note:text -> stars:category", steps=60, out=out, emit=ignore),
    }


@pytest.fixture(scope="module")
def views(runs: dict[str, Run]) -> dict[str, View]:
    return {name: ask.view_on(run) for name, run in runs.items()}


def asked(view: View, name: str, seconds: float = 1.0) -> Section:
    section = ask.ask(view, name, module("assess", name), seconds)
    assert section is not None
    return section


def foretold(view: View, slot: str, arrays: Mapping[str, np.ndarray]) -> View:
    """The view as if the net had predicted something else of one output."""
    raw = view.raw
    changed = {**raw.predicted, slot: {**raw.predicted[slot], **arrays}}
    return dataclasses.replace(view, found={view.split: Predictions(changed, raw.target, raw.present, raw.rows)}, run=uncalibrated(view.run))


def uncalibrated(run: Run) -> Run:
    return Run(run.path, {**run.record, "calibration": {}})


def sure(classes: np.ndarray, said: np.ndarray, confidence: float | np.ndarray) -> dict[str, np.ndarray]:
    """Probabilities (n, K) with so much on the class said, the rest spread."""
    confidence = np.broadcast_to(confidence, said.shape)
    probability = np.repeat(((1 - confidence) / (len(classes) - 1))[:, None], len(classes), 1)
    probability[np.arange(len(said)), said] = confidence
    return {"probability": probability.astype(np.float32), "value": said}


def kept(run: Run) -> dict[str, str]:
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in run.path.rglob("*") if file.is_file() and file.name != "lock"}


# --- the contract ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_holds_what_the_contract_says(name: str) -> None:
    found = module("assess", name)
    assert isinstance(found.TITLE, str) and found.TITLE and callable(found.asks) and callable(found.assess)
    assert found.__doc__


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize("kind", RUNS)
def test_every_question_of_every_run(name: str, kind: str, views: dict[str, View]) -> None:
    """Gives a valid section that survives JSON, shows rows only in private blocks, says the same twice, and changes nothing."""
    view, question = views[kind], module("assess", name)
    model, files = view.learner.model, kept(view.run)
    modes = [part.training for part in model.train().modules()]
    state, random = {key: value.clone() for key, value in model.state_dict().items()}, torch.get_rng_state()

    section = ask.ask(view, name, question, 1.0)

    assert [part.training for part in model.modules()] == modes and torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items()) and kept(view.run) == files
    assert not any(value.grad is not None for value in model.parameters())
    if section is None:
        assert not question.asks(view)
        return
    assert section.name == name and section.title in TITLES.get(name, (question.TITLE,)) and "failed" not in section.figures, section.headline
    assert section.headline and section.headline[-1] in ".:" and all(type(block) in KINDS.values() for block in section.blocks)
    text = json.dumps(section.to_json(), allow_nan=False)
    assert Section.from_json(json.loads(text)).to_json() == section.to_json()
    assert all(block.private for block in section.blocks if isinstance(block, Gallery))
    assert SECRET not in json.dumps(section.public().to_json()) and "base64" not in json.dumps(section.public().to_json())
    assert lines_of(section)[0] == section.title
    again = ask.ask(dataclasses.replace(view), name, question, 1.0)
    assert getattr(question, "TIMED", False) or (again is not None and json.dumps(again.to_json()) == text)


def test_all_questions_in_the_order_of_the_report(views: dict[str, View]) -> None:
    found = [section.name for section in ask.ask_all(views["several"], seconds=4)]
    assert found == [name for name in ask.questions() if name in found] and found[0] == "baselines" and found[-1] == "cost"
    assert {"confusion", "classes", "reliability", "slices", "errors", "explanation", "robustness", "more_data"} <= set(found)


def test_a_question_that_fails_says_why(views: dict[str, View]) -> None:
    broken = ModuleType("broken")
    vars(broken).update(TITLE="Will it?", asks=lambda view: True, assess=lambda view, seconds: [][0])
    section = ask.ask(views["number"], "broken", broken, 1.0)
    assert section is not None and section.headline.startswith("It could not be answered") and section.figures == {"failed": "IndexError"}


@pytest.mark.parametrize("kind", ["pictures", "number"])
def test_multiplications_are_those_that_torch_counts(kind: str, views: dict[str, View]) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    view = dataclasses.replace(views[kind])
    batch = view.learner.batch_of(view.store, view.held.rows[:1])
    with FlopCounterMode(display=False) as counter:
        view.learner.arrays(batch)
    assert view.multiplications == counter.get_total_flops() / 2 > 0


def test_operations_within_inference_mode_are_counted_too() -> None:
    net = torch.nn.Linear(3, 5)
    with FlopCounter() as counter, torch.inference_mode():
        net(torch.ones(4, 3)) @ torch.ones(5, 2)
    assert counter.total / 2 == 4 * 3 * 5 + 4 * 5 * 2


def test_a_quick_net_is_asked_with_one_thread_and_a_slow_one_with_all(views: dict[str, View], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def assess(view: View, seconds: float) -> Section:
        seen.append(torch.get_num_threads())
        return Section("seen", "Seen?", "Seen.")

    question: Any = SimpleNamespace(TITLE="Seen?", asks=lambda view: True, assess=assess)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        ask.ask(views["number"], "seen", question, 1.0)
        monkeypatch.setattr(ask, "QUICK", 0.0)
        ask.ask(views["number"], "seen", question, 1.0)
        after = torch.get_num_threads()
    finally:
        torch.set_num_threads(before)
    assert (seen, after) == ([1, 2], 2)


def test_names_that_are_none(views: dict[str, View]) -> None:
    with pytest.raises(ConfigError, match="did you mean 'slices'"):
        ask.ask_all(views["number"], ["slice"])
    (section,) = ask.ask_all(views["number"], ["classes"])
    assert "does not apply" in section.headline


# --- each question on data with a known answer -------------------------------------------------------------------------------------


def test_confusion_finds_the_planted_pair(views: dict[str, View]) -> None:
    view = views["several"]
    target = view.raw.target["sign"]
    said = target.copy()
    said[np.flatnonzero(target == 0)[:9]], said[np.flatnonzero(target == 1)[:2]] = 1, 0
    section = asked(foretold(view, "sign", sure(np.arange(2), said, 0.9)), "confusion")
    assert section.figures["sign"]["pairs"] == [["down", "up", 9], ["up", "down", 2]] and section.figures["sign"]["wrong"] == 11
    matrix = section.blocks[0].values
    assert matrix[0][1] == 9 and sum(map(sum, matrix)) == len(target)


def test_confusion_of_labels_and_numbers(views: dict[str, View]) -> None:
    view = views["several"]
    target = view.raw.target["tags"]
    value = target == 1
    rows = np.flatnonzero((target[:, 1] == 1) & (target[:, 3] == 0))[:6]
    value[rows, 1], value[rows, 3] = False, True
    section = asked(foretold(view, "tags", {"probability": value.astype(np.float32), "value": value}), "confusion")
    names_of = view.column_type("tags").classes
    assert section.figures["tags"]["pairs"] == [[names_of[1], names_of[3], len(rows)]] and section.figures["tags"]["missed"] == len(rows)
    shifted = asked(foretold(view, "y", {"value": view.raw.target["y"].astype(np.float32) + 1}), "confusion")
    dots = next(block for block in shifted.blocks if getattr(block, "diagonal", False))
    assert dots.private and dots.diagonal and not dots.lines[0].joined and len(dots.lines[0].x) == shifted.figures["y"]["n"]
    assert shifted.figures["y"]["mean_residual"] == pytest.approx(-1, abs=1e-5) and shifted.figures["y"]["within_half"] == pytest.approx(1, abs=1e-5)


def test_classes_agree_with_sklearn(views: dict[str, View]) -> None:
    view = views["several"]
    target, draw = view.raw.target["sign"], np.random.default_rng(0)
    said = np.where(draw.random(len(target)) < 0.8, target, 1 - target)
    found = asked(foretold(view, "sign", sure(np.arange(2), said, 0.9)), "classes").figures["sign"]
    precision, recall, f1, n = precision_recall_fscore_support(target, said)
    for k, name in enumerate(view.column_type("sign").classes):
        one = found[name]
        assert (one["precision"], one["recall"], one["f1"], one["n"]) == pytest.approx((precision[k], recall[k], f1[k], n[k]))


def test_classes_with_groups_have_wider_intervals(views: dict[str, View]) -> None:
    """Rows of one group are right or wrong together: what counts is groups."""
    view = views["several"]
    target = view.raw.target["sign"]
    groups = np.arange(len(target)) // 15
    said = np.where(np.random.default_rng(0).random(groups.max() + 1)[groups] < 0.8, target, 1 - target)
    alone = foretold(view, "sign", sure(np.arange(2), said, 0.9))
    of_store = np.zeros(view.store.n, np.int64)
    of_store[view.held.rows] = groups
    together = dataclasses.replace(alone, groups=of_store)

    def width(view: View) -> float:
        bars = next(block for block in asked(view, "classes").blocks if hasattr(block, "low"))
        return bars.high[0] - bars.low[0]

    assert width(together) > 1.8 * width(alone)


def test_reliability_measures_overconfidence(views: dict[str, View]) -> None:
    view = views["several"]
    target, draw = view.raw.target["sign"], np.random.default_rng(1)
    right = draw.random(len(target)) < 0.7
    bold = asked(foretold(view, "sign", sure(np.arange(2), np.where(right, target, 1 - target), 0.99)), "reliability").figures["sign"]["before"]
    assert bold["ece"] == pytest.approx(0.99 - right.mean(), abs=1e-6) and bold["low"] < 0.99 - 0.7 < bold["high"] and bold["low"] > 0.15
    found = []
    for _ in range(20):
        confidence = draw.uniform(0.5, 1, len(target))
        honest = np.where(draw.random(len(target)) < confidence, target, 1 - target)
        found.append(asked(foretold(view, "sign", sure(np.arange(2), honest, confidence)), "reliability").figures["sign"]["before"])
    assert sum(one["low"] == 0 for one in found) >= 17
    assert np.mean([one["ece"] for one in found]) == pytest.approx(np.mean([one["by_chance"] for one in found]), rel=0.15)


def test_reliability_of_intervals_by_predicted_value(views: dict[str, View]) -> None:
    """Half the rows, those of large predictions, lie outside."""
    view = views["number"]
    target = view.raw.target["y"]
    halfwidth = view.run.calibration["y"]["halfwidth"]
    order = np.argsort(target)
    value = target.astype(np.float64)
    value[order[len(order) // 2 :]] += 50 * max(halfwidth, 1)
    raw = view.raw
    changed = Predictions({"y": {**raw.predicted["y"], "value": value}}, raw.target, raw.present, raw.rows)
    section = asked(dataclasses.replace(view, found={"test": changed}), "reliability")
    assert section.figures["y"]["coverage"] == pytest.approx(0.5, abs=0.02)
    shares = section.blocks[0].lines[0].y
    assert shares[0] == 1 and shares[-1] == 0


def test_slices_find_the_planted_region_in_a_column_the_net_never_saw(views: dict[str, View]) -> None:
    found = asked(views["number"], "slices")
    parts = found.figures["y"]["parts"]
    assert (parts[0]["column"], parts[0]["part"]) == ("region", "west") and parts[0]["p"] < 0.01 and "west" in found.headline
    columns = {part["column"] for part in parts}
    assert {"x", "z", "shop", "sign", "tags", "only"} <= columns and "y" not in columns
    assert ("only", "missing") in {(part["column"], part["part"]) for part in parts}


def test_slices_of_few_rows_are_handled_and_named_nowhere(views: dict[str, View]) -> None:
    view = views["number"]
    lonely = np.array([f"{SECRET}!" if i == 4 else "common" for i in range(len(view.looked))], object)
    changed = dataclasses.replace(view)
    vars(changed)["_found_cells"] = ({**view.cells, "lonely": list(lonely)}, list(view.where))
    section = asked(changed, "slices")
    (table,) = section.blocks
    assert isinstance(table, Table) and min(row[2] for row in table.rows) >= 5
    assert SECRET not in json.dumps(section.to_json())


def test_the_worst_of_many_random_parts_is_seldom_called_worse() -> None:
    """20 random parts of rows that are all alike: at p <= .05 a false alarm in one of twenty. With groups whose rows move together too."""
    draw = np.random.default_rng(0)
    alone = together = 0
    for i in range(60):
        groups = np.arange(300) // 10
        members = [draw.random(300) < 0.3 for _ in range(10)] + [(draw.random(30) < 0.3)[groups] for _ in range(10)]
        loss = draw.exponential(size=300)
        alone += np.nanmin(slices.worst_of_many(loss - loss.mean(), members, None, i)[1]) <= 0.05
        loss = loss + 2 * draw.exponential(size=30)[groups]
        together += np.nanmin(slices.worst_of_many(loss - loss.mean(), members, groups, i)[1]) <= 0.05
    assert alone <= 8 and together <= 8


def test_slices_say_nothing_of_too_few_rows_or_groups() -> None:
    members = [np.arange(40) < 5, np.arange(40) < 20]
    deviation, p = slices.worst_of_many(np.linspace(-1, 1, 40), members, None, 0)
    assert np.isnan(p[0]) and np.isnan(deviation[0]) and p[1] > 0.9
    assert np.isnan(slices.worst_of_many(np.linspace(-1, 1, 40), members, np.arange(40) // 10, 0)[1]).all()


def test_errors_show_the_worst_row_as_what_it_is(views: dict[str, View]) -> None:
    view = views["pictures"]
    target = view.raw.target["category"]
    said = target.copy()
    said[3] = 1 - target[3]
    section = asked(foretold(view, "category", sure(np.arange(2), said, np.where(said == target, 0.6, 0.97))), "errors")
    (gallery,) = section.blocks
    assert section.figures["category"]["rows"] == [int(view.held.rows[3])] and section.figures["category"]["wrong"] == 1
    item = gallery.items[0]
    assert item.picture is not None and item.picture.startswith(b"\x89PNG") and item.title.endswith(".png")
    assert item.lines[:2] == (f"true: {view.column_type('category').classes[target[3]]}", f"said: {view.column_type('category').classes[said[3]]} (0.97)")


def test_of_three_classes_the_surest_mistake_comes_first_though_another_is_more_wrong(views: dict[str, View]) -> None:
    view = views["number"]
    rows = view.held.rows[:3]
    chance = np.array([[0.02, 0.49, 0.49 - 1e-3], [0.30, 0.69, 0.01], [0.9, 0.05, 0.05]])  # all are of class 0
    output = SimpleNamespace(
        exclusive=True,
        chances=lambda predicted: predicted["probability"],
        row_loss=lambda predicted, target: -np.log(predicted["probability"][np.arange(3), target]),
        wrong=lambda predicted, target: predicted["value"] != target,
    )
    found = SimpleNamespace(
        of=lambda slot: ({"probability": chance, "value": chance.argmax(1)}, np.zeros(3, np.int64), rows), output=lambda slot: output
    )
    assert View.mistakes(found, "class").tolist() == [rows[1], rows[0]]  # type: ignore[arg-type]


def test_thresholds_are_counted_and_the_area_is_that_of_sklearn(views: dict[str, View]) -> None:
    from sklearn.metrics import average_precision_score, roc_auc_score

    view = views["several"]
    target = view.raw.target["sign"]
    chance = np.clip(np.random.default_rng(0).normal(0.4 + 0.25 * target, 0.2), 0.01, 0.99).round(2)  # with ties
    predicted = {"probability": np.stack([1 - chance, chance], 1), "value": (chance > 0.5).astype(np.int64)}
    found = asked(foretold(view, "sign", predicted), "thresholds").figures["sign"]
    rarer = int(np.bincount(target).argmin())
    truth, score = target == rarer, chance if rarer else 1 - chance
    assert found["positive"] == view.column_type("sign").classes[rarer]
    assert found["area"]["value"] == pytest.approx(roc_auc_score(truth, score))
    assert found["area"]["low"] < found["area"]["value"] < found["area"]["high"] < found["area"]["low"] + 0.3
    assert found["average_precision"] == pytest.approx(average_precision_score(truth, score))
    half = next(one for one in found["thresholds"] if one["threshold"] == 0.5)
    assert half["misses"] == (truth & (score < 0.5)).sum() and half["alarms"] == (~truth & (score >= 0.5)).sum()


def test_the_interval_of_an_area_covers_it_nineteen_times_in_twenty() -> None:
    from mapsto.assess.thresholds import Ranked

    draw, true, held = np.random.default_rng(0), 0.760250, 0  # of normals one standard deviation apart: Phi(1 / sqrt 2)
    for _ in range(400):
        truth = draw.random(150) < 0.3
        chance = draw.normal(truth.astype(float))
        order = np.argsort(-chance)
        _, low, high = Ranked(1, chance[order], truth[order], None).area()
        held += low <= true <= high
    assert 0.92 < held / 400 < 0.98


def test_a_question_stands_behind_the_one_it_names() -> None:
    order = ask.questions()
    assert order[order.index("classes") + 1] == "thresholds" and set(order) == set(QUESTIONS)


def test_errors_of_a_table_name_the_cells(views: dict[str, View]) -> None:
    item = asked(views["number"], "errors").blocks[0].items[0]
    assert item.title.startswith("line ") and [line.split(":")[0] for line in item.lines] == ["true", "said", "x", "z", "shop"]


def test_explanation_finds_the_inputs_that_matter(views: dict[str, View]) -> None:
    found = asked(views["number"], "explanation", 3.0).figures["importance"]["y"]
    assert min(found["x"]["low"], found["shop"]["low"]) > 0.2 > 0.1 > found["z"]["high"]


def test_dependence_draws_what_moves_the_answer(views: dict[str, View]) -> None:
    section = asked(views["number"], "dependence", 3.0)
    moved = section.figures["y"]["moved"]
    assert moved["x"] > 3 * moved["z"] and set(moved) == {"x", "z", "shop"}
    lines = {block.x: block for block in section.blocks if isinstance(block, Lines)}
    assert list(lines["x"].lines[0].x) == sorted(lines["x"].lines[0].x) and len(lines["x"].lines[0].x) == 9
    of_words = next(block for block in section.blocks if isinstance(block, Bars))
    assert set(of_words.labels) == {"a", "b"} and all(low <= high for low, high in zip(of_words.low, of_words.high, strict=True))


def test_dependence_follows_the_rarer_of_two_classes_and_knows_nothing_of_texts(views: dict[str, View]) -> None:
    view = views["several"]
    found = asked(view, "dependence", 3.0).figures["sign"]["curves"]["x"]
    (rarer,) = set(found) - {"grid"}
    assert rarer in view.column_type("sign").classes
    assert len(found["grid"]) == len(found[rarer]) == 9 and all(0 <= value <= 1 for value in found[rarer])
    assert not module("assess", "dependence").asks(views["texts"]) and not module("assess", "dependence").asks(views["pictures"])


def test_cells_add_up_to_the_answer(views: dict[str, View]) -> None:
    view = views["number"]
    section = asked(view, "cells", 5.0)
    rows = section.figures["y"]
    for one in rows:
        assert one["base"] + sum(one["added"].values()) == pytest.approx(one["answer"], abs=1e-4)
        at = np.searchsorted(view.held.rows, one["row"])
        assert one["answer"] == pytest.approx(view.held.predicted["y"]["value"][at], abs=1e-4)
    added = np.abs([list(one["added"].values()) for one in rows]).mean(0)
    assert len(rows) == 4 and added[0] > 2 * added[1]  # x decides, z means nothing
    assert all(block.private and len(block.labels) == 3 for block in section.blocks)


def test_rates_find_the_group_that_is_missed(views: dict[str, View]) -> None:
    view = views["several"]
    target = view.raw.target["sign"]
    rarer = int(np.bincount(target).argmin())
    at = view.place(view.held.rows)
    west = np.array([view.cells["region"][i] == "west" for i in at])
    said = np.where(west, 1 - rarer, target)  # in the west it is never said
    found = asked(foretold(view, "sign", sure(np.arange(2), said, 0.9)), "rates").figures["sign"]
    region = found["region"]
    assert region["p"] < 1e-3 and region["rate"] == "missed" and min(found, key=lambda name: found[name]["p"]) == "region"
    assert region["groups"]["west"]["missed"] == 1 and region["groups"]["north"]["missed"] == 0
    assert region["groups"]["west"]["n"] == west.sum() and "sign" not in found and "name" not in found


def test_groups_that_fare_alike_are_seldom_called_different() -> None:
    from mapsto.assess.rates import _by_chance

    draw = np.random.default_rng(0)
    shares = [_by_chance([(draw.random(n) < 0.2).astype(float) for n in (40, 60, 200, 12)]) for _ in range(400)]
    means = [_by_chance([draw.normal(size=n) for n in (12, 60, 200)]) for _ in range(400)]
    assert all(0.02 < (np.array(found) <= 0.05).mean() < 0.085 for found in (shares, means))


def test_of_many_inputs_those_that_matter_are_found_by_halving() -> None:
    """Two of 1,000 inputs matter, one more than the other: 48 passes find both."""
    names_of = [f"c{i}" for i in range(1000)]
    worth = {"c3": 0.4, "c777": 0.2}
    asked_for: list[int] = []

    def losses(inputs: list[str], repeats: int) -> dict[str, tuple[float, float, float]]:
        asked_for.append(len(inputs))
        value = sum(worth.get(name, 0.0) for name in inputs)
        return {"y": (value, value, value)}

    dealing: Any = SimpleNamespace(losses=losses, before={"y": np.array([[0.0], [1.0]])})
    found = module("assess", "explanation").searched(dealing, names_of, 48)
    assert found[:2] == ["c3", "c777"] and len(asked_for) <= 48
    assert module("assess", "explanation").searched(dealing, names_of, 2) == ["c0"]  # no pass to spare


def test_explanation_finds_where_the_class_stands(views: dict[str, View]) -> None:
    """The windows that speak most for the answer lie in the two corners that hold a square or not."""
    view = views["pictures"]
    slot = view.run.signature.inputs[0]
    column_type = view.run.types["input", slot.name]
    explanation = module("assess", "explanation")
    hits = 0
    rows = view.looked[:8]
    for row, value in zip(rows.tolist(), view.values(slot, rows), strict=True):
        effect = explanation._effect(view, "category", row, slot.name, column_type.parts(value, 64)).reshape(8, 8)
        at = np.unravel_index(effect.argmax(), effect.shape)
        hits += max(at) <= 3 or min(at) >= 4
    assert hits >= 7
    items = asked(view, "explanation").blocks[0].items
    assert len(items) == 6 and all(item.picture for item in items)


def test_explanation_marks_the_word_that_decides(views: dict[str, View]) -> None:
    items = asked(views["texts"], "explanation").blocks[0].items
    best = [max(item.pieces, key=lambda piece: piece[1])[0] for item in items if item.pieces]
    assert len(best) == 6 and sum("splendid" in word or "dreadful" in word for word in best) >= 5


def test_robustness_measures_what_hiding_the_cells_costs(views: dict[str, View]) -> None:
    """Half the cells missing: a half of x and shop, and of what they tell."""
    found = asked(views["number"], "robustness").figures["y"]["missing cells (share)"]
    assert found["levels"][0] == 0 and found["value"] == sorted(found["value"]) and found["harm"][-1] and not found["harm"][0]
    assert found["value"][-1] > 1.5 * found["value"][0]


def test_robustness_of_pictures_and_texts(views: dict[str, View]) -> None:
    pictures = asked(views["pictures"], "robustness").figures["category"]
    assert set(corruptions.PICTURES) <= set(pictures) and pictures["light (share left)"]["value"][0] == pictures["n"] / pictures["n"]
    texts = asked(views["texts"], "robustness").figures["stars"]
    dropped = next(found for name, found in texts.items() if "dropped" in name)
    assert dropped["value"][-1] < 0.9 <= dropped["value"][0]  # without the word nothing can be known


def test_the_same_rows_are_corrupted_alike_whatever_else_is_asked(views: dict[str, View]) -> None:
    one, other = asked(views["number"], "robustness", 1.0), asked(views["number"], "robustness", 50.0)
    assert one.figures["y"]["missing cells (share)"]["value"] == other.figures["y"]["missing cells (share)"]["value"]


def test_more_data_of_a_rule_that_more_rows_would_teach(views: dict[str, View]) -> None:
    found = asked(views["number"], "more_data", 3.0).figures["y"]
    share, low, high = found["gain"]["twice"]
    assert found["errors"][0] > found["errors"][-1] and 0 <= low <= share <= high <= 0.6 and found["sizes"] == sorted(found["sizes"])


def test_the_power_law_is_recovered_and_covers_what_comes() -> None:
    draw = np.random.default_rng(0)
    sizes = np.array([100, 200, 400, 800, 1600])
    covered = 0
    for seed in range(20):
        wanted = (0.05 + 4.0 * sizes**-0.6) * np.exp(0.02 * draw.normal(size=5))  # which rows a part happened to hold
        rowwise = (draw.random((5, 4000)) < wanted[:, None]).astype(float)
        law = scaling.law(sizes, rowwise, seed)
        value, low, high = law.at(3200)
        assert value == pytest.approx(0.05 + 4.0 * 3200**-0.6, rel=0.35)
        covered += low <= 0.05 + 4.0 * 3200**-0.6 <= high
    assert covered >= 16


def test_ridge_learns_a_line_from_enough_rows_and_ignores_noise() -> None:
    draw = np.random.default_rng(0)
    values, weight, new = draw.normal(size=(400, 40)), draw.normal(size=(40, 2)), draw.normal(size=(30, 40))

    def error(rows: int) -> float:
        return float(np.abs(scaling.ridge(values[:rows], values[:rows] @ weight, new) - new @ weight).mean())

    assert error(400) < 0.05 < error(35) < np.abs(new @ weight).mean()
    assert np.abs(scaling.ridge(values, draw.normal(size=(400, 1)), new)).mean() < 0.2
    taller, wider = scaling.ridge(values[:41], values[:41] @ weight, new), scaling.ridge(values[:39], values[:39] @ weight, new)
    assert np.abs(taller - wider).mean() < 0.5 * np.abs(new @ weight).mean()  # either side of rows = features


def test_no_row_is_asked_of_a_stand_in_that_learned_it() -> None:
    """Nor of one that learned a row of its group; every row is asked at every level."""
    for groups in (None, np.arange(1000) // 7):
        fits = scaling.fits(1000, groups, 0)
        units = np.arange(1000) if groups is None else groups
        assert all(not np.isin(units[fit.ask], units[fit.learn]).any() for fit in fits)
        for level in range(5):
            assert len(np.unique(np.concatenate([fit.ask for fit in fits if fit.level == level]))) == 1000
    sizes = [len(fit.learn) for fit in scaling.fits(1000, None, 0)[:7]]
    assert sizes == [46, 46, 93, 93, 187, 375, 750]


def test_cost_adds_up(views: dict[str, View]) -> None:
    view = views["number"]
    cost = {"cores": 2, "memory": 2_000_000_000, "device": "cpu", "phases": {"learning": {"seconds": 100.0, "processor_seconds": 150.0}}}
    changed = dataclasses.replace(view, run=Run(view.run.path, {**view.run.record, "cost": cost}))
    figures = asked(changed, "cost").figures
    joules = 12 * 150 + 0.3725 * 2 * 100
    assert figures["energy"]["watt_hours"] == pytest.approx(joules / 3600) and figures["energy"]["co2_grams"] == pytest.approx(joules / 3.6e6 * 480)
    assert figures["energy"]["utilisation"] == pytest.approx(0.75) and figures["spent"]["seconds"] == 100
    assert figures["net"]["parameters"] == sum(value.numel() for value in view.learner.model.parameters())
    own = asked(view, "cost").figures
    assert set(own["spent"]["phases"]) == {"reading and deciding", "learning", "measuring"} and 0 < own["speed"]["share"] < 3
    assert 0 < own["milliseconds"]["64"] < own["milliseconds"]["1"]


def test_spent_seconds_are_those_that_went_by() -> None:
    spent = Timer(before=5.0)
    spent.lap("reading")
    spent.lap("learning")
    spent.lap("learning")
    found = spent.record(torch.device("cpu"))
    assert 5.0 <= found["phases"]["reading"]["seconds"] < 6 and found["phases"]["learning"]["seconds"] < 1 and found["memory"] > 1e7


def test_baselines_are_beaten_only_beyond_chance(views: dict[str, View]) -> None:
    view = views["several"]
    target = view.raw.target["sign"]
    perfect = asked(foretold(view, "sign", sure(np.arange(2), target, 0.9)), "baselines")
    assert perfect.figures["sign"]["linear"]["better"] and perfect.headline.startswith("sign: it beats")
    wrong = asked(foretold(view, "sign", sure(np.arange(2), 1 - target, 0.9)), "baselines")
    assert wrong.figures["sign"]["majority"]["worse"] and re.search("do(es)? better, by more than chance", wrong.headline)
    known = view.run.metrics["baselines"]["sign"]["linear"]["accuracy"]["value"]
    assert perfect.figures["sign"]["linear"]["value"] == pytest.approx(known, abs=1e-6)


# --- what questions rest on --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hits", [0, 1, 7, 20])
def test_wilson_as_scipy_has_it(hits: int) -> None:
    share, low, high = wilson(hits, 20)
    known = binomtest(hits, 20).proportion_ci(method="wilson")
    assert (share, low, high) == pytest.approx((hits / 20, known.low, known.high), abs=1e-6)
    assert np.isnan(wilson(0, 0)[1])


def test_ratio_and_difference_cover() -> None:
    draw = np.random.default_rng(0)
    covered = paired = 0
    for _ in range(200):
        groups = np.repeat(np.arange(40), 5)
        values = draw.normal(1, 1, 200) + draw.normal(0, 1, 40)[groups]
        low, high = ratio(values[:, None], groups)
        covered += low <= 1 <= high
        other = values + draw.normal(0.1, 0.2, 200)
        _, low, high = difference(values[:, None], other[:, None], groups)
        paired += low <= 0.1 <= high
    assert covered >= 180 and paired >= 180
    assert np.isnan(ratio(np.array([[3.0]]))).all() and difference(np.ones((1, 1)), np.ones((1, 1)))[0] == 0


@pytest.mark.parametrize("name", corruptions.PICTURES)
def test_corruptions_of_pictures_grow_with_their_level(name: str) -> None:
    draw = np.random.default_rng(0)
    picture = np.kron(draw.integers(0, 255, (4, 4, 3)), np.ones((6, 6, 1))).astype(np.uint8)
    changes = []
    for level in corruptions.PICTURES[name][1]:
        found = corruptions.corrupted(name, level, picture, np.random.default_rng(1))
        assert found.shape == picture.shape and found.dtype == picture.dtype
        changes.append(np.abs(found.astype(float) - picture).mean())
    assert changes[0] > 0 and changes[-1] > changes[0]


def test_windows_cover_every_pixel_and_are_hidden_one_by_one() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (9, 13, 1), dtype=np.uint8)
    hidden = corruptions.hidden(picture, 30)
    touched = sum((copy != picture).astype(int) for copy in hidden)
    assert len(hidden) == 25 and (touched > 0).mean() > 0.97 and touched.max() <= 9
    assert corruptions.overlaid(picture, [0.5] * 24 + [-1.0]).startswith(b"\x89PNG")


@pytest.mark.parametrize("kind", RUNS)
def test_what_the_store_keeps_reads_back(kind: str, views: dict[str, View]) -> None:
    """Encoding what was restored gives the same array; or the type says that it cannot."""
    view = views[kind]
    for slot in view.run.signature.inputs:
        column_type = view.run.types["input", slot.name]
        try:
            values = view.values(slot, view.looked[:20], stored=True)
        except Exception as problem:
            raise AssertionError(f"{slot.name}: {problem}") from problem
        for value, array in zip(values, view.store.raw(view.looked[:20])["input", slot.name], strict=True):
            assert np.array_equal(column_type.encode(value), array.numpy(), equal_nan=True)


# --- moved data, new data, the command ---------------------------------------------------------------------------------------------


def test_a_run_whose_data_has_moved(shops: Path, tmp_path: Path, runs: dict[str, Run]) -> None:
    """What does not need the data is answered as before; rows are named by number, slices made from the stored cells."""
    here = ask.view_on(runs["number"])
    moved = dataclasses.replace(here, source=None)
    for name in ("confusion", "reliability", "explanation", "robustness"):
        assert asked(moved, name).figures == asked(dataclasses.replace(here), name).figures, name
    gone = asked(moved, "slices")
    assert {part["column"] for part in gone.figures["y"]["parts"]} == {"x", "z", "shop"}
    assert asked(moved, "errors").blocks[0].items[0].title.startswith("row ")


def test_new_rows_are_asked_about(shops: Path, tmp_path: Path, runs: dict[str, Run], capsys: pytest.CaptureFixture[str]) -> None:
    lines = shops.read_text().splitlines()
    new = tmp_path / "new.csv"
    new.write_text("\n".join([lines[0], *lines[1:101], "1,1,a,north,what,up,big,,x"]) + "\n")
    assert main(["assess", str(runs["number"].path), "confusion", "more_data", "--data", str(new), "--json"]) == 0
    out = capsys.readouterr()
    first, second = map(json.loads, out.out.splitlines())
    assert first["figures"]["y"]["n"] == 100 and "does not apply" in second["headline"] and "1 cells or rows cannot be read" in out.err


def test_the_command_lists_answers_and_writes_a_page(tmp_path: Path, runs: dict[str, Run], capsys: pytest.CaptureFixture[str]) -> None:
    run = str(runs["several"].path)
    assert main(["assess", run]) == 0
    listed = capsys.readouterr().out
    names_listed = [line.split()[0] for line in listed.splitlines()]
    assert names_listed == [name for name in ask.questions() if name in names_listed] and "What is taken for what?" in listed
    assert {"confusion", "cost"} <= {*names_listed} and not {"writing", "talking", "answering", "transcripts", "tagging"} & {*names_listed}
    assert len({*ask.titles().values()}) == len(ask.questions())
    assert main(["assess", run, "slices", "errors"]) == 0
    shown = capsys.readouterr().out
    assert "Where in the data does it fare worse?" in shown and re.search(r"row +true +said", shown)
    assert main(["assess", run, "errors", "--no-samples"]) == 0
    assert not re.search(r"row +true +said", capsys.readouterr().out)
    page = tmp_path / "new" / "page.html"
    assert main(["assess", run, "confusion", "--out", str(page)]) == 0
    assert "<!doctype html>" in page.read_text() and "What is taken for what?" in page.read_text()
    assert main(["assess", run, "confusion", "--out", str(tmp_path / "page.pdf")]) == 2
    assert main(["assess", run, "confuson"]) == 2


def test_without_test_rows_the_validation_rows_are_asked_and_that_is_said(views: dict[str, View]) -> None:
    view = views["number"]
    found = {"validation": view.found["validation"]}
    changed: Any = dataclasses.replace(view, found=found, split="validation")
    section = asked(changed, "confusion")
    assert "validation rows" in section.blocks[0].text and section.figures["y"]["n"] == view.store.size("validation")


def test_of_a_cross_validation_every_row_is_looked_at(shops: Path, tmp_path: Path) -> None:
    """Each as the fold that never saw it predicted it; what asks the net again looks at rows that the last net did not learn."""
    run = mapsto.train(shops, "x, shop -> sign:category, y:number", folds=3, steps=30, model="mlp(width=16)", out=tmp_path, emit=ignore)
    view = ask.view_on(run)
    sections = {section.name: section for section in ask.ask_all(view, ["confusion", "reliability", "errors", "robustness"])}
    wrong = sections["confusion"].figures["sign"]
    assert wrong["n"] == 900 and 1 - wrong["wrong"] / 900 == pytest.approx(run.metrics["test"]["sign"]["accuracy"]["value"], abs=1e-9)
    assert "never saw it" in sections["confusion"].blocks[0].text and "fold by fold" in sections["reliability"].headline
    assert sections["robustness"].figures["sign"]["n"] <= view.store.size("validation") and len(sections["errors"].figures["y"]["rows"]) > 0
