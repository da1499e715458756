"""Figures said of a run: intervals, scores, trivial baselines; against known cases and sklearn's bundled data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris

import mapsto
from mapsto.batch import Ragged
from mapsto.measure import baseline
from mapsto.measure.baseline import Features, baselines
from mapsto.measure.scores import interval, record, score
from mapsto.metrics import Metric, area, mean_of, ratio_of
from mapsto.outputs.classes import Classes as ClassesOutput
from mapsto.outputs.labels import Labels as LabelsOutput
from mapsto.outputs.regression import Regression
from mapsto.outputs.tokens import Tokens
from mapsto.types.base import DataType
from mapsto.types.text.stems import PlacedBag, PlainBag, Texts


def right(predicted, target):
    return (predicted["value"] == target).astype(float)[:, None]


def known_right(predicted, target):
    known = target >= 0
    return np.stack([((predicted["value"] == target) & known).sum(1), known.sum(1)], 1).astype(float)


def pairs(predicted, target):
    return np.stack([predicted["value"], target], 1).astype(float)


def r2_of(statistics):
    value, target = statistics.T
    return float(1 - np.square(value - target).sum() / np.square(target - target.mean()).sum()) if target.std() else float("nan")


def auc_of(statistics):
    return area(statistics[:, 1] == 1, statistics[:, 0])


ACCURACY = Metric("accuracy", "share of rows whose value is right", right, mean_of)
R2 = Metric("r2", "share of variance explained", pairs, r2_of)
AUC = Metric("auc", "area under the ROC curve", lambda p, t: np.stack([p["probability"][:, 1], t], 1), auc_of)
LABELS = Metric("accuracy", "share of known labels that are right", known_right, ratio_of)


@dataclass(frozen=True)
class Told(DataType):
    """A type that tells so many classes or labels apart."""

    count: int = 1

    @property
    def classes(self):
        return tuple(map(str, range(self.count)))


class Classes(ClassesOutput):
    metrics = (ACCURACY, AUC)


class Numbers(Regression):
    metrics = (R2,)


class Labels(LabelsOutput):
    metrics = (LABELS,)


TEN, NUMBER, THREE = Classes(Told(10)), Numbers(Told()), Labels(Told(3))


def halves(values, target, present=None):
    """A fixed half for training and a half for testing."""
    order = np.random.default_rng(0).permutation(len(target))
    present = np.ones(len(target), bool) if present is None else present
    return (Features(values[part], target[part], present[part]) for part in np.array_split(order, 2))


# --- intervals


def test_interval_of_a_mean_covers_95_percent():
    draw = np.random.default_rng(1)
    inside = 0
    for _ in range(200):
        low, high = interval(draw.exponential(size=(100, 1)), ACCURACY)
        inside += low <= 1.0 <= high
    assert 0.88 <= inside / 200 <= 0.985  # percentile intervals of 100 skewed rows: near 0.94


@pytest.mark.parametrize("n", [400, 40_000])  # above 10,000 rows another path, the same answer
def test_interval_of_any_metric_has_the_width_of_theory(n):
    draw = np.random.default_rng(2)
    target = draw.normal(size=n)
    statistics = np.stack([target + draw.normal(size=n), target], 1)
    ratio = Metric("mse", "mean squared error", pairs, lambda s: float(np.square(s[:, 0] - s[:, 1]).mean()))
    low, high = interval(statistics, ratio)
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(2 / n), rel=0.2)  # variance of a squared normal is 2
    assert low < 1.0 < high
    slow = interval(np.square(statistics[:, :1] - statistics[:, 1:]), Metric("mse", "", pairs, mean_of))
    assert (low, high) == pytest.approx(slow, rel=0.02 if n > 1000 else 0.05)


@pytest.mark.parametrize("reduce", [mean_of, lambda s: float(s[:, 0].mean())])
@pytest.mark.parametrize("groups", [60, 12_000])
def test_groups_widen_the_interval_to_what_is_known(reduce, groups):
    draw = np.random.default_rng(3)
    group = np.repeat(np.arange(groups), 5)
    statistics = np.repeat(draw.normal(size=groups), 5)[:, None]  # rows of a group all say the same
    metric = Metric("m", "", right, reduce, higher_is_better=False)
    by_row, by_group = interval(statistics, metric), interval(statistics, metric, group.astype(str))
    assert (by_group[1] - by_group[0]) / (by_row[1] - by_row[0]) == pytest.approx(np.sqrt(5), rel=0.25)


def test_few_large_groups_are_thinned_and_still_wide():
    draw = np.random.default_rng(4)
    group = np.repeat(np.arange(10), 20_000)
    statistics = draw.normal(size=10)[group][:, None] + draw.normal(size=(200_000, 1))
    plain = interval(statistics, Metric("m", "", right, mean_of), group)
    thinned = interval(statistics, Metric("m", "", right, lambda s: float(s.mean())), group)
    assert thinned == pytest.approx(plain, abs=0.15 * (plain[1] - plain[0]))


def test_interval_is_a_function_of_its_arguments():
    statistics = np.random.default_rng(5).normal(size=(50, 1))
    assert interval(statistics, ACCURACY) == interval(statistics.copy(), ACCURACY)
    assert interval(statistics, ACCURACY) != interval(statistics, ACCURACY, seed=1)


@pytest.mark.parametrize(
    "statistics, groups",
    [
        (np.zeros((0, 1)), None),  # no row
        (np.full((1, 1), 0.3), None),  # one row
        (np.random.default_rng(0).random((9, 1)), np.zeros(9)),  # one group
        (np.array([[0.1], [np.inf], [0.2]]), None),  # an infinite one
        (np.full((5, 1), np.nan), None),  # no row that counts
    ],
)
def test_no_interval_where_none_can_be_known(statistics, groups):
    assert np.isnan(interval(statistics, ACCURACY, groups)).all()


def test_rows_that_do_not_count_change_nothing():
    some = np.random.default_rng(0).random((40, 1))
    gaps = np.insert(some, [3, 30], np.nan, axis=0)
    assert interval(gaps, ACCURACY) == interval(some, ACCURACY)
    assert interval(gaps, ACCURACY, np.arange(42)) == interval(some, ACCURACY, np.arange(40))


def test_a_ratio_is_resampled_by_row():
    draw = np.random.default_rng(8)
    counts = draw.integers(0, 4, 500)
    statistics = np.stack([draw.binomial(counts, 0.3), counts], 1).astype(float)
    fast = interval(statistics, Metric("m", "", known_right, ratio_of))
    slow = interval(statistics, Metric("m", "", known_right, lambda s: ratio_of(s)))
    assert fast == pytest.approx(slow, abs=0.01) and fast[0] < 0.3 < fast[1]


def test_constant_statistics():
    assert interval(np.full((20, 1), 0.5), ACCURACY) == (0.5, 0.5)
    low, high = interval(np.ones((30, 1)), ACCURACY)
    assert (low, high) == (pytest.approx(0.8843, abs=1e-4), 1.0)  # Clopper-Pearson for 30 of 30
    assert interval(np.zeros((30, 1)), ACCURACY) == (0.0, pytest.approx(0.1157, abs=1e-4))
    assert interval(np.zeros((30, 1)), Metric("error", "", right, mean_of, higher_is_better=False)) == (0.0, 0.0)


def test_undefined_resamples_are_left_out():
    one = np.stack([np.arange(30) / 30, np.arange(30) == 20], 1).astype(float)  # one positive: a third of the resamples miss it
    low, high = interval(one, AUC)
    assert low < auc_of(one) < high
    assert np.isnan(interval(one * [1, 0], AUC)).all()


# --- scores


def test_score_counts_known_labels_and_is_json():
    target = np.array([0, 1, 1, -1, 0])
    value, probability = np.array([0, 1, 0, 1, 0]), np.full((5, 2), 0.5)
    found = score(TEN.metrics, {"value": value, "probability": probability}, target, target >= 0)
    assert found["accuracy"]["value"] == 0.75 and found["accuracy"]["n"] == 4
    assert found["accuracy"]["low"] is None and found["accuracy"]["high"] is None  # of four rows
    assert set(found["accuracy"]) == {"value", "low", "high", "n", "definition"}
    assert found["auc"]["value"] == 0.5 and found["auc"]["definition"] == AUC.definition
    empty = score(TEN.metrics, {"value": value, "probability": probability}, target, np.zeros(5, bool))
    assert empty["accuracy"] == {"value": None, "low": None, "high": None, "n": 0, "definition": ACCURACY.definition}
    whole = record({"test": {"kind": found}}, {"kind": {"majority": empty}})
    assert json.loads(json.dumps(whole, allow_nan=False)) == whole and whole["version"] == 1


def test_score_of_labels_keeps_rows_with_any_known_label():
    target = np.array([[0, 1], [-1, 1], [-1, -1]], np.int8)
    found = score(THREE.metrics, {"value": np.array([[0, 0], [0, 1], [0, 0]])}, target, target >= 0, np.array(["a", "b", "c"]))
    assert found["accuracy"]["n"] == 2 and found["accuracy"]["value"] == pytest.approx(2 / 3)


def test_a_prediction_that_is_no_number_is_not_hidden():
    found = score(NUMBER.metrics, {"value": np.array([1.0, np.nan, 3.0])}, np.array([1.0, 2.0, 3.0]), np.ones(3, bool))
    assert found["r2"]["value"] is None and found["r2"]["n"] == 3


# --- baselines


def value(found, name, metric="accuracy"):
    return found[name][metric]["value"]


def test_baselines_on_digits():
    digits = load_digits()
    found = baselines(*halves(digits.data, digits.target), TEN)
    assert value(found, "majority") < 0.15 and value(found, "linear") >= 0.94 and value(found, "nearest") >= 0.97
    assert found["linear"]["accuracy"]["n"] == 898


def test_baselines_on_iris():
    iris = load_iris()
    found = baselines(*halves(iris.data, iris.target), TEN)
    assert value(found, "majority") < 0.4 and value(found, "linear") >= 0.93 and value(found, "nearest") >= 0.93


def test_baselines_on_diabetes():
    rows = load_diabetes(scaled=False)
    found = baselines(*halves(rows.data, rows.target), NUMBER)
    assert abs(value(found, "mean", "r2")) < 0.05 and value(found, "linear", "r2") >= 0.42


def test_baselines_of_labels_with_gaps():
    rows = load_breast_cancer()
    target = np.stack([rows.target, 1 - rows.target, np.full(569, -1)], 1).astype(np.int8)  # the last label is never known
    target[np.random.default_rng(0).random(target.shape) < 0.3] = -1
    found = baselines(*halves(rows.data, target, target >= 0), THREE)
    assert 0.4 < value(found, "majority") < 0.7 and value(found, "linear") >= 0.94


def test_answers_have_the_form_of_heads():
    values, known = np.random.default_rng(0).normal(size=(40, 3)), np.ones(40, bool)
    codes, labels = np.arange(40) % 3, (values > 0).astype(np.int8)
    for found in baseline.answers(Features(values, codes, known), Features(values[:7], codes[:7], known[:7]), Classes(Told(5))).values():
        assert found["probability"].shape == (7, 5) and found["value"].shape == (7,)
        assert found["probability"].sum(1) == pytest.approx(1, abs=1e-5)
    for found in baseline.answers(Features(values, labels, labels >= 0), Features(values[:7], labels[:7], labels[:7] >= 0), THREE).values():
        assert found["probability"].shape == found["value"].shape == (7, 3)
    for found in baseline.answers(Features(values, values[:, 0], known), Features(values[:7], values[:7, 0], known[:7]), NUMBER).values():
        assert found["value"].shape == (7,)


@pytest.mark.parametrize(
    "train, test",
    [
        ([0], [0, 1]),  # one row, a class never seen
        ([2, 2, 2, 2], [2, 2]),  # one class
        ([0, 1, -1, 1], [3, -1, 0]),  # missing, and more classes than in training
        ([0, 1], [-1, -1]),  # nothing known in test
        ([0, 1, 0], []),  # no test row
    ],
)
def test_baselines_on_poor_data(train, test):
    draw = np.random.default_rng(0)
    sides = [Features(draw.normal(size=(len(t), 2)), np.array(t, np.int64), np.array(t, np.int64) >= 0) for t in (train, test)]
    found = baselines(*sides, TEN)
    assert found["majority"]["accuracy"]["n"] == sum(code >= 0 for code in test)
    json.dumps(found, allow_nan=False)


def test_baselines_where_there_is_nothing_to_learn_from():
    none = Features(np.zeros((4, 2)), np.full(4, -1), np.zeros(4, bool))
    assert baselines(none, none, TEN) == {}
    assert baselines(none, none, Tokens(Told())) == {}
    bare = Features(np.zeros((6, 0)), np.arange(6) % 2, np.ones(6, bool))  # no input at all
    assert value(baselines(bare, bare, TEN), "linear") == 0.5
    numbers = Features(np.zeros((1, 1)), np.array([3.0]), np.ones(1, bool))
    assert value(baselines(numbers, numbers, NUMBER), "mean", "r2") is None


def test_features_may_be_wild():
    draw = np.random.default_rng(0)
    values = np.concatenate([draw.normal(size=(300, 3000)), np.zeros((300, 1))], 1).astype(np.float32)  # more than 1024: hashed
    values[0, 0], values[1, 1], values[2, 2], values[:, 3] = np.inf, np.nan, 1e30, values[:, 3] * 1e-9
    target = (values[:, 4] > 0).astype(np.int64)
    found = baselines(*halves(values, target), TEN)
    assert set(found) == {"majority", "linear", "nearest"}


def test_a_sample_is_keyed_and_bounded():
    assert (baseline.chosen(5, 10) == np.arange(5)).all()
    rows = baseline.chosen(100_000, 20_000)
    assert len(set(rows)) == 20_000 and (rows == baseline.chosen(100_000, 20_000)).all() and (np.diff(rows) > 0).all()


@pytest.mark.parametrize("counted", [True, False])
def test_sparse_features_of_texts_are_the_dense_ones(counted):
    bags = Ragged(torch.tensor([[1.0, 2.0], [3.0, 0.5], [6.0, 1.0], [2.0, 3.0]]), torch.tensor([2, 0, 2])) if counted else None
    texts = Texts(torch.tensor([[3, 4, 3], [5, 0, 0], [4, 4, 4]]), torch.tensor([3, 1, 3]), bags=bags)
    for stem in (PlainBag(9, 8 if counted else 0, upper=False), PlacedBag(9, 8 if counted else 0, False, places=3)):
        assert np.allclose(stem.sparse(texts).toarray(), stem(texts).numpy(), atol=1e-6)
        assert torch.allclose(stem.sparse_tensor(texts).to_dense(), stem(texts), atol=1e-6)


def variants(rows: int, draw: np.random.Generator, length: int = 120) -> list[dict]:
    """One sequence with three single changes a row, each of its own effect."""
    base, effect = draw.integers(20, size=length), draw.normal(size=(length, 20))
    found = []
    for _ in range(rows):
        own = base.copy()
        own[draw.choice(length, 3, replace=False)] = draw.integers(20, size=3)
        change = effect[np.arange(length), own].sum() - effect[np.arange(length), base].sum()
        found.append({"sequence": "".join("ACDEFGHIKLMNPQRSTVWY"[i] for i in own), "y": float(change)})
    return found


@pytest.mark.usefixtures("without_reports")
def test_single_changes_of_one_sequence_are_known_from_the_first_step(tmp_path: Path) -> None:
    model = "textcnn(token=8, channels=8, line=true)"
    rows = variants(1500, np.random.default_rng(0))
    run = mapsto.train(rows, "sequence:text -> y:number", model=model, steps=3, out=tmp_path, emit=lambda event: None)
    linear = run.metrics["baselines"]["y"]["linear"]["r2"]["value"]
    assert linear > 0.4
    assert run.metrics["test"]["y"]["r2"]["value"] > linear - 0.01
