"""mapsto export: a run as a folder that answers by itself, without PyTorch."""

from __future__ import annotations

import argparse
import json

from mapsto.commands.base import takes_trust
from mapsto.errors import ConfigError
from mapsto.events import Emit
from mapsto.registry import names

HELP = "a run as a folder that answers by itself, without PyTorch, proved against the run"
EXAMPLES = (
    ("mapsto export RUN --to onnx", "the net as ONNX, with what reads cells and tells answers"),
    ("mapsto export RUN --to int8 --most-loss 0.005", "smaller, and what that costs"),
    (
        "mapsto export RUN --to web --ort onnxruntime-web-1.30.0.tgz",
        "a page that answers in the visitor's browser",
    ),
    ("mapsto predict RUN-onnx new.csv", "answers by the export"),
)


def arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("run", metavar="RUN", help="a run's folder")
    command.add_argument(
        "--to", metavar="FORM", default="onnx", help=f"the form: {', '.join(names('deploy'))} [onnx]"
    )
    command.add_argument("--out", metavar="FOLDER", help="the folder that is made [RUN-FORM]")
    command.add_argument(
        "--most-loss",
        metavar="LOSS",
        default="0.005",
        help="of int8: how much worse its metric may become [0.005]",
    )
    command.add_argument(
        "--ort", metavar="PATH", help="of web: the npm package onnxruntime-web, its .tgz or its folder"
    )
    takes_trust(command)


def do(asked: argparse.Namespace, emit: Emit) -> int:
    from mapsto.deploy import export
    from mapsto.deploy._making import brief

    try:
        most = float(asked.most_loss)
    except ValueError:
        most = -1.0
    if not 0 <= most < 1:
        raise ConfigError(f"--most-loss: expected a number from 0 to 1, got '{asked.most_loss}'.")
    target, parity = export(asked.run, asked.to, asked.out, emit, most, asked.ort)
    print(json.dumps({"folder": str(target), **parity}) if asked.json else "\n".join(brief(parity, target)))
    return 0
