"""mapsto plan: time what a training's step would take on this machine, arithmetic by arithmetic."""

from __future__ import annotations

import argparse
import dataclasses
import json

from mapsto.commands.base import data_and_signature, flags, settings, takes_model, takes_words
from mapsto.config import Budget, Reading, Training
from mapsto.events import Emit

HELP = "time a training's step on this machine under every plan that matters; nothing is trained"
COMMON = flags("target minutes steps epochs model batch device threads plan json")
EXAMPLES = (
    ("mapsto plan photos/ --minutes 10", "a folder of pictures for each class"),
    ('mapsto plan houses.csv "* -> price:number" --steps 2000', "a table"),
    ("mapsto plan photos/ --model 'resnet(depth=20)' --plan thorough", "with compiled models, too"),
)


def arguments(command: argparse.ArgumentParser) -> None:
    takes_words(command)
    takes_model(command)
    for group in (Reading, Budget, Training):
        settings(command, group)


def do(asked: argparse.Namespace, emit: Emit) -> int:
    from mapsto.api import planned
    from mapsto.report.text import aligned

    data, signature = data_and_signature(asked.words)
    known = [spot.name for group in (Reading, Budget, Training) for spot in dataclasses.fields(group)] + [
        "model",
        "learner",
    ]
    plan = planned(
        data,
        signature,
        emit,
        **{name: value for name in known if (value := getattr(asked, name)) is not None},
    )
    if asked.json:
        print(json.dumps(dataclasses.asdict(plan)))
        return 0
    default = plan.seconds.get("default", 0.0)
    rows = [("", "step", "rows/s", "of the default")]
    for name, took in sorted(plan.seconds.items(), key=lambda item: item[1]):
        mark = "→" if abs(took - plan.seconds_per_micro) < 1e-9 else ""
        rows.append(
            (
                f"{mark:2}{name}",
                f"{1000 * took:,.1f} ms",
                f"{plan.micro_batch / took:,.0f}",
                f"{default / took:.2f}×" if default else "—",
            )
        )
    print("\n".join(["", *aligned(rows)]))
    return 0
