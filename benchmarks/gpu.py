"""mapsto on a GPU beside the best loop written by hand: the same net, data, optimizer and batch.

    python -m benchmarks.gpu resnet50 gpt124 cifar --steps 60 --work FOLDER

resnet50: ResNet-50 (post-activation) on 224 × 224 pictures made by chance, SGD. gpt124: a decoder of GPT-2's shape (12 layers, 768 wide,
50,304 tokens, 1,024 at once) on tokens made by chance. cifar: resnet9, pictures of 32 × 32. By hand: bfloat16 autocast, channels-last,
torch.compile, fused optimizer, data on the device, nothing read back. FLOP are counted by torch.utils.flop_counter; their share is of the
most that a product of 8,192 × 8,192 matrices in bfloat16 reached on the same machine, and of what the maker states.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mapsto.api import settle
from mapsto.batch import Batch
from mapsto.config import Budget, settings_of
from mapsto.data.open import open_source
from mapsto.learners.base import Learner
from mapsto.run import Run
from mapsto.settle import store_of
from mapsto.training.trainer import Trainer

STATED = {"NVIDIA H200": 989e12, "NVIDIA H100 80GB HBM3": 989e12, "NVIDIA A100-SXM4-80GB": 312e12}  # dense bfloat16, by data sheet


@dataclass(frozen=True)
class Workload:
    """Data made by `make` in a folder, learned by `signature` with `options`."""

    make: Callable[[Path], Path]
    signature: str
    options: dict[str, Any]


def pictures(side: int, rows: int, classes: int) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path, draw = folder / f"pictures-{side}.npz", np.random.default_rng(0)
        if not path.exists():
            np.savez(path, image=draw.integers(0, 256, (rows, side, side, 3), np.uint8), label=draw.integers(0, classes, rows))
        return path

    return make


def letters(folder: Path) -> Path:
    """Text of 50,303 different letters; with the mark between texts a vocabulary of GPT-2's size."""
    path = folder / "letters.txt"
    if not path.exists():
        known = np.array([c for c in range(0x3400, 0x3400 + 60_000) if not 0xD800 <= c <= 0xDFFF][:50_302], np.uint32)
        drawn = np.concatenate([known, np.random.default_rng(0).choice(known, 6_000_000)])
        path.write_bytes(drawn.astype("<u4").tobytes().decode("utf-32-le").encode())
    return path


WORKLOADS = {
    "resnet50": Workload(
        pictures(224, 6_000, 1000),
        "image -> label:category",
        {"model": "resnet(depth=50, preactivation=false)", "optimizer": "sgd", "lr": 0.1, "batch": 256, "learner": "supervised", "ema": 0.0},
    ),
    "gpt124": Workload(
        letters,
        "-> text:text(tokenizer=char, max=1024, size=50304)",
        {"model": "gpt(width=768, depth=12, heads=6)", "optimizer": "adamw", "lr": 6e-4, "batch": 64, "ema": 0.0},
    ),
    "cifar": Workload(pictures(32, 50_000, 10), "image -> label:category", {"model": "resnet9(width=64)", "batch": 512, "learner": "supervised"}),
}


def settled(workload: Workload, folder: Path) -> tuple[Run, Learner]:
    """The run, decided and encoded, and its learner."""
    source = open_source(str(workload.make(folder)))
    settings = settings_of({**workload.options, "steps": 10, "plan": "thorough", "allow": "leakage"})
    known = {"name": source.name, "locations": list(source.locations), "fingerprint": source.fingerprint}
    run = Run.create(folder / "runs", "gpu", {"data": known, "asked": workload.signature, "settings": settings.to_json()})
    settle(run, source, lambda event: None)
    store = store_of(run, lambda: source, lambda event: None)
    return run, run.new_learner(run.new_model(), store)


def ours(learner: Learner, steps: int) -> dict[str, Any]:
    trainer = Trainer(learner, None, Budget(steps=steps), tell=lambda event: print(event["text"], flush=True) if event["event"] == "plan" else None)
    trainer.learn()
    return {**trainer.speed(), "plan": trainer.plan.name, "seconds": trainer.plan.seconds}


def by_hand(learner: Learner, steps: int) -> float:
    """Rows a second of the best loop by hand, the median over steps in tens."""
    net, device, size = learner.model, torch.device("cuda"), learner.training.batch or 1
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = True
    net.to(device=device, memory_format=torch.channels_last).train()
    optimizer = learner.optimizers()["main"]
    store = learner.store
    assert store is not None
    store.device = device
    batches = [learner.ready(batch) for batch, _ in zip(learner.batches("train", 0), range(4), strict=False)]
    learner.device, learner.channels_last = device, True
    batches = [learner.ready(batch) for batch in batches]
    loss = torch.compile(lambda batch: learner.loss(batch)[0], dynamic=False)

    def step(batch: Batch) -> None:
        with torch.autocast("cuda", torch.bfloat16):
            rows, counts = loss(batch)
            mean = rows.sum() / counts.sum()
        mean.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return statistics.median(timed(step, cycle(batches), steps, size))


def cycle(batches: list[Batch]) -> Iterator[Batch]:
    while True:
        yield from batches


def timed(step: Callable[[Batch], None], batches: Iterator[Batch], steps: int, size: int) -> list[float]:
    """Rows a second, of ten steps each, after ten to warm up."""
    found = []
    for round_ in range(max(2, steps // 10)):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(10):
            step(next(batches))
        torch.cuda.synchronize()
        if round_:
            found.append(10 * size / (time.perf_counter() - start))
    return found


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("names", nargs="*", default=list(WORKLOADS))
    words.add_argument("--steps", type=int, default=60)
    words.add_argument("--work", default="gpu-work")
    words.add_argument("--only", choices=("ours", "hand"))
    asked = words.parse_args()
    folder = Path(asked.work)
    folder.mkdir(parents=True, exist_ok=True)
    for name in asked.names:
        _, learner = settled(WORKLOADS[name], folder)
        found: dict[str, Any] = {"workload": name, "device": torch.cuda.get_device_name(), "torch": torch.__version__}
        if asked.only != "hand":
            found["ours"] = ours(learner, asked.steps)
            stated = STATED.get(found["device"])
            found["mfu_stated"] = found["ours"]["operations_per_second"] / stated if stated else None
        if asked.only != "ours":
            learner.compiled = None
            found["by_hand"] = by_hand(learner, asked.steps)
        if not asked.only:
            found["ratio"] = found["ours"]["rows_per_second"] / found["by_hand"]
        print(json.dumps(found), flush=True)
        del learner
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
