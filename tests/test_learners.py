"""Every file of learners/ keeps the contract of `mapsto.learners.base`: one tiny model and batch each."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mapsto.batch import Batch, Batches
from mapsto.config import Training, settings_of
from mapsto.data.open import open_source
from mapsto.data.resolve import as_asked
from mapsto.errors import ConfigError
from mapsto.learners import build, metrics_of
from mapsto.learners.base import Learner
from mapsto.learners.supervised import Supervised
from mapsto.metrics import Metric, mean_of
from mapsto.prediction import Keep, Measured
from mapsto.prediction.gathering import Gathering
from mapsto.registry import names
from mapsto.run import Run
from mapsto.signature import parse
from mapsto.steps.prepare import prepare, store_of
from mapsto.testing.learners import check_learner
from mapsto.training.trainer import Trainer

WORDS = ["a red cat", "the old dog sits", "new sea", "good wind on a tree", "very bad house", "blue mat under it"]
PLAIN: dict[str, Any] = {"steps": 4, "batch": 4, "micro_batch": 4, "threads": 1, "plan": "default", "precision": "float32"}


def quiet(event: object) -> None:
    """Tell nobody."""


def prepared(data: Any, signature: str, out: Path, **options: Any) -> Run:
    """A run of which everything is decided and nothing learned."""
    settings = settings_of({**PLAIN, **options})
    source = as_asked(signature, open_source(data, settings.reading))
    known = {"name": source.name, "locations": [], "fingerprint": source.fingerprint}
    run = Run.create(out, "tiny", {"data": known, "asked": signature, "settings": settings.to_json()})
    prepare(run, source, quiet)
    return Run.open(run.path)


def numbers(out: Path, learner: str = "supervised") -> Run:
    rows = [{"x": float(i % 7), "c": "uvw"[i % 3], "y": "even" if i % 2 else "odd"} for i in range(80)]
    model = "mlp(width=8, depth=1, members=2)"
    return prepared(rows, "x, c -> y", out, model=model, learner=learner, allow="leakage")


def folds(out: Path) -> Run:
    return numbers(out, "bagged")


def texts(out: Path) -> Run:
    rows = [{"text": " ".join(WORDS[i % 6 :] + WORDS[: i % 5]) + f" {i}"} for i in range(40)]
    return prepared(rows, "-> text:text(max=16)", out, model="gpt(width=16, depth=1, heads=2)")


def answers(out: Path) -> Run:
    rows = [{"asked": f"{WORDS[i % 6]} {i}", "said": WORDS[(i + 1) % 6][::-1]} for i in range(40)]
    return prepared(rows, "asked:text -> said:text", out, model="seq2seq(width=16, depth=1, heads=2)")


def talks(out: Path) -> Run:
    def talk(i: int) -> list[dict[str, str]]:
        return [{"role": "user", "content": WORDS[i % 6]}, {"role": "assistant", "content": f"{WORDS[(i + 1) % 6]} {i}"}]

    rows = [{"messages": talk(i)} for i in range(40)]
    return prepared(rows, "-> messages:messages(max=32)", out, model="gpt(width=16, depth=1, heads=2)")


RUNS: dict[str, Callable[[Path], Run]] = {
    "supervised": numbers,
    "bagged": folds,
    "next_token": texts,
    "teacher_forcing": answers,
    "chat": talks,
    "dpo": talks,
}


def test_every_way_of_learning_is_held_to_the_contract() -> None:
    assert set(RUNS) == set(names("learners"))


def maker(name: str, run: Run) -> Callable[[], Learner]:
    """Fresh learners of a run, each with first weights of its own."""
    store = store_of(run, lambda: pytest.fail("rows are encoded already"), quiet)

    def make() -> Learner:
        learner = run.new_learner(run.new_model(), store)
        learner.first = run.new_model
        return learner

    return make


@pytest.mark.parametrize("name", [name for name in RUNS if name != "dpo"])
def test_the_contract(name: str, tmp_path: Path) -> None:
    run = RUNS[name](tmp_path)
    assert run.choice.learner == name

    check_learner(maker(name, run), tmp_path / "trained")


# --- measuring -------------------------------------------------------------------------------------------------------------------


def gathered(order: np.ndarray, keep: Keep) -> Measured:
    """100 rows in some order, ten at a time, of which nine in ten are right and one in four is not known."""
    metric = Metric("accuracy", "Share of right rows.", lambda found, target: (found["value"] == target)[:, None] * 1.0, mean_of)
    found = Gathering({"y": (metric,)}, keep)
    for rows in order.reshape(10, 10):
        value = np.where(rows % 10 == 0, -1, rows).astype(np.float32)
        part: dict[tuple[str, ...], np.ndarray] = {("predicted", "y", "value"): value, ("target", "y"): rows, ("present", "y"): rows % 4 != 0}
        found.add(rows, 10, part)
    return found.measured()


def test_a_few_predictions_are_all_held_in_the_order_of_their_rows() -> None:
    found = gathered(np.arange(100)[::-1], Keep())

    assert found.whole and (found.rows == np.arange(100)).all() and (found.sample.target["y"] == np.arange(100)).all()


def test_of_many_predictions_a_sample_is_held_and_all_are_counted() -> None:
    whole = gathered(np.arange(100), Keep())
    part = gathered(np.arange(100), Keep(bytes=300))
    other = gathered(np.random.default_rng(0).permutation(100), Keep(bytes=300))
    metrics = (Metric("accuracy", "", lambda found, target: target, mean_of),)

    assert not part.whole and 0 < len(part.sample.rows) < 50
    assert (part.sample.rows == other.sample.rows).all()  # whatever the order in which rows come
    assert part.values("y", metrics) == {"accuracy": pytest.approx(whole.sample.values("y", whole_metrics())["accuracy"])}
    assert (part.known["y"] == (np.arange(100) % 4 != 0)).all() and np.isnan(part.statistics["y"]["accuracy"][0])


def whole_metrics() -> tuple[Metric, ...]:
    return (Metric("accuracy", "", lambda found, target: (found["value"] == target)[:, None] * 1.0, mean_of),)


class Walks(Learner):
    """Measured by what its walks pay, not row by row."""

    def metrics(self, slot: str) -> tuple[Metric, ...]:
        return (Metric("return", "What a walk pays.", lambda found, target: found["return"], mean_of),)

    def measure(self, split: str, keep: Keep = Keep()) -> Measured:  # noqa: B008 (frozen)
        return Measured.of_statistics({"action": {"return": np.array([[1.0], [3.0]])}})

    def record(self) -> dict[str, Any]:
        return {"walks": 2}


def test_a_learner_that_walks_is_measured_by_its_own_metric() -> None:
    learner = Walks(torch.nn.Module(), parse("observation -> action"), {}, None, Training())

    assert learner.evaluate("validation") == {"action": {"return": 2.0}}
    assert json.loads(json.dumps(learner.record())) == {"walks": 2}


def test_metrics_are_known_before_there_is_a_net(tmp_path: Path) -> None:
    run = numbers(tmp_path)

    known = metrics_of("supervised", run.signature, run.types, run.choice.training, {}, run.choice.kinds)

    assert [metric.name for metric in known["y"]] == [metric.name for metric in run.output("y").metrics]


# --- timing the machine leaves nothing behind -------------------------------------------------------------------------------------


class Counting(Supervised):
    """Counts how often its loss was asked for, in what it remembers."""

    seen = torch.zeros(1)

    def loss(self, batch: Batch) -> Any:
        self.seen += 1
        return super().loss(batch)

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"seen": self.seen}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        self.seen = state["seen"]


def test_what_a_learner_remembers_is_of_its_steps_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = numbers(tmp_path)
    store = store_of(run, lambda: pytest.fail("encoded again"), quiet)
    monkeypatch.setenv("MAPSTO_CACHE", str(tmp_path / "empty"))  # so that the machine is timed
    learner = Counting(run.new_model(), run.signature, run.types, store, run.choice.training)
    learner.seen = torch.zeros(1)

    Trainer(learner, None, run.choice.budget).fit()

    assert learner.seen.item() == 4


# --- two requests do not meet ------------------------------------------------------------------------------------------------------


def test_searching_in_one_way_leaves_another_request_as_it_is(tmp_path: Path) -> None:
    run = answers(tmp_path)
    learner = maker("teacher_forcing", run)()
    usual = learner.config

    one, other = learner.with_decoding({"beam": 3}), learner.with_decoding({"temperature": 1.0})

    assert one.config.beam == 3 and other.config.temperature == 1.0 and learner.config == usual
    assert one.model is learner.model is other.model


def test_what_is_not_searched_for_says_so(tmp_path: Path) -> None:
    learner = maker("supervised", numbers(tmp_path))()

    with pytest.raises(ConfigError, match="not searched for"):
        learner.with_decoding({"beam": 3})


def test_batches_are_the_whole_contract(tmp_path: Path) -> None:
    """A learner asks nothing else of a store, so that any stream of rows is one."""
    asked = {name for name in vars(Batches) if not name.startswith("_")}
    run = numbers(tmp_path)
    store = store_of(run, lambda: pytest.fail("rows are encoded already"), quiet)

    assert asked >= {"size", "rows", "groups", "weights", "lengths", "stream", "iterate", "batch", "raw"}
    assert isinstance(store, Batches) and isinstance(store.batch(store.rows("train")[:3]), Batch)
    learner = build("supervised", run.new_model(), run.signature, run.types, store, replace(run.choice.training, batch=4), {})
    assert next(learner.batches("train", 0)).size == 4
