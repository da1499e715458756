"""Every metric against scikit-learn, and on any selection of its rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from mapsto.metrics import Metric, area
from mapsto.metrics.classes import classification
from mapsto.metrics.labels import MULTI_LABEL
from mapsto.metrics.numbers import REGRESSION


def by_name(metrics: tuple[Metric, ...]) -> dict[str, Metric]:
    return {metric.name: metric for metric in metrics}


def classes(n: int, k: int, seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray]:
    random = np.random.default_rng(seed)
    target = np.concatenate([np.arange(k), random.integers(0, k, n - k)])
    scores = random.normal(size=(n, k)) + 1.5 * np.eye(k)[target]
    scores = np.round(scores, 1) if k < 10 else scores  # ties for AUC; top-k breaks them by position
    probability = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    return {"probability": probability.astype(np.float32), "value": probability.argmax(1)}, target


@pytest.mark.parametrize("k", [2, 3, 12])
def test_classification_equals_sklearn(k: int) -> None:
    predicted, target = classes(400, k)
    probability, value = predicted["probability"].astype(np.float64), predicted["value"]
    wanted = {
        "accuracy": sk.accuracy_score(target, value),
        "balanced_accuracy": sk.balanced_accuracy_score(target, value),
        "f1": sk.f1_score(target, value, average="macro"),
        "auc": sk.roc_auc_score(target, probability[:, 1])
        if k == 2
        else np.mean([sk.roc_auc_score(target == c, probability[:, c]) for c in range(k)]),
        "log_loss": -np.log(probability[np.arange(400), target]).mean(),
    }
    if k > 10:
        wanted["top5"] = sk.top_k_accuracy_score(target, probability, k=5)
    found = {metric.name: metric.reduce(metric.rows(predicted, target)) for metric in classification(k)}
    assert list(found) == list(wanted)
    assert found == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("k", [2, 5])
def test_statistics_of_a_resampled_selection_are_the_metric_of_that_selection(k: int) -> None:
    predicted, target = classes(200, k)
    chosen = np.random.default_rng(1).integers(0, 200, 150)
    part = {name: values[chosen] for name, values in predicted.items()}
    for metric in classification(k):
        assert metric.reduce(metric.rows(predicted, target)[chosen]) == pytest.approx(metric.reduce(metric.rows(part, target[chosen])))


def test_rows_without_a_label_count_nowhere() -> None:
    predicted, target = classes(100, 3)
    unknown = {name: np.concatenate([values, values[:7]]) for name, values in predicted.items()}
    for metric in classification(3):
        both = metric.rows(unknown, np.concatenate([target, np.full(7, -1)])), metric.rows(predicted, target)
        assert metric.reduce(both[0]) == pytest.approx(metric.reduce(both[1]))


@pytest.mark.parametrize("metrics", [classification(1), classification(2), classification(30), REGRESSION, MULTI_LABEL])
def test_no_rows_give_nan_and_definitions_are_one_sentence(metrics: tuple[Metric, ...]) -> None:
    assert len({metric.name for metric in metrics}) == len(metrics)
    for metric in metrics:
        assert metric.definition.endswith(".") and metric.definition.count(". ") == 0 and "\n" not in metric.definition
        assert np.isnan(metric.reduce(np.empty((0, 8))))


def test_one_class_alone() -> None:
    predicted = {"probability": np.ones((4, 1), np.float32), "value": np.zeros(4, np.int64)}
    found = {metric.name: metric.reduce(metric.rows(predicted, np.zeros(4, np.int64))) for metric in classification(1)}
    assert found == {"accuracy": 1, "balanced_accuracy": 1, "f1": 1, "log_loss": 0}


def test_area_without_both_values_is_undefined() -> None:
    assert np.isnan(area(np.ones(3, bool), np.arange(3.0))) and np.isnan(area(np.zeros(0, bool), np.zeros(0)))
    assert area(np.array([True, False]), np.array([0.5, 0.5])) == 0.5


def test_regression_equals_sklearn() -> None:
    random = np.random.default_rng(0)
    target = random.normal(size=300) * 7 + 1000
    value = target + random.normal(size=300)
    found = {metric.name: metric.reduce(metric.rows({"value": value}, target)) for metric in REGRESSION}
    assert found == pytest.approx(
        {"r2": sk.r2_score(target, value), "rmse": sk.root_mean_squared_error(target, value), "mae": sk.mean_absolute_error(target, value)}
    )
    gaps = np.where(np.arange(300) % 5 == 0, np.nan, target)
    known = ~np.isnan(gaps)
    for metric in REGRESSION:
        assert metric.reduce(metric.rows({"value": value}, gaps)) == pytest.approx(metric.reduce(metric.rows({"value": value[known]}, target[known])))
    r2 = by_name(REGRESSION)["r2"]
    assert np.isnan(r2.reduce(r2.rows({"value": value[:1]}, target[:1])))


def test_multi_label_equals_sklearn_with_unknown_labels_masked() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, (200, 4)).astype(np.float32)
    probability = np.clip(truth * 0.3 + random.random((200, 4)) * 0.7, 0, 1)
    predicted = {"probability": probability, "value": probability > 0.5}
    metrics = by_name(MULTI_LABEL)
    found = {name: metric.reduce(metric.rows(predicted, truth)) for name, metric in metrics.items()}
    value = predicted["value"].astype(int)
    assert found == pytest.approx(
        {
            "auc": sk.roc_auc_score(truth, probability),
            "f1": sk.f1_score(truth, value, average="micro"),
            "f1_macro": sk.f1_score(truth, value, average="macro"),
            "subset_accuracy": sk.accuracy_score(truth, value),
            "hamming": sk.hamming_loss(truth, value),
        }
    )
    gaps = np.where(random.random((200, 4)) < 0.3, -1, truth)
    wanted = np.mean([sk.roc_auc_score(gaps[gaps[:, k] >= 0, k], probability[gaps[:, k] >= 0, k]) for k in range(4)])
    assert metrics["auc"].reduce(metrics["auc"].rows(predicted, gaps)) == pytest.approx(wanted)
    known = gaps >= 0
    assert metrics["f1"].reduce(metrics["f1"].rows(predicted, gaps)) == pytest.approx(sk.f1_score(gaps[known], value[known]))
    assert metrics["hamming"].reduce(metrics["hamming"].rows(predicted, gaps)) == pytest.approx((gaps[known] != value[known]).mean())


def test_better_knows_the_direction_and_nan() -> None:
    metrics = by_name(REGRESSION)
    assert metrics["r2"].better(0.9, 0.8) and metrics["rmse"].better(1, 2) and metrics["mae"].better(5, float("nan"))
    assert not metrics["r2"].better(float("nan"), -3)
