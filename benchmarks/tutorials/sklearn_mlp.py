"""scikit-learn's MLPClassifier with its defaults behind its usual preparation of mixed columns: numbers
standardised, categories one-hot
(https://scikit-learn.org/stable/auto_examples/compose/plot_column_transformer_mixed_types.html)."""

from __future__ import annotations

from benchmarks.curve import Curve


def run(files: dict[str, str], curve: Curve, quick: bool) -> None:
    from sklearn.neural_network import MLPClassifier

    from benchmarks.tutorials.adult import learned

    learned(files, curve, MLPClassifier(max_iter=2) if quick else MLPClassifier())
