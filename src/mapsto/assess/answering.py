"""What a run that writes answers says to rows it never saw: the worst and the best beside their
references."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from mapsto.assess.base import View
from mapsto.batch import Padded
from mapsto.blocks import Block, Line, Lines, Matrix, Section, Table
from mapsto.errors import CellError
from mapsto.models._writers import Writer
from mapsto.types.text.similarity import likest
from mapsto.types.text.tokenizers import FIRST, SPECIAL, pieces_of

TITLE = "What does it answer?"
SHOWN = 6  # rows of each kind
LONG = 300  # letters of a cell
WIDEST = 40  # tokens of a row whose alignment is drawn


def asks(view: View) -> bool:
    return bool(_outputs(view))


def assess(view: View, seconds: float) -> Section:
    blocks: list[Block] = []
    headlines, figures = [], {}
    for slot in _outputs(view):
        predicted, target, rows = view.of(slot)
        written = view.output(slot).written
        assert written is not None
        found = written(predicted, target)
        said, true, alike, nats = found.said, found.references, found.similarity, found.nats
        order = np.lexsort((nats, -alike))  # the best first
        order = order[np.isin(rows[order], view.looked)]
        right = float(np.mean([text in references for text, references in zip(said, true, strict=True)]))
        one, as_which = (
            ("the reference", "")
            if all(len(several) == 1 for several in true)
            else ("one of the references", " as the first")
        )
        told = (
            f"{right:.0%} of its answers are {one}, letter for letter; in the median they are"
            f" {np.median(found.relative):.2f} times as long{as_which}."
        )
        headlines.append(told)
        for name, chosen in (
            ("worst", order[::-1][:SHOWN]),
            ("middling", order[len(order) // 2 :][:SHOWN]),
            ("best", order[:SHOWN]),
        ):
            texts = [
                (_given(view, int(rows[i])), _cut(said[i]) or "(nothing)", _reference(said[i], true[i]))
                for i in chosen
            ]
            lines = tuple(
                (*text, f"{alike[i]:.2f}", f"{nats[i]:.2f}") for i, text in zip(chosen, texts, strict=True)
            )
            columns = ("given", "it writes", "reference", "alike", "nats a token")
            blocks.append(
                Table(
                    columns,
                    lines,
                    view.titled(slot, f"the {name} answers by the words they share with the reference"),
                    private=True,
                )
            )
        blocks += [
            drawn
            for i in order[: SHOWN // 2]
            if (drawn := _alignment(view, slot, rows[i : i + 1])) is not None
        ][:1]
        curve = _by_length(found.lengths, nats)
        if len(curve) > 1:
            line = Line("loss", tuple(size for size, _ in curve), tuple(value for _, value in curve))
            blocks.append(
                Lines(
                    (line,),
                    "tokens of the reference",
                    "loss (nats a token)",
                    view.titled(slot, "the loss by length of the reference"),
                )
            )
        figures[slot] = {"equal": right, "relative_length": float(np.median(found.relative))}
    return Section("answering", TITLE, " ".join(headlines), tuple(blocks), figures)


def _outputs(view: View) -> list[str]:
    return view.outputs(lambda output: output.written is not None)


@torch.no_grad()
def _alignment(view: View, slot: str, row: np.ndarray) -> Matrix | None:
    """What of the input counts for each token of one true answer."""
    model, inputs = view.learner.model, view.run.signature.inputs
    if not isinstance(model, Writer) or len(inputs) != 1:
        return None
    batch = view.learner.ready(view.learner.batch_of(view.store, row))
    weights = model.eval().looks(batch.inputs, view.learner.condition(batch))
    given, target = batch.inputs[inputs[0].name], batch.targets[slot]
    if (
        weights is None
        or not isinstance(given, Padded)
        or not isinstance(target, Padded)
        or max(weights.shape[1:]) > WIDEST
    ):
        return None
    read, written = (
        _tokens(column_type, field.values[0].tolist())
        for column_type, field in (
            (view.run.types["input", inputs[0].name], given),
            (view.column_type(slot), target),
        )
    )
    values = tuple(tuple(round(float(one), 3) for one in line) for line in weights[0].cpu().numpy())
    return Matrix(
        written,
        read,
        values,
        "written",
        "read",
        view.titled(slot, "what it looks at when it writes each token"),
        private=True,
    )


def _tokens(column_type: Any, numbers: list[int]) -> tuple[str, ...]:
    """Each token as it reads, marks by their names."""
    pieces = pieces_of(column_type.kind, column_type.codes, column_type.alphabet)
    return tuple(SPECIAL[n] if n < FIRST else pieces[n].decode("utf-8", "replace") for n in numbers)


def _reference(said: str, true: Sequence[str]) -> str:
    """Of several references the one that an answer is most like, and that there are more."""
    return _cut(true[0]) if len(true) == 1 else f"{_cut(likest(said, true))} (the most alike of {len(true)})"


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


def _by_length(sizes: np.ndarray, nats: np.ndarray, parts: int = 8) -> list[tuple[float, float]]:
    """[(mean tokens, mean loss)] of eighths by length."""
    groups = [group for group in np.array_split(np.argsort(sizes, kind="stable"), parts) if len(group)]
    found = {float(sizes[group].mean()): float(nats[group].mean()) for group in groups}
    return sorted(found.items())
