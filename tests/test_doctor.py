"""The doctor: it names the planted fault in ten sick runs and none in five healthy ones, whatever state a run is in."""

from __future__ import annotations

import ast
import csv
import json
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

import mapsto
import mapsto.training.trainer as trainer
from mapsto.blocks import Section
from mapsto.cli import main
from mapsto.commands.doctor import patient_of
from mapsto.config import settings_of
from mapsto.doctor import Diagnosis, Subject, by_cause, examine, section
from mapsto.doctor._probes.overfit import overfit_one_batch
from mapsto.doctor._probes.rates import rate_range
from mapsto.doctor.base import Issue
from mapsto.doctor.labels import noise
from mapsto.errors import MapstoError, Stopped
from mapsto.registry import module, names
from mapsto.run import Run

pytestmark = pytest.mark.usefixtures("without_reports", "two_nets")

Made = Callable[[str], Run]

MODELS = {
    "dead": """
import torch
from mapsto.models import mlp
from mapsto.models.mlp import Config

def build(signature, types, config, kinds):
    net = mlp.build(signature, types, config, kinds)
    with torch.no_grad():
        net.body[1].layers[0].bias.fill_(-10.0)
    return net
""",
    "frozen": """
from mapsto.models import mlp
from mapsto.models.mlp import Config

def build(signature, types, config, kinds):
    net = mlp.build(signature, types, config, kinds)
    net.heads.requires_grad_(False)
    return net
""",
    "raw": '''
from torch import nn
from mapsto.models import mlp
from mapsto.models.base import Heads, Net
from mapsto.models.mlp import Config

class Raw(nn.Module):
    """Numbers in their own units."""

    def __init__(self, signature, types):
        super().__init__()
        self.known = {slot.name: (types["input", slot.name].mean, types["input", slot.name].std) for slot in signature.inputs}

    def forward(self, inputs):
        return {name: inputs[name][:, :1] * std + mean for name, (mean, std) in self.known.items()}

def build(signature, types, config, kinds):
    flat = mlp.Flatten({slot.name: (1,) for slot in signature.inputs}, 64)
    return Net(Raw(signature, types), nn.Sequential(flat, mlp.Mlp(flat.sections, config)), Heads(signature, types, kinds, config.width, "pooled"))
''',
    "deaf": '''
from torch import nn
from mapsto.models import mlp
from mapsto.models.mlp import Config

class Deaf(nn.Module):
    """The first input never arrives."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, features):
        first = next(iter(features))
        return self.inner({**features, first: features[first] * 0})

def build(signature, types, config, kinds):
    net = mlp.build(signature, types, config, kinds)
    net.body = Deaf(net.body)
    return net
''',
}
LEARNERS = {
    "ordered": """
import numpy as np
from mapsto.learners.supervised import Supervised

class Ordered(Supervised):
    def batches(self, split, step):
        rows, size = self.store.rows(split), self.training.batch
        while True:
            yield self.store.batch(rows[np.arange(step * size, (step + 1) * size) % len(rows)])
            step += 1
""",
    "one_class": """
import numpy as np
from mapsto.learners.supervised import Supervised

class OneClass(Supervised):
    def batches(self, split, step):
        rows = self.store.rows(split)
        label = self.store.batch(rows).targets[self.signature.outputs[0].name].numpy()
        while True:
            kind = np.unique(label)[step % len(np.unique(label))]
            yield self.store.batch(np.random.default_rng([self.training.seed, step]).choice(rows[label == kind], self.training.batch))
            step += 1
""",
    "window": """
import numpy as np
from mapsto.learners.supervised import Supervised

class Window(Supervised):
    def batches(self, split, step):
        rows, size = self.store.rows(split), self.training.batch
        while True:
            start = np.random.default_rng([1, step]).integers(len(rows) - 2 * size)
            yield self.store.batch(np.random.default_rng([2, step]).permutation(rows[start : start + 2 * size])[:size])
            step += 1
""",
}


def written(path: Path, rows: list[dict[str, Any]]) -> str:
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return str(path)


def shops(n: int = 600, seed: int = 0) -> list[dict[str, Any]]:
    """sign follows x, turned around in two of three shops, and z."""
    rng = np.random.default_rng(seed)
    values, shop = rng.normal(size=(n, 4)).round(5), rng.choice(list("abc"), n)
    score = np.where(shop == "a", values[:, 0], -values[:, 0]) + 0.7 * values[:, 1] + 0.4 * rng.normal(size=n)
    return [
        dict(zip(("x", "z", "u", "v", "shop", "sign"), (*row, place, "up" if s > 0 else "down"), strict=True))
        for row, place, s in zip(values.tolist(), shop.tolist(), score, strict=True)
    ]


def houses(n: int = 600) -> list[dict[str, Any]]:
    rng = np.random.default_rng(1)
    area, age, people = rng.lognormal(4.5, 0.4, n).round(2), rng.uniform(0, 100, n).round(1), rng.lognormal(8, 1, n).round()
    price = (2000 * area - 3000 * age + 5 * people + rng.normal(0, 3e4, n)).round()
    return [dict(zip(("area", "age", "people", "price"), row, strict=True)) for row in zip(area, age, people, price, strict=True)]


def shuffled(rows: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    order = np.random.default_rng(0).permutation(len(rows))
    return [{**row, name: rows[i][name]} for row, i in zip(rows, order, strict=True)]


def tags() -> list[dict[str, Any]]:
    values = np.random.default_rng(3).normal(size=(500, 3)).round(4)
    names = np.array(["red", "green", "blue"])
    on = np.stack([values[:, 0] > 0.2, values[:, 1] > values[:, 0], values[:, 2] > 1], 1)
    return [{**dict(zip("abc", row, strict=True)), "tags": ";".join(names[held]) or "none"} for row, held in zip(values.tolist(), on, strict=True)]


def digits(wrong: float = 0.0) -> list[dict[str, Any]]:
    rng, found = np.random.default_rng(0), load_digits()
    labels = np.where(rng.random(len(found.target)) < wrong, rng.integers(10, size=len(found.target)), found.target)
    return [{"picture": (image * 15.9).astype(np.uint8), "digit": int(label)} for image, label in zip(found.images, labels, strict=True)]


def reviews() -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    words = {"good": ["fine", "lovely", "great", "warm", "superb", "kind"], "bad": ["awful", "dull", "cold", "broken", "rude", "slow"]}
    rest = ["the", "a", "film", "room", "and", "was", "it", "this", "very", "place", "we", "they", "food", "there", "had", "then", "some", "more"]
    rows = []
    for i in range(400):
        kind = ("good", "bad")[i % 2]
        said = [*rng.choice(rest, 9), *rng.choice(words[kind], 2), *rng.choice(words[("bad", "good")[i % 2]], int(rng.random() < 0.3))]
        rows.append({"said": " ".join(rng.permutation(said)), "verdict": kind})
    return rows


SICK: Mapping[str, tuple[str, Callable[[Path], dict[str, Any]]]] = {
    "rate ×100": ("rate_high", lambda place: {"data": shops(), "target": "sign", "steps": 150, "lr": 0.2}),
    "rate /1000": ("rate_low", lambda place: {"data": shops(), "target": "sign", "steps": 150, "lr": 2e-6}),
    "no shuffle": (
        "no_shuffle",
        lambda place: {"data": sorted(shops(), key=lambda row: row["sign"]), "target": "sign", "steps": 60, "learner": str(place / "ordered.py")},
    ),
    "dead relu": ("dead_units", lambda place: {"data": shops(), "target": "sign", "steps": 60, "model": str(place / "dead.py")}),
    "shuffled labels": ("no_signal", lambda place: {"data": shuffled(shops(), "sign"), "target": "sign", "steps": 150}),
    "leaked column": (
        "leakage",
        lambda place: {
            "data": [{**row, "code": {"up": "left", "down": "right"}[row["sign"]]} for row in shops()],
            "target": "sign",
            "steps": 150,
            "allow": "leakage",
        },
    ),
    "one-class batches": (
        "one_class_batches",
        lambda place: {"data": shops(), "target": "sign", "steps": 60, "learner": str(place / "one_class.py")},
    ),
    "unscaled inputs": ("unscaled", lambda place: {"data": houses(), "target": "price", "steps": 80, "model": str(place / "raw.py")}),
    "tiny data, huge net": ("too_large", lambda place: {"data": shops(40), "target": "sign", "steps": 15, "model": "mlp(width=4096, members=1, nets=1)"}),
    "frozen head": ("frozen_head", lambda place: {"data": shops(), "target": "sign", "steps": 60, "model": str(place / "frozen.py")}),
}
HEALTHY: Mapping[str, Callable[[Path], dict[str, Any]]] = {
    "pictures": lambda place: {"data": digits(), "signature": "picture -> digit:category", "steps": 70},
    "a table": lambda place: {"data": shops(), "target": "sign", "steps": 300},
    "a number": lambda place: {"data": houses(), "target": "price", "steps": 200},
    "several labels": lambda place: {"data": tags(), "signature": "a, b, c -> tags:categories", "steps": 200},
    "texts": lambda place: {"data": reviews(), "signature": "said:text -> verdict", "steps": 120},
}
OTHERS: Mapping[str, Callable[[Path], dict[str, Any]]] = {
    "few steps": lambda place: {"data": shops(), "target": "sign", "steps": 20},
    "wrong labels": lambda place: {"data": digits(wrong=0.3), "signature": "picture -> digit:category", "steps": 70},
    "a window": lambda place: {"data": shops(), "target": "sign", "steps": 60, "learner": str(place / "window.py")},
    "deaf": lambda place: {"data": shops(), "target": "sign", "steps": 60, "model": str(place / "deaf.py")},
    "outlier": lambda place: {
        "data": [{**row, "w": 3e3 if i % 100 == 7 else round(row["x"] * row["z"], 3)} for i, row in enumerate(shops())],
        "target": "sign",
        "steps": 40,
    },
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """Trains a run by its name, once. Without reports: they are not what is looked at here."""
    place, runs = tmp_path_factory.mktemp("doctor"), {}
    for name, text in (MODELS | LEARNERS).items():
        (place / f"{name}.py").write_text(text)

    def make(name: str) -> Run:
        if name not in runs:
            options = {**{key: of for key, (_, of) in SICK.items()}, **HEALTHY, **OTHERS}[name](place)
            data, signature = options.pop("data"), options.pop("signature", None)
            if "picture" not in data[0]:
                data = written(place / f"{len(runs)}.csv", data)
            runs[name] = mapsto.train(data, signature, out=place / "runs", name=f"r{len(runs)}", emit=lambda event: None, threads=1, **options)
        return runs[name]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mapsto.report.reporting.written", lambda *words: "")
        yield make


def diagnosis(run: Run) -> Diagnosis:
    return examine(patient_of(Run.open(run.path)))


# --- the bar ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", SICK)
def test_the_planted_fault_is_named_first(fault: str, made: Made) -> None:
    wanted = SICK[fault][0]
    found = diagnosis(made(fault))
    assert found.complaints, "nothing was found"
    assert found.complaints[0].name == wanted and not found.complaints[0].follows
    assert {one.follows for one in found.complaints[1:]} <= {wanted}
    assert found.complaints[0].figures and any(letter.isdigit() for letter in found.complaints[0].what)
    assert found.headline.lower().startswith(found.complaints[0].what[:30].lower())


@pytest.mark.parametrize("kind", HEALTHY)
def test_healthy_runs_are_not_called_sick(kind: str, made: Made) -> None:
    found = diagnosis(made(kind))
    assert [one.what for one in found.complaints] == []
    assert found.unseen == {} and len(found.looked) >= 20
    assert found.headline == "Nothing wrong was found."


def test_few_steps_are_no_sickness(made: Made) -> None:
    found = diagnosis(made("few steps"))
    assert [one.what for one in found.complaints] == []
    assert "stopped_early" in {one.name for one in found.notes}


# --- other complaints ------------------------------------------------------------------------------------------------------------


def test_wrong_labels_are_told_from_hard_rows(made: Made) -> None:
    found = diagnosis(made("wrong labels"))
    assert [one.name for one in found.complaints] == ["label_noise"]
    assert 0.15 < found.complaints[0].figures["share"] < 0.4  # three in ten drawn anew, one of those right by chance


def test_noise_needs_errors_among_the_surest() -> None:
    """A net that errs where it is unsure, and takes the true class for the second most probable, has no wrong labels to complain of."""
    rng = np.random.default_rng(0)
    truth, sure = rng.integers(10, size=400), rng.uniform(0.2, 0.99, 400)
    probability = rng.uniform(0, 0.01, (400, 10))
    probability[np.arange(400), truth] = sure
    hard = sure < 0.4
    beside = (truth + 1) % 10
    probability[np.arange(400)[hard], beside[hard]] = sure[hard] + 0.01
    assert noise(probability, truth) is None
    wrong = rng.random(400) < 0.3
    found = noise(probability, np.where(wrong, rng.integers(10, size=400), truth))
    assert found is not None and 0.2 < found["share"] < 0.35 and found["place"] > 3
    assert noise(probability[:, :3], truth % 3) is None and noise(probability[:5], truth[:5]) is None


def test_rows_from_a_window_of_the_file_are_hardly_shuffled(made: Made) -> None:
    found = diagnosis(made("a window"))
    assert [one.name for one in found.complaints if not one.follows] == ["no_shuffle"] and "hardly" in found.complaints[0].what


def test_an_input_without_a_path_to_the_answer_is_named(made: Made) -> None:
    found = {one.name: one for one in diagnosis(made("deaf")).complaints}
    assert found["never_heard"].figures["inputs"] == ["x"]


def test_columns_squeezed_by_an_outlier_are_noted(made: Made) -> None:
    found = diagnosis(made("outlier"))
    assert [one.figures["columns"] for one in found.notes if one.name == "squeezed"] == [["w"]]
    assert not found.complaints


def test_causes_come_before_what_follows_from_them() -> None:
    def one(name: str, *explains: str, note: bool = False) -> Issue:
        return Issue(name, name, "", explains, note)

    found = by_cause([one("effect"), one("middle", "effect"), one("cause", "middle"), one("known", note=True), one("other"), one("x", note=True)])
    assert [(c.name, c.follows) for c in found] == [("cause", ""), ("middle", "cause"), ("effect", "cause"), ("other", ""), ("known", ""), ("x", "")]
    mutual = by_cause([one("a", "b"), one("b", "a", "c"), one("c"), one("known", note=True)])
    assert [(c.name, c.follows) for c in mutual] == [("b", ""), ("a", "b"), ("c", "b"), ("known", "")]
    assert [c.name for c in by_cause([one("a", "said"), one("said", note=True)])] == ["a"]


# --- runs in every state ---------------------------------------------------------------------------------------------------------


def test_when_the_data_has_moved_the_doctor_says_what_it_could_not_look_at(made: Made, tmp_path: Path) -> None:
    found = diagnosis(moved(made("a table"), tmp_path))
    assert found.headline == "Nothing wrong was found in what could be looked at." and not found.complaints
    assert len(found.unseen) == 1 and "gone.csv" in next(iter(found.unseen))
    assert "dead units" in next(iter(found.unseen.values())) and {"too high a rate", "underfitting"} <= set(found.looked)


def moved(run: Run, place: Path) -> Run:
    """A copy of a run whose data and encoded cells are gone."""
    copy = Run.open(shutil.copytree(run.path, place / "moved"))
    copy.save(store=str(place / "gone"), data={**copy.record["data"], "locations": [str(place / "gone.csv")]})
    return copy


def test_an_unfinished_training_is_looked_at_from_its_checkpoint(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "TICK", 0.0)

    def stop(event: Mapping[str, Any]) -> None:
        if event["event"] == "step" and event["step"] >= 60:
            signal.raise_signal(signal.SIGTERM)  # saves, and leaves

    with pytest.raises(Stopped):
        mapsto.train(table, target="sign", drop="y", steps=200, out=tmp_path, emit=stop, threads=1, lr=0.2)
    run = Run.list(tmp_path)[0]
    patient = patient_of(run)
    assert run.status == "running" and patient.steps >= 60 and len(patient.curve) >= 3
    found = examine(patient)
    assert found.complaints[0].name == "rate_high"
    assert list(found.unseen.values()) == [("labels the inputs do not tell",)]


def test_a_failed_training_says_why(tmp_path: Path, made: Made) -> None:
    data = written(tmp_path / "houses.csv", houses(200))
    with pytest.raises(MapstoError, match="became no number"):
        mapsto.train(data, target="price", steps=60, optimizer="sgd", lr=1e9, out=tmp_path / "runs", emit=lambda event: None, threads=1, clip=0)
    run = Run.list(tmp_path / "runs")[0]
    found = diagnosis(run)
    assert run.status == "failed" and found.complaints[0].name == "rate_high"
    assert "the loss became no number" in found.complaints[0].what
    again = diagnosis(moved(run, tmp_path))  # told from what it wrote down
    assert [one.name for one in again.complaints] == ["rate_high"] and again.unseen


def test_a_training_that_never_began_shows_its_own_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = {"data": {"name": "x", "locations": [], "fingerprint": ""}, "settings": settings_of({}).to_json()}
    run = Run.create(tmp_path, "none", {**asked, "status": "failed", "problem": "column 'x': expected numbers.\nMend it."})
    assert main(["doctor", str(run.path)]) == 0
    assert "expected numbers" in capsys.readouterr().out
    assert main(["doctor", str(run.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["problem"].startswith("column 'x'")


def test_examining_changes_nothing(made: Made) -> None:
    run = made("a table")
    before = {path: path.read_bytes() for path in sorted(run.path.rglob("*")) if path.is_file()}
    weights = {name: value.clone() for name, value in run.model.state_dict().items()}
    diagnosis(run)
    assert {path: path.read_bytes() for path in sorted(run.path.rglob("*")) if path.is_file()} == before
    assert all(bool((value == weights[name]).all()) for name, value in run.model.state_dict().items())


# --- tests on demand, and what is shown ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "done"), [("a table", True), ("a number", True), ("several labels", True), ("pictures", True), ("dead relu", False)]
)
def test_one_batch_is_learned_by_heart(kind: str, done: bool, made: Made) -> None:
    found = overfit_one_batch(patient_of(made(kind)))
    assert found.figures["done"] is done, found.headline
    assert found.headline.startswith("Yes" if done else "No")


def test_one_batch_shows_a_rate_that_is_too_low(made: Made) -> None:
    found = overfit_one_batch(patient_of(made("rate /1000")))
    assert found.figures["done"] and found.figures["rate"] == pytest.approx(2e-3)
    assert "not at the run's own rate" in found.headline


@pytest.mark.parametrize(("kind", "said"), [("a table", "fits"), ("rate ×100", "too high"), ("rate /1000", "too low")])
def test_the_range_of_rates_is_measured(kind: str, said: str, made: Made) -> None:
    found = rate_range(patient_of(made(kind)))
    assert 3e-4 < found.figures["suggested"] < 3e-2
    assert said in found.headline


def test_sections_turn_into_json_and_back(made: Made) -> None:
    patient = patient_of(made("unscaled inputs"))
    found = section(patient, examine(patient))
    again = Section.from_json(json.loads(json.dumps(found.to_json())))
    assert again.blocks == found.blocks and again.headline == found.headline and "unscaled" in again.figures
    assert rate_range(patient).to_json()["blocks"]


def test_the_command_prints_causes_and_json(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(made("unscaled inputs").path)
    assert main(["doctor", path]) == 0
    text = capsys.readouterr().out
    assert "1 thing is wrong" in text and "1. Inputs are not scaled" in text and "try: " in text and "from this follows: " in text
    assert main(["doctor", path, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["complaints"][0]["name"] == "unscaled" and found["section"]["name"] == "doctor"
    assert main(["doctor", path, "--rate-range", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "rate_range"


def test_what_a_broken_learner_does_hinders_no_other_look(made: Made) -> None:
    run = Run.open(made("a table").path)
    patient = patient_of(run)

    def broken(*words: Any) -> Any:
        raise RuntimeError("no batches today")

    patient.learner = broken  # type: ignore[method-assign]
    found = examine(patient)
    assert "no batches today" in found.unseen and found.looked and isinstance(patient, Subject)


# --- the folder ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", names("doctor"))
def test_every_file_looks_for_something(name: str) -> None:
    found = module("doctor", name)
    assert found.PROBES and all(callable(look) and look.__doc__ for look in found.PROBES.values()) and found.__doc__


def test_what_follows_from_a_complaint_is_one() -> None:
    """Names in `explains` are checked nowhere else."""
    files = [ast.parse(Path(str(module("doctor", name).__file__)).read_text()) for name in names("doctor")]
    calls = [
        node for tree in files for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) in ("Issue", "_complaint")
    ]
    known = {node.args[0].value for node in calls if node.args and isinstance(node.args[0], ast.Constant)}
    tuples = [node for tree in files for node in ast.walk(tree) if isinstance(node, ast.Tuple) and len(node.elts) > 1]
    named = {
        part.value for node in tuples for part in node.elts if isinstance(part, ast.Constant) and isinstance(part.value, str) and "_" in part.value
    }
    assert len(known) >= 20 and named <= known, named - known


def test_a_text_is_examined_and_its_baseline_said_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.txt").write_text("the cat sat on the mat and the dog sat on the log\n" * 120)
    run = mapsto.train(
        str(tmp_path / "t.txt"), "-> text(tokenizer=char)", steps=3, model="gpt(width=16,depth=1,heads=1)", out=tmp_path / "runs", threads=1,
        plan="default", emit=lambda event: None,
    )  # fmt: skip
    assert main(["doctor", str(run.path)]) == 0
    said = capsys.readouterr().out
    assert "not better than the best baseline" in said.splitlines()[1] and "Beside that: " in said and "NoneType" not in said
    assert "dead units" in said.split("not looked for")[0]
    run.save(status="running")
    assert main(["doctor", str(run.path)]) == 0 and "cut off at step" in capsys.readouterr().out
