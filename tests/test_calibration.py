"""Trusted predictions: calibration error, temperature, intervals and sets, and rows far from the training data."""

from __future__ import annotations

import numpy as np
import pytest

from mapsto.measure.ece import binned, by_chance, debiased, ece, of_labels

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
