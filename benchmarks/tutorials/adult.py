"""Adult for scikit-learn: read, prepared as its page on mixed columns does, fitted, measured at the end."""

from __future__ import annotations

import csv
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from benchmarks.curve import Curve


def learned(files: dict[str, str], curve: Curve, model: Any) -> None:
    (x, y), (x_test, y_test) = table(files["train"]), table(files["test"])
    numbers = [
        i
        for i in range(x.shape[1])
        if all(cell.lstrip("-").replace(".", "", 1).isdigit() for cell in x[:200, i])
    ]
    rest = [i for i in range(x.shape[1]) if i not in numbers]
    prepared = ColumnTransformer(
        [
            ("numbers", StandardScaler(), numbers),
            ("categories", OneHotEncoder(handle_unknown="ignore", sparse_output=False), rest),
        ]
    )
    fitted = make_pipeline(prepared, model).fit(x, y)
    curve.measure(lambda: fitted.score(x_test, y_test))


def table(path: str) -> tuple[np.ndarray, np.ndarray]:
    """Cells (N, columns) as text, and the last column."""
    with open(path, newline="") as file:
        rows = [[cell.strip() for cell in row] for row in csv.reader(file)]
    cells = np.array([row for row in rows[1:] if len(row) == len(rows[0])], object)
    return cells[:, :-1], np.array([label.rstrip(".") for label in cells[:, -1]])
