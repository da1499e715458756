"""Answers that stand in a text: reading, pointing, SQuAD's figures, a whole training on questions made here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_exact import ignore

import mapsto
from mapsto.cells import Annotated
from mapsto.checks import look
from mapsto.config import settings_of
from mapsto.data.open import open_source
from mapsto.errors import CellError, ConfigError
from mapsto.outputs._span_head import Pointed, Pointers
from mapsto.outputs.span import EXACT, F1, normal, overlap
from mapsto.steps.rows import make_ready
from mapsto.types.span import Span

pytestmark = pytest.mark.usefixtures("without_reports")

TEXT = "Ann met Bob. Bob left for Paris."


def encoded(*cells: object, text: str = TEXT) -> np.ndarray:
    rows = np.empty(len(cells), object)
    for i, cell in enumerate(cells):
        rows[i] = Span().encode(Span().read(Annotated(cell, text)))
    return rows


# --- reading ---------------------------------------------------------------------------------------------------------------------


def test_answers_are_found_where_they_stand() -> None:
    def places(cell: object) -> tuple:
        found = Span().read(Annotated(cell, TEXT))
        return () if found is None else found.places

    assert places("Bob") == ((8, 11),) and places({"text": "Bob", "answer_start": 13}) == ((13, 16),)
    assert places({"text": "Ann", "answer_start": 3}) == places({"text": "Ann", "answer_start": 99999}) == ((0, 3),)  # stands there only once
    assert places({"text": ["Bob", "Ann met Bob"], "answer_start": [8, 0]}) == ((8, 11), (0, 11))
    assert places(None) == places({"text": [], "answer_start": []}) == ()
    with pytest.raises(CellError, match="does not stand in its text"):
        places("Carl")
    with pytest.raises(CellError, match="not stand at answer_start 14, but at 2 other places"):
        places({"text": "Bob", "answer_start": 14})
    with pytest.raises(CellError, match="expected"):
        places({"text": 3})


def test_moved_answers_are_counted(tmp_path: Path) -> None:
    starts = [99_999 if i in (4, 21) else 3 if i == 9 else 0 for i in range(60)]
    rows = [{"q": f"who left {i}?", "t": f"Person{i} left for Paris.", "a": {"text": f"Person{i}", "answer_start": at}} for i, at in enumerate(starts)]
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = settings_of({})
    found = look(make_ready(open_source(path, given.reading), "q:text, t:text -> a:span", given, ignore).evidence)
    told = next(finding for finding in found if finding.name == "moved")
    assert told.count == 3 and told.where == ("line 5", "line 10", "line 22") and "taken from where it stands" in told.effect


# --- figures ---------------------------------------------------------------------------------------------------------------------


def test_figures_are_squads() -> None:
    target = encoded("Bob", {"text": ["Paris", "left for Paris"], "answer_start": [26, 17]})
    predicted = {"begin": np.array([8, 13]), "end": np.array([12, 31])}  # "Bob.", "Bob left for Paris"
    assert EXACT.rows(predicted, target).tolist() == [[1.0], [0.0]]
    assert F1.rows(predicted, target)[:, 0] == pytest.approx([1.0, 6 / 7])
    assert normal("The  Cat's, an A.") == ["cats"]


@given(st.lists(st.sampled_from("abc"), max_size=5), st.lists(st.sampled_from("abc"), max_size=5))
def test_overlap_is_symmetric_and_one_for_the_same_words(a: list[str], b: list[str]) -> None:
    assert overlap(a, b) == overlap(b, a) and 0 <= overlap(a, b) <= 1
    assert (overlap(a, b) == pytest.approx(1.0)) == (sorted(a) == sorted(b))


# --- the head --------------------------------------------------------------------------------------------------------------------


def test_the_likeliest_legal_stretch_is_answered() -> None:
    torch.manual_seed(0)
    places = torch.stack([torch.arange(9) * 2, torch.arange(9) * 2 + 1], -1).expand(4, 9, 2)
    pointed = Pointed(torch.randn(4, 9), torch.randn(4, 9), places, torch.tensor([9, 5, 1, 0]))
    found = Pointers(Span(most=3).output(), 4).predict(pointed)
    start, end = (side.exp() for side in pointed.logs())
    for row, length in enumerate((9, 5, 1)):
        legal = {(i, j): float(start[row, i] * end[row, j]) for i in range(length) for j in range(i, min(i + 3, length))}
        (first, last), chance = max(legal.items(), key=lambda one: one[1])
        assert (found["begin"][row], found["end"][row]) == (2 * first, 2 * last + 1) and float(found["probability"][row]) == pytest.approx(chance)
    assert found["end"][3] == 0


# --- a whole training ------------------------------------------------------------------------------------------------------------


def questions(rows: int) -> list[dict]:
    """Three people with a colour each; whose is asked for? Names and texts are new in every row, so only what the two share can tell."""
    draw = np.random.default_rng(0)
    names = ["".join(word).capitalize() for word in draw.choice(list("abdegiklmnorstu"), (3 * rows, 6))]
    colours = ["red", "green", "blue", "black", "white", "pink"]
    made = []
    for k in range(rows):
        people, worn = names[3 * k : 3 * k + 3], list(draw.choice(colours, 3, replace=False))
        asked = int(draw.integers(3))
        text = " ".join(f"{person} wears a {colour} hat." for person, colour in zip(people, worn, strict=True))
        made.append({"question": f"What does {people[asked]} wear?", "text": text, "answer": f"{worn[asked]} hat"})
    return made


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> mapsto.Run:
    out = tmp_path_factory.mktemp("runs")
    return mapsto.train(
        questions(400), "question:text, text -> answer:span", steps=250, lr=5e-3, threads=1, out=out, emit=ignore, precision="float32"
    )


def test_answers_are_found_better_than_by_overlap(run: mapsto.Run) -> None:
    found, beside = run.metrics["test"]["answer"], run.metrics["baselines"]["answer"]
    assert found["exact_match"]["value"] > 0.8 and found["f1"]["low"] <= found["f1"]["value"] <= found["f1"]["high"]
    assert all(found[name]["value"] > beside[kind][name]["value"] + 0.2 for kind in ("sentence", "window") for name in ("f1", "exact_match"))


def test_an_answer_says_where_it_stands(run: mapsto.Run) -> None:
    row = questions(3)[2]
    found = run.predict({"question": row["question"], "text": row["text"]}).predictions["answer"]  # type: ignore[union-attr]
    assert row["text"][found.detail["begin"] : found.detail["end"]] == found.value and found.probability is not None


def test_reading_together_needs_two_texts(tmp_path) -> None:
    with pytest.raises(ConfigError, match="takes two texts or more"):
        mapsto.train(questions(50), "text -> answer:category", model="reader", steps=1, out=tmp_path, emit=ignore)
