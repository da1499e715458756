"""What a run that writes answers says to rows it never saw: the worst and the best beside their references."""

from __future__ import annotations

import numpy as np

from mapsto.assess.base import View
from mapsto.blocks import Block, Line, Lines, Section, Table
from mapsto.errors import CellError

TITLE = "What does it answer?"
SHOWN = 6  # rows of each kind
LONG = 300  # letters of a cell


def asks(view: View) -> bool:
    return bool(view.outputs("sequence"))


def assess(view: View, seconds: float) -> Section:
    blocks: list[Block] = []
    headlines, figures = [], {}
    for slot in view.outputs("sequence"):
        predicted, target, rows = view.of(slot)
        by_name = {metric.name: metric for metric in view.room(slot).metrics}
        alike = by_name["rougel"].rows(predicted, target)[:, 0] if not _short(target) else by_name["exact_match"].rows(predicted, target)[:, 0]
        nats = predicted["nats"] / np.array([max(1, len(row)) for row in target])  # of a token of the true answer
        order = np.lexsort((nats, -alike))  # the best first
        order = order[np.isin(rows[order], view.looked)]
        said, true = ([one.value for one in view.head(slot).decode({"value": values})] for values in (predicted["value"], target))
        right = float(np.mean([a == b for a, b in zip(said, true, strict=True)]))
        sizes = np.array([len(row) for row in predicted["value"]]) / np.array([max(1, len(row) - 1) for row in target])
        headlines.append(
            f"{right:.0%} of its answers are the reference, letter for letter; in the median they are {np.median(sizes):.2f} times as long."
        )
        for name, chosen in (("worst", order[::-1][:SHOWN]), ("middling", order[len(order) // 2 :][:SHOWN]), ("best", order[:SHOWN])):
            written = tuple((_given(view, int(rows[i])), _cut(said[i]), _cut(true[i]), f"{alike[i]:.2f}", f"{nats[i]:.2f}") for i in chosen)
            columns = ("given", "it writes", "reference", "alike", "nats a token")
            blocks.append(Table(columns, written, view.titled(slot, f"the {name} answers by the words they share with the reference"), private=True))
        curve = _by_length(target, nats)
        if len(curve) > 1:
            line = Line("loss", tuple(size for size, _ in curve), tuple(value for _, value in curve))
            blocks.append(Lines((line,), "tokens of the reference", "loss (nats a token)", view.titled(slot, "the loss by length of the reference")))
        figures[slot] = {"equal": right, "relative_length": float(np.median(sizes))}
    return Section("answering", TITLE, " ".join(headlines), tuple(blocks), figures)


def _short(target: np.ndarray) -> bool:
    return float(np.median([len(row) for row in target])) < 4


def _cut(text: str) -> str:
    return text if len(text) <= LONG else text[:LONG] + "…"


def _given(view: View, row: int) -> str:
    """What was given in that row, in words."""
    found = []
    for slot in view.run.signature.inputs:
        try:
            found.append(_cut(str(view.values(slot, np.array([row]))[0] or "—")))
        except CellError:
            found.append("not at hand, the data has moved")
    return "; ".join(found)


def _by_length(target: np.ndarray, nats: np.ndarray, parts: int = 8) -> list[tuple[float, float]]:
    """[(mean tokens, mean loss)] of eighths by length."""
    sizes = np.array([len(row) for row in target])
    groups = [group for group in np.array_split(np.argsort(sizes, kind="stable"), parts) if len(group)]
    found = {float(sizes[group].mean()): float(nats[group].mean()) for group in groups}
    return sorted(found.items())
