"""Texts that are read: what one says as a whole, what each of its words is, where in it an answer stands."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mapsto.config import Budget
from mapsto.recipes._choice import INPUTS, PAIR, Facts, Recipe, input_types, output_types
from mapsto.recipes._sizes import ADAMW, batch_for
from mapsto.signature import Signature

FEW = 5_000  # rows, up to which a linear model of counted runs or places may lead for some passes


def decide(facts: Facts) -> dict[str, Any]:
    """A convolutional net beside a bag of n-grams: some eight passes; smoothed labels keep the best
    weights from standing before the rate has fallen (trec .884 without, .905 with). Characters need more, and
    where all sequences are of one length, as aligned DNA is, places instead of the bag."""
    text, rows = facts.input_type("text"), facts.rows
    characters = text.kind == "char"
    batch = batch_for(rows, 100, 8, 32)
    patterns = {"token": 64, "channels": 64, "runs": "3 5 7", "layers": 1, "noise": 0.1}
    places = {"places": text.most, "summary": False} if text.aligned else {}
    aligned = "sequences of one length: a convolutional net that knows the places"
    return {
        "why": aligned if places and characters else "",
        "options": {
            **({**patterns, **places} if characters else {}),
            **({"line": True} if rows <= FEW and facts.linear else {}),
        },
        "training": replace(ADAMW, lr=2e-3 if characters else 3e-3, batch=batch),
        "budget": Budget(epochs=max(12.0 if characters else 8.0, 600 * batch / rows), patience=0.5),
        "type_options": {
            "input": {"text": {"hide": 0.0 if characters else 0.1}},
            "output": {"category": {"smoothing": 0.0 if characters else 0.1}},
        },
        "metric": "log_loss",
    }


def tag(facts: Facts) -> dict[str, Any]:
    """A net that says something of each word learns few sentences by heart within some passes: small steps,
    and a third of the words unknown."""
    batch = batch_for(facts.rows, 100, 4, 16)
    return {
        "options": {"token": 64, "width": 64, "layers": 1, "dropout": 0.5},
        "training": replace(ADAMW, batch=batch),
        "budget": Budget(epochs=max(5.0, 600 * batch / facts.rows), patience=0.5),
        "type_options": {"input": {"text": {"hide": 0.5}}, "output": {"tags": {"recall": 2.5}}},
    }


def read_together(facts: Facts) -> dict[str, Any]:
    """A question and the text that holds its answer, in small steps."""
    batch = batch_for(facts.rows, 50, 4, 16)
    return {
        "options": {"token": 64, "width": 64, "dropout": 0.4},
        "training": replace(ADAMW, lr=2e-3, batch=batch, weight_decay=0.05),
        "budget": Budget(epochs=max(6.0, 600 * batch / facts.rows), patience=0.5),
        "type_options": {"input": {"text": {"hide": 0.3}}},
    }


def _asks_for_a_span(signature: Signature) -> bool:
    several = len(signature.inputs) > 1 and set(input_types(signature)) == {"text"}
    return several and "span" in output_types(signature)


RECIPES = (
    Recipe(
        pattern="text -> tags",
        rank=PAIR,
        fits=lambda signature: input_types(signature) == ["text"] and "tags" in output_types(signature),
        model="tagger",
        decide=tag,
        why=(
            "a tag for each word: a recurrent net over words and their letters, and a conditional random"
            " field"
        ),
    ),
    Recipe(
        pattern="text, text -> span",
        rank=PAIR,
        fits=_asks_for_a_span,
        model="reader",
        decide=read_together,
        why="an answer in a text: question and text read together, with the words they share",
    ),
    Recipe(
        pattern="text -> any",
        rank=INPUTS,
        fits=lambda signature: input_types(signature) == ["text"],
        model="textcnn",
        decide=decide,
        why="one text: a convolutional net and a bag of n-grams, side by side",
    ),
)
