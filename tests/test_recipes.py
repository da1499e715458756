"""Recipes: every signature has one, none is a matter of luck, and a new family is one new file."""

from __future__ import annotations

import itertools
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from mapsto import registry
from mapsto.errors import ConfigError
from mapsto.recipes import all_recipes, recipe_of
from mapsto.recipes._sizes import batch_below, batch_for
from mapsto.registry import names
from mapsto.signature import Signature, Slot, parse

EXPECTED = {
    "-> text": "-> text",
    "messages -> text": "messages -> text",
    "-> messages": "messages -> text",
    "audio -> text": "audio -> text",
    "text -> reply:text": "any -> text",
    "number -> text": "any -> text",
    "-> preference": "-> preference",
    "image -> category": "image -> any",
    "audio -> category": "audio -> any",
    "text -> tags": "text -> tags",
    "text -> category": "text -> any",
    "question:text, context:text -> answer:span": "text, text -> span",
    "title:text, body:text -> category": "cells -> any",
    "image, text -> category": "several with an image or a sound -> any",
    "number, category -> price:number": "cells -> any",
}


def typed(text: str) -> Signature:
    """Slots without a type are named after theirs."""
    found = parse(text)
    sides = [tuple(Slot(s.name, s.type or s.name) for s in side) for side in (found.inputs, found.outputs)]
    return Signature(*sides)


@pytest.mark.parametrize("text", EXPECTED)
def test_the_most_specific_recipe_is_taken(text: str) -> None:
    assert recipe_of(typed(text)).pattern == EXPECTED[text]


def test_no_two_recipes_are_equally_specific() -> None:
    """Of all signatures with up to two inputs and up to two outputs."""
    kinds = names("types")
    sides = [
        (),
        *itertools.product(kinds),
        *itertools.combinations_with_replacement(kinds, 2),
    ]
    recipes = all_recipes()
    for left, right in itertools.product(sides, sides[1:]):
        inputs = tuple(Slot(f"in{number}", kind) for number, kind in enumerate(left))
        outputs = tuple(Slot(f"out{number}", kind) for number, kind in enumerate(right))
        signature = Signature(inputs, outputs)
        ranks = [recipe.rank for recipe in recipes if recipe.fits(signature)]
        assert ranks.count(max(ranks, default=0)) <= 1, signature


BOXES = """
from mapsto.recipes import {rank}, Recipe

RECIPES = (
    Recipe(
        pattern="image -> boxes",
        rank={rank},
        fits=lambda signature: [slot.type for slot in signature.slots] == ["image", "boxes"],
        model="resnet",
        decide=lambda facts: {{}},
        why="boxes on one picture",
    ),
)
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes a package's recipe file known, as its entry point does."""

    def made(rank: str) -> None:
        module = f"boxes_of_{rank.lower()}"
        (tmp_path / f"{module}.py").write_text(BOXES.format(rank=rank))
        monkeypatch.syspath_prepend(str(tmp_path))
        point = EntryPoint("boxes", module, "mapsto.recipes")
        monkeypatch.setattr(registry, "_outside", lambda room: (point,) if room == "recipes" else ())

    return made


def test_a_package_adds_a_family(package) -> None:
    package("PAIR")
    assert recipe_of(typed("image -> boxes")).model == "resnet"
    assert recipe_of(typed("image -> category")).model == "resnet9"


def test_a_tie_is_refused(package) -> None:
    package("INPUTS")
    with pytest.raises(ConfigError, match="2 recipes learn this"):
        recipe_of(typed("image -> boxes"))


def test_a_batch_is_a_power_of_two_within_bounds() -> None:
    assert [batch_for(rows, 100, 8, 32) for rows in (0, 700, 1600, 2400, 9000)] == [8, 8, 16, 32, 32]
    assert [batch_below(rows, 16, 8, 128) for rows in (0, 255, 256, 1000, 10**6)] == [8, 8, 16, 32, 128]
