"""Pictures or sounds beside other inputs: each encoded by what suits it, then joined."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mapsto.recipes import images, sounds
from mapsto.recipes._choice import MIXED, Facts, Recipe, input_types


def decide(facts: Facts) -> dict[str, Any]:
    """The settings of a picture alone, or of a sound alone where there is none, with an optimizer that suits
    cells, too."""
    kinds = input_types(facts.signature)
    found = images.decide(facts) if "image" in kinds else sounds.decide(facts)
    if "image" in kinds and "audio" in kinds:
        heard = sounds.decide(facts)["type_options"]["input"]
        seen = found["type_options"]
        found = {**found, "type_options": {**seen, "input": {**seen["input"], **heard}}}
    training = replace(found["training"], optimizer="adamw", lr=1e-3, weight_decay=0.02)
    return {**found, "options": {}, "training": training, "learner_options": {}}


RECIPES = (
    Recipe(
        pattern="several with an image or a sound -> any",
        rank=MIXED,
        fits=lambda signature: bool({"image", "audio"} & {*input_types(signature)}),
        model="fusion",
        decide=decide,
        why="pictures or sounds beside other inputs: each encoded in its way, then joined",
    ),
)
