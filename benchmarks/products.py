"""Products: `mapsto train` with its defaults against tutorials with theirs: seconds from the start of the
process to an accuracy.

A tutorial runs to its documented end (or for MOST seconds); its score on the test rows is measured after
every pass, while its clock stands still. Then ours is asked for the best score that the tutorial reached
(`--until`), with an empty cache; the time of its whole command, testing and report included, is told beside
the time until the score was reached. Where one ends below, its score is what both are asked for: the accuracy
that the slower one reaches.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.curve import STARTED
from benchmarks.engines import Setting

MOST = 400.0  # seconds after which a contender is ended


@dataclass(frozen=True)
class Product:
    """words: of `mapsto train`, in which {name} is a file of the data folder (or `archive!member`).
    tutorials: modules of `tutorials/`. metric: the validation metric that ours is asked for. higher: is more
    of it better? least: a score to reach instead of the tutorial's best. own: tutorials that need nothing but
    our environment. bar: least ratio tutorial / ours. whole: is the bar one of ours' whole command, with
    testing and report, rather than of the time until the score was reached?"""

    says: str
    words: tuple[str, ...]
    tutorials: tuple[str, ...]
    metric: str = "accuracy"
    higher: bool = True
    goal: float | None = None
    own: tuple[str, ...] = ()
    bar: float = 3.0
    whole: bool = False
    data: Mapping[str, str] = field(default_factory=dict)


PRODUCTS: dict[str, Product] = {
    "fashion": Product(
        "Fashion-MNIST against Keras's simple convnet",
        ("{fashion}",),
        ("keras_convnet",),
        data={"fashion": "fashion-mnist.zip"},
    ),
    "cifar": Product(
        "CIFAR-10 (JPEG set) against TensorFlow's and PyTorch's tutorials",
        ("{train}", "--test", "{test}", "--target", "class", "--drop", "label"),
        ("keras_cifar", "torch_cifar"),
        data={"train": "cifar10-train.parquet", "test": "cifar10-test.parquet"},
        own=("torch_cifar",),
    ),
    "shakespeare": Product(
        "tinyshakespeare against nanoGPT's setting for processors",
        ("{text}", "-> text"),
        ("nanogpt",),
        metric="loss",
        higher=False,
        own=("nanogpt",),
        data={"text": "lm-corpora.zip!tinyshakespeare.txt"},
    ),
    "shakespeare_small": Product(
        "tinyshakespeare to a validation loss of 1.88, with nanoGPT's net and batch in both",
        ("{text}", "-> text(max=64)", "--model", "gpt(width=128, depth=4, heads=4)", "--batch", "12"),
        ("nanogpt",),
        metric="loss",
        higher=False,
        goal=1.88,
        own=("nanogpt",),
        bar=2.0,
        whole=True,
        data={"text": "lm-corpora.zip!tinyshakespeare.txt"},
    ),
    "sst2": Product(
        "SST-2 against transformers from scratch: Keras's example, Hugging Face's Trainer",
        ("{sst2}", "text -> label:category"),
        ("keras_transformer", "hf_sst2"),
        data={"sst2": "sst2.jsonl.gz"},
    ),
    "adult": Product(
        "Adult to an accuracy of .85 against scikit-learn",
        ("{train}", "--target", "income", "--test", "{test}"),
        ("sklearn_mlp", "sklearn_boosting"),
        goal=0.85,
        own=("sklearn_mlp", "sklearn_boosting"),
        bar=1.0,
        data={"train": "tabular.zip!adult-train.csv", "test": "tabular.zip!adult-test.csv"},
    ),
}


def compare(name: str, setting: Setting, tutorials: Sequence[str] | None = None) -> dict[str, Any]:
    """One product -> {"says", "bar", "contenders": {tutorial: {"reached", "seconds", "ours_seconds", …} or
    why it failed}}."""
    product = PRODUCTS[name]
    folder = setting.work / f"product-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    files = {key: _found(place, setting.data, folder) for key, place in product.data.items()}
    found: dict[str, Any] = {
        "says": product.says,
        "bar": product.bar,
        "whole": product.whole,
        "contenders": {},
    }
    for tutorial in tutorials or product.tutorials:
        found["contenders"][tutorial] = _against(product, tutorial, files, folder, setting)
    return found


def _against(
    product: Product, tutorial: str, files: Mapping[str, str], folder: Path, setting: Setting
) -> dict[str, Any]:
    """Both in turn, and which accuracy both reach."""
    python = sys.executable if tutorial in product.own else setting.python
    if python is None:
        return {"failed": "no environment for peers: benchmarks/install.sh, then --peers-python"}
    quick = ["--quick"] if setting.quick else []
    command = [python, "-m", "benchmarks.tutorials", tutorial, json.dumps(dict(files)), *quick]
    curve, _, failed = _watched(
        command, setting.environment(), folder / f"{tutorial}.log", lambda event, seconds: event
    )
    if not curve:
        return {"failed": failed}
    best = (max if product.higher else min)(point["score"] for point in curve)
    goal = product.goal if product.goal is not None else best
    ours = _ours(product, goal, files, folder, setting)
    if "failed" in ours:
        return ours
    common = (min if product.higher else max)(goal, best, ours["best"])
    told = {
        "goal": goal,
        "common": common,
        "tutorial_best": best,
        "tutorial_total": curve[-1]["seconds"],
        **ours,
    }
    told["seconds"] = _reached(curve, common, product.higher)
    told["ours_learned"] = _reached(ours["curve"], common, product.higher)
    return {**told, "tutorial_curve": curve}


def _ours(
    product: Product, goal: float, files: Mapping[str, str], folder: Path, setting: Setting
) -> dict[str, Any]:
    """`mapsto train … --until METRIC=GOAL` with an empty cache -> {"curve", "best", "ours_seconds",
    "ours_test"}."""
    words = [word.format(**files) for word in product.words]
    with tempfile.TemporaryDirectory(dir=folder) as place:
        budget = ["--steps", "20"] if setting.quick else []
        command = [
            sys.executable,
            "-m",
            "mapsto.cli",
            "train",
            *words,
            "--json",
            "--out",
            f"{place}/runs",
            "--until",
            f"{product.metric}={goal:.4f}",
        ]
        environment = {**setting.environment(), "MAPSTO_CACHE": f"{place}/cache"}
        curve, seconds, failed = _watched(
            [*command, *budget],
            environment,
            folder / "ours.log",
            lambda event, at: _point(event, product.metric, at),
        )
        if not curve:
            return {"failed": f"ours: {failed}"}
        test = next(
            (json.loads(path.read_text()) for path in Path(place).glob("runs/*/metrics.json")), {}
        ).get("test", {})
    scores = [
        value["value"]
        for metrics in test.values()
        for name, value in metrics.items()
        if name == product.metric
    ]
    best = (max if product.higher else min)(point["score"] for point in curve)
    return {"curve": curve, "best": best, "ours_seconds": seconds, "ours_test": scores[0] if scores else None}


def _point(event: Mapping[str, Any], metric: str, seconds: float) -> dict[str, Any] | None:
    """A point of ours' curve, where an event is an evaluation."""
    if event.get("event") != "evaluate":
        return None
    scores = next(iter(event["scores"].values()), {})
    return {"seconds": seconds, "score": scores[metric]} if metric in scores else None


def _watched(
    command: Sequence[str], environment: Mapping[str, str], log: Path, point: Any
) -> tuple[list[dict[str, Any]], float, str]:
    """Run a command to its end (or MOST) -> its curve, its seconds, and, when it failed, its last words."""
    curve: list[dict[str, Any]] = []
    started = time.monotonic()
    with log.open("w") as errors:
        surroundings = {**os.environ, **environment, STARTED: str(started)}
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            stdin=subprocess.DEVNULL,
            text=True,
            env=surroundings,
        )
        assert process.stdout is not None
        for line in process.stdout:
            found = point(json.loads(line), time.monotonic() - started) if line.startswith("{") else None
            if found is not None:
                curve.append(found)
            if time.monotonic() - started > MOST:
                process.terminate()
        code = process.wait()
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return (
        curve if code == 0 or curve else [],
        time.monotonic() - started,
        lines[-1][:200] if lines else f"exit code {code}",
    )


def _reached(curve: Sequence[Mapping[str, float]], goal: float, higher: bool) -> float | None:
    """Seconds at which a curve first was as good."""
    return next(
        (
            point["seconds"]
            for point in curve
            if (point["score"] >= goal - 5e-5 if higher else point["score"] <= goal + 5e-5)
        ),
        None,
    )


def _found(place: str, data: Path, folder: Path) -> str:
    """A file of the data folder; a member of an archive is unpacked, which is not timed."""
    archive, _, member = place.partition("!")
    if not member:
        return str(data / archive)
    target = folder / Path(member).name
    if not target.exists():
        with (
            zipfile.ZipFile(data / archive) as opened,
            opened.open(member) as source,
            target.open("wb") as copy,
        ):
            shutil.copyfileobj(source, copy)
    return str(target)


def ratio_of(told: Mapping[str, Any], whole: bool) -> float | None:
    """How many times faster ours is: the tutorial's seconds to the common score, over ours' until then, or
    over its whole command."""
    ours = told.get("ours_seconds" if whole else "ours_learned")
    return told["seconds"] / ours if told.get("seconds") and ours else None
