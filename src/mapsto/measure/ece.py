"""Expected calibration error: how far stated confidence and the share of right answers lie apart, and how
much of that is chance.

Rows are put into bins by their confidence c; r is 1 where the answer was right. In a bin of m rows the gap is
|mean c - mean r|, the error is the mean gap over rows (Naeini et al. 2015; Guo et al. 2017, with 15 bins of
equal width). Chance alone makes gaps: a perfectly honest net of accuracy .88 shows about .01 on 3,000 rows.
So three figures belong together: `ece`, `debiased`, `by_chance`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

BINS = 15


@dataclass(frozen=True)
class Bins:
    """The bins that hold rows, lowest confidence first, each array (b,). count: rows m; confidence: mean c;
    right: mean r; spread: the standard deviation that `right` would have were every c honest, sqrt(sum c (1 -
    c)) / m."""

    count: np.ndarray
    confidence: np.ndarray
    right: np.ndarray
    spread: np.ndarray

    @property
    def gap(self) -> np.ndarray:
        """Signed: above 0 where the net is surer than it is right."""
        return self.confidence - self.right

    def mean(self, values: np.ndarray) -> float:
        """The mean over rows of one value a bin; nan without rows."""
        return float((self.count * values).sum() / self.count.sum()) if len(self.count) else float("nan")


def binned(probability: np.ndarray, target: np.ndarray, bins: int = BINS, equal_mass: bool = False) -> Bins:
    """Confidence in bins. probability (n, K) with target (n,) codes: the most probable class and whether it
    is the true one; probability (n,) with target (n,) of 0 and 1: the event itself, as for one label of
    several. Rows with a negative target or a probability that is no number are left out. Bins are of equal
    width over 0 to 1, or of equally many rows (`equal_mass`).
    """
    known = (target >= 0) & np.isfinite(probability).all(axis=tuple(range(1, probability.ndim)))
    probability, target = np.asarray(probability, np.float64)[known], target[known]
    several = probability.ndim == 2
    confidence = probability.max(1) if several else probability
    right = (probability.argmax(1) == target if several else target > 0).astype(np.float64)
    if equal_mass:
        ranks = np.empty(len(confidence), np.int64)
        ranks[np.argsort(confidence, kind="stable")] = np.arange(len(confidence))
        where = ranks * bins // max(1, len(confidence))
    else:
        where = np.clip(
            np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1
        )  # (low, high], as the authors bin
    count = np.bincount(where, minlength=bins)
    used = count > 0

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(where, values, bins)[used] / count[used]

    spread = np.sqrt(mean(np.clip(confidence * (1 - confidence), 0, None)) / count[used])
    return Bins(count[used], mean(confidence), mean(right), spread)


def ece(probability: np.ndarray, target: np.ndarray, bins: int = BINS) -> float:
    """The plain figure of the literature: 15 bins of equal width, arguments as in `binned`. 0 to 1; nan
    without rows. Biased upward."""
    found = binned(probability, target, bins)
    return found.mean(np.abs(found.gap))


def debiased(probability: np.ndarray, target: np.ndarray, bins: int = BINS) -> float:
    """`ece` less what chance adds to it: in every bin 2 |gap| - E|gap + noise|, noise normal with the bin's
    sampling error (Kumar, Liang & Ma 2019, section 5, in closed form), summed, at least 0."""
    found = binned(probability, target, bins)
    noise = np.sqrt(found.right * (1 - found.right) / found.count)
    return (
        max(0.0, found.mean(2 * np.abs(found.gap) - folded(found.gap, noise)))
        if len(found.count)
        else float("nan")
    )


def by_chance(probability: np.ndarray, target: np.ndarray, bins: int = BINS) -> float:
    """The `ece` to be expected were every probability exactly honest, on as many rows: what no calibration
    can beat for sure."""
    found = binned(probability, target, bins)
    return found.mean(folded(np.zeros(len(found.count)), found.spread))


def of_labels(
    figure: Callable[..., float], probability: np.ndarray, target: np.ndarray, bins: int = BINS
) -> float:
    """One of the figures above for several labels at once: the mean over labels that have known rows. All (n,
    K); -1 = not known."""
    each = [figure(probability[:, k], target[:, k], bins) for k in range(target.shape[1])]
    known = [value for value in each if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def folded(mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """E|N(mean, spread²)|, elementwise (Leone, Nelson & Nottingham 1961)."""
    from scipy.special import ndtr

    scaled = np.divide(mean, spread, out=np.full_like(mean, np.inf), where=spread > 0)
    return np.where(
        spread > 0,
        spread * np.sqrt(2 / np.pi) * np.exp(-(scaled**2) / 2) + mean * (1 - 2 * ndtr(-scaled)),
        np.abs(mean),
    )
