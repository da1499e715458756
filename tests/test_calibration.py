"""Trusted predictions: calibration error, temperature, intervals and sets, and rows far from the training data."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mapsto.measure.ece import binned, by_chance, debiased, ece, of_labels
from mapsto.outputs import _conformal as conformal
from mapsto.outputs.base import Head, Output
from mapsto.outputs.classes import Classes
from mapsto.outputs.labels import Labels
from mapsto.outputs.regression import Regression
from mapsto.outputs.tokens import Tokens
from mapsto.prediction import Prediction
from mapsto.types.base import DataType

CLASSES, LABELS, NUMBERS = (kind(DataType()) for kind in (Classes, Labels, Regression))


def fit(output: Output, predicted: dict[str, np.ndarray], target: np.ndarray, present: np.ndarray) -> dict:
    """What is learned from the rows with a known label."""
    known = present.reshape(len(present), -1).any(1)
    return output.calibrate({name: values[known] for name, values in predicted.items()}, target[known])


# --- expected calibration error


def test_ece_of_a_worked_example() -> None:
    """Two bins of five: 0.55 to 0.65 thrice (right 1, 1, 0) and .95 twice (right 1, 0): (3 |.6 - 2/3| + 2 |.95 - .5|) / 5."""
    sure = np.array([0.55, 0.60, 0.65, 0.95, 0.95])
    probability = np.stack([sure, 1 - sure], 1)
    target = np.array([0, 0, 1, 0, 1])
    wanted = (3 * abs(0.6 - 2 / 3) + 2 * abs(0.95 - 0.5)) / 5
    assert ece(probability, target, bins=2) == pytest.approx(abs(0.74 - 0.6))  # all in the upper one of two
    assert ece(probability, target, bins=4) == pytest.approx(wanted)
    assert ece(sure, (target == 0).astype(int), bins=4) == pytest.approx(wanted)  # the event itself
    found = binned(probability, target, bins=4)
    assert found.count.tolist() == [3, 2] and found.right == pytest.approx([2 / 3, 0.5]) and found.gap == pytest.approx([-1 / 15, 0.45])


def test_chance_is_told_from_error() -> None:
    draw = np.random.default_rng(0)
    honest, plain, less, chance = draw.uniform(0.5, 1, (200, 3000)), [], [], []
    for sure in honest:
        right = (draw.random(3000) < sure).astype(int)
        plain.append(ece(sure, right))
        less.append(debiased(sure, right))
        chance.append(by_chance(sure, right))
    assert np.mean(plain) == pytest.approx(np.mean(chance), rel=0.03) and 0.01 < np.mean(plain) < 0.02
    assert np.mean(less) < 0.65 * np.mean(plain)  # what lies within one deviation of nothing cannot be told from it
    shifted = [debiased(sure, (draw.random(3000) < sure - 0.05).astype(int)) for sure in honest]
    assert np.mean(shifted) == pytest.approx(0.05, abs=0.003)


def test_ece_without_rows_with_gaps_and_of_labels() -> None:
    assert np.isnan(ece(np.zeros((0, 3)), np.zeros(0, int))) and np.isnan(debiased(np.ones((2, 2)) / 2, np.full(2, -1)))
    assert ece(np.array([[0.9, 0.1], [0.2, 0.8], [np.nan, 1.0]]), np.array([0, -1, 1])) == pytest.approx(0.1)
    probability, target = np.array([[0.9, 0.5], [0.9, 0.5]]), np.array([[1, -1], [1, -1]])
    assert of_labels(ece, probability, target) == pytest.approx(0.1)
    assert binned(np.linspace(0, 1, 30), np.ones(30, int), 3, equal_mass=True).count.tolist() == [10, 10, 10]


# --- temperature


def softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def drawn(rows: int, classes: int, sharpness: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Honest probabilities (n, K), and classes drawn from them: the larger the sharpness, the more are right."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(size=(rows, classes)) * sharpness
    return softmax(logits), (logits + draw.gumbel(size=logits.shape)).argmax(1)


def everything(target: np.ndarray) -> np.ndarray:
    return np.ones(target.shape, bool)


def test_temperature_is_recovered_and_kept_only_if_it_helps() -> None:
    honest, target = drawn(4000, 5, 2)
    sharp = softmax(3 * np.log(honest))
    found = fit(CLASSES, {"probability": sharp}, target, everything(target))
    assert found["temperature"] == pytest.approx(3, rel=0.1)
    shown = CLASSES.calibrated({"probability": sharp.astype(np.float32), "value": sharp.argmax(1)}, found)
    assert np.abs(shown["probability"] - honest).mean() < 0.01 and shown["probability"].dtype == np.float32
    assert ece(sharp, target) > 0.1 > 0.02 > ece(shown["probability"], target)
    fair, target = drawn(30, 5, 0.2)
    unknown = fit(CLASSES, {"probability": fair}, np.full(30, -1), np.zeros(30, bool))
    assert unknown["temperature"] is None and CLASSES.calibrated({"probability": fair}, unknown)["probability"] is fair
    json.dumps([found, unknown], allow_nan=False)


def test_temperature_of_labels_changes_no_answer() -> None:
    draw = np.random.default_rng(1)
    logits = draw.normal(size=(2000, 4)) * 2
    target = (draw.random((2000, 4)) < 1 / (1 + np.exp(-logits))).astype(int)
    target[draw.random((2000, 4)) < 0.3] = -1
    probability = 1 / (1 + np.exp(-2.5 * logits))
    found = fit(LABELS, {"probability": probability}, target, target >= 0)
    shown = LABELS.calibrated({"probability": probability}, found)["probability"]
    assert found["temperature"] == pytest.approx(2.5, rel=0.1)
    assert ((shown > 0.5) == (probability > 0.5)).all()
    assert of_labels(ece, shown, target) < 0.35 * of_labels(ece, probability, target)
    assert fit(Tokens(DataType()), {}, target, target >= 0) == {}


# --- intervals


class Plain(Head):
    def decode(self, predicted: dict[str, np.ndarray]) -> list[Prediction]:
        return [Prediction(value) for value in predicted["value"].tolist()]


def test_conformal_intervals_cover_nine_in_ten() -> None:
    draw = np.random.default_rng(6)
    covered = []
    for _ in range(200):
        target = draw.normal(size=51)
        found = fit(NUMBERS, {"value": np.zeros(50)}, target[:50], np.ones(50, bool))
        one = NUMBERS.predictions(Plain(), {"value": np.zeros(1)}, found)[0]
        covered.append(one.low <= target[50] <= one.high)
    assert 0.85 <= np.mean(covered) <= 0.96
    few = fit(NUMBERS, {"value": np.zeros(8)}, np.zeros(8), np.ones(8, bool))
    assert few["halfwidth"] is None and NUMBERS.predictions(Plain(), {"value": np.ones(1)}, few) == [Prediction(1.0)]


def test_intervals_widen_where_members_disagree() -> None:
    """Errors grow with the spread: intervals follow, cover as many, and are narrower in the mean."""
    draw = np.random.default_rng(2)
    coverage, wide, narrow = [], [], []
    for _ in range(20):
        spread = np.exp(draw.normal(size=2000))
        value = draw.normal(size=2000)
        target = value + spread * draw.normal(size=2000) * 0.7
        found = fit(NUMBERS, {"value": value[:1000], "spread": spread[:1000]}, target[:1000], np.ones(1000, bool))
        half = conformal.halfwidths({"value": value[1000:], "spread": spread[1000:]}, found)
        constant = conformal.interval({"value": value[:1000]}, target[:1000])
        inside = np.abs(target[1000:] - value[1000:]) <= half
        coverage.append(inside.mean())
        wide.append(inside[spread[1000:] > 2].mean())
        narrow.append(half.mean() / constant["halfwidth"])
    assert np.mean(coverage) == pytest.approx(0.9, abs=0.01)
    assert np.mean(wide) > 0.85 and np.mean(narrow) < 0.95
    json.dumps(found, allow_nan=False)


def test_equal_errors_keep_equal_intervals() -> None:
    draw = np.random.default_rng(3)
    value = draw.normal(size=1000)
    found = conformal.interval({"value": value, "spread": draw.random(1000)}, value + draw.normal(size=1000))
    assert "scale" not in found or np.ptp(conformal.halfwidths({"value": value, "spread": np.ones(1000)}, found)) < 0.3 * found["halfwidth"]
    exact = conformal.interval({"value": value, "spread": np.ones(1000)}, value)
    assert exact == {"halfwidth": 0.0, "coverage": 0.9, "n": 1000}
    broken = conformal.interval({"value": np.r_[np.nan, value]}, np.r_[0.0, value])
    assert broken["halfwidth"] == 0.0 and "scale" not in broken


# --- sets


@pytest.mark.parametrize(("sharpness", "right"), [(1.0, 0.4), (3.5, 0.75), (9.0, 0.9), (16.0, 0.94), (60.0, 0.985)])
def test_sets_of_classes_cover_nine_in_ten_at_every_accuracy(sharpness: float, right: float) -> None:
    coverage, accuracy = [], []
    for seed in range(10):
        probability, target = drawn(2500, 6, sharpness, seed)
        found = fit(CLASSES, {"probability": probability[:1000]}, target[:1000], np.ones(1000, bool))
        shown = CLASSES.calibrated({"probability": probability[1000:]}, found)
        coverage.append(shown["set"][np.arange(1500), target[1000:]].mean())
        accuracy.append((shown["probability"].argmax(1) == target[1000:]).mean())
    assert np.mean(accuracy) == pytest.approx(right, abs=0.04)
    assert np.mean(coverage) == pytest.approx(0.9, abs=0.012)


def test_rare_classes_are_covered_too() -> None:
    """One row in ten is of the second class, which is hard to tell; ten rows are of a third, too few for a promise of its own."""
    coverage = []
    for seed in range(10):
        draw = np.random.default_rng(seed)
        target = np.r_[np.zeros(3600, int), np.ones(390, int), np.full(10, 2)][draw.permutation(4000)]
        logits = draw.normal(size=(4000, 3)) + 2.0 * np.eye(3)[target] + np.array([2.0, 0.0, -2.0])
        probability = softmax(logits)
        found = fit(CLASSES, {"probability": probability[:2000]}, target[:2000], np.ones(2000, bool))
        assert found["set"]["least"][1] < found["set"]["least"][0] and len(found["set"]["least"]) == 3
        inside = CLASSES.calibrated({"probability": probability[2000:]}, found)["set"][np.arange(2000), target[2000:]]
        coverage.append([inside.mean(), inside[target[2000:] == 0].mean(), inside[target[2000:] == 1].mean()])
    assert np.mean(coverage, 0) == pytest.approx([0.9, 0.9, 0.9], abs=0.02)


def test_ties_at_the_threshold_are_drawn_by_lot_that_the_row_decides() -> None:
    """A net that says .99 of every row, with digits below a millionth: nine in ten sets name the class."""
    draw = np.random.default_rng(4)
    sure = np.float32(0.99) + draw.integers(0, 4, 4000).astype(np.float32) * np.float32(6e-8)
    rest = draw.random((4000, 3)).astype(np.float32)
    probability = np.concatenate([sure[:, None], 0.01 * rest / rest.sum(1, keepdims=True)], 1)
    found = {"kind": "classes", "set": conformal.class_set(probability[:2000], np.zeros(2000, int))}
    inside = CLASSES.calibrated({"probability": probability[2000:]}, found)["set"]
    assert inside[:, 0].mean() == pytest.approx(0.9, abs=0.025) and not inside[:, 1:].any()
    assert (CLASSES.calibrated({"probability": probability[2100:2200]}, found)["set"] == inside[100:200]).all()


def test_no_set_from_few_rows_and_one_from_nine() -> None:
    probability, target = drawn(9, 3, 3.0)
    assert conformal.class_set(probability[:8], target[:8]) is None
    least = probability[np.arange(9), target].min()
    assert conformal.class_set(probability, target)["least"] == pytest.approx([least] * 3, abs=1e-6)
    assert CLASSES.calibrated({"probability": probability}, {"kind": "classes", "temperature": None, "set": None}).keys() == {"probability"}


def test_sets_of_labels_find_nine_in_ten_true_labels() -> None:
    draw = np.random.default_rng(5)
    logits = draw.normal(size=(4000, 5)) * 3 - 1
    target = (draw.random((4000, 5)) < 1 / (1 + np.exp(-logits))).astype(int)
    target[draw.random((4000, 5)) < 0.2] = -1
    probability = 1 / (1 + np.exp(-logits))
    found = fit(LABELS, {"probability": probability[:2000]}, target[:2000], target[:2000] >= 0)
    inside = LABELS.calibrated({"probability": probability[2000:]}, found)["set"]
    share = conformal.found_of_labels(inside, target[2000:])
    assert np.nanmean(share) == pytest.approx(0.9, abs=0.02) and np.isnan(share).any()
    assert inside.mean() < 0.6
    assert conformal.label_set(np.ones((8, 2)), np.ones((8, 2), int)) is None
