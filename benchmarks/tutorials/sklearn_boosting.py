"""scikit-learn's HistGradientBoostingClassifier with its defaults; categories one-hot as for the others."""

from __future__ import annotations

from benchmarks.curve import Curve


def run(files: dict[str, str], curve: Curve, quick: bool) -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier

    from benchmarks.tutorials.adult import learned

    learned(
        files,
        curve,
        HistGradientBoostingClassifier(max_iter=2) if quick else HistGradientBoostingClassifier(),
    )
