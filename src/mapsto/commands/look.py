"""mapsto look: a few rows at each stage, from the raw cell to what the net is given."""

from __future__ import annotations

import argparse
import dataclasses
import json

from mapsto.commands.base import data_and_signature, flags, settings, takes_words
from mapsto.config import Reading, settings_of
from mapsto.events import Emit

HELP = "a few rows at each stage, from the raw cell to what the net is given; nothing is trained"
COMMON = flags("target drop keep test group time model json")
EXAMPLES = (
    ("mapsto look photos/", "a folder of pictures for each class"),
    ('mapsto look houses.csv "* -> price:number"', "a table"),
    ('mapsto look houses.csv "* -> price:number" --model mlp', "as this model is given it"),
)


def arguments(command: argparse.ArgumentParser) -> None:
    takes_words(command)
    command.add_argument(
        "--model",
        help=(
            "the model whose stems are shown, with options in parentheses: 'resnet(depth=56)', or a .py file"
        ),
    )
    settings(command, Reading)


def do(asked: argparse.Namespace, emit: Emit) -> int:
    from mapsto.look import look
    from mapsto.look.drawn import can_draw, lines_of

    data, signature = data_and_signature(asked.words)
    known = [*(spot.name for spot in dataclasses.fields(Reading)), "model"]
    looked = look(
        data,
        signature,
        settings_of({name: value for name in known if (value := getattr(asked, name)) is not None}),
    )
    print(
        json.dumps(looked.to_json(), ensure_ascii=False)
        if asked.json
        else "\n".join(lines_of(looked, can_draw()))
    )
    return 0
