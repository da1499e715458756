"""mapsto on a GPU beside the best loop written by hand: the same net, data, optimizer and batch.

    python -m benchmarks.gpu resnet50 gpt124 cifar --work FOLDER

resnet50: ResNet-50 (post-activation) on 224 × 224 pictures made by chance, SGD. gpt124: a decoder of GPT-2's
shape (12 layers, 768 wide, 50,304 tokens, 1,024 at once) on tokens made by chance. cifar: resnet9, pictures
of 32 × 32. By hand: bfloat16 autocast, channels-last, torch.compile, fused optimizer, four batches that lie
ready on the device, nothing read back, kernels chosen by the clock. FLOP are counted by
torch.utils.flop_counter; their share is of the most that a product of 8,192 × 8,192 matrices or a convolution
reached on the same machine, and of what the maker states.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch._inductor.config as inductor

from mapsto.api import prepare
from mapsto.batch import Batch
from mapsto.config import Budget, settings_of
from mapsto.data.open import open_source
from mapsto.learners.base import Learner
from mapsto.run import Run
from mapsto.steps.prepare import store_of
from mapsto.training.machine import choose_device, waited
from mapsto.training.trainer import Trainer

STATED = {
    "NVIDIA H200": 989e12,
    "NVIDIA H100 80GB HBM3": 989e12,
    "NVIDIA A100-SXM4-80GB": 312e12,
}  # dense bfloat16, by data sheet


@dataclass(frozen=True)
class Workload:
    """Data made by `make` in a folder, learned by `signature` with `options`. steps: that are measured."""

    make: Callable[[Path], Path]
    signature: str
    options: dict[str, Any]
    steps: int = 60


def pictures(side: int, rows: int, classes: int) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path, draw = folder / f"pictures-{side}.npz", np.random.default_rng(0)
        if not path.exists():
            np.savez(
                path,
                image=draw.integers(0, 256, (rows, side, side, 3), np.uint8),
                label=draw.integers(0, classes, rows),
            )
        return path

    return make


def letters(folder: Path) -> Path:
    """Text of 50,300 different letters, which with four marks are a vocabulary of GPT-2's size; of those that
    reading a text leaves as they are."""
    path = folder / "letters.txt"
    if not path.exists():
        some = (
            c
            for c in range(0x3400, 0x3400 + 60_000)
            if not 0xD800 <= c <= 0xDFFF and unicodedata.is_normalized("NFC", chr(c))
        )
        known = np.array(list(islice(some, 50_300)), np.uint32)
        drawn = np.concatenate([known, np.random.default_rng(0).choice(known, 6_000_000)])
        path.write_bytes(drawn.astype("<u4").tobytes().decode("utf-32-le").encode())
    return path


WORKLOADS = {
    "resnet50": Workload(
        pictures(224, 6_000, 1000),
        "image -> label:category",
        {
            "model": "resnet(depth=50, preactivation=false)",
            "optimizer": "sgd",
            "lr": 0.1,
            "batch": 256,
            "learner": "supervised",
            "ema": 0.0,
        },
    ),
    "gpt124": Workload(
        letters,
        "-> text:text(tokenizer=char, max=1024, size=50304)",
        {
            "model": "gpt(width=768, depth=12, heads=6)",
            "optimizer": "adamw",
            "lr": 6e-4,
            "batch": 64,
            "ema": 0.0,
        },
    ),
    "cifar": Workload(
        pictures(32, 50_000, 10),
        "image -> label:category",
        {"model": "resnet9(width=64)", "batch": 512, "learner": "supervised"},
        steps=600,
    ),
}


def settled(workload: Workload, folder: Path) -> Learner:
    """A run, decided and encoded; its learner."""
    source = open_source(str(workload.make(folder)))
    settings = settings_of({"plan": "thorough", **workload.options, "steps": 10, "allow": "leakage"})
    known = {"name": source.name, "locations": list(source.locations), "fingerprint": source.fingerprint}
    run = Run.create(
        folder / "runs", "gpu", {"data": known, "asked": workload.signature, "settings": settings.to_json()}
    )
    prepare(run, source, lambda event: None)
    store = store_of(run, lambda: source, lambda event: None)
    return run.new_learner(run.new_model(), store)


def ours(learner: Learner, steps: int) -> dict[str, Any]:
    trainer = Trainer(
        learner,
        None,
        Budget(steps=steps),
        emit=lambda event: print(event["text"], flush=True) if event["event"] == "plan" else None,
    )
    trainer.learn()
    return {**trainer.speed(), "plan": trainer.plan.name, "seconds": trainer.plan.seconds}


def by_hand(learner: Learner, steps: int) -> float:
    """Rows a second of the best loop by hand, the median over steps in tens."""
    net, device, size = learner.model, choose_device(None), learner.training.batch or 1
    freely()
    net.to(device=device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = learner.optimizers()["main"]
    assert learner.store is not None
    learner.store.place(device)
    learner.device, learner.channels_last, learner.compiled = device, True, None
    batches = [learner.ready(batch) for batch in islice(learner.batches("train", 0), 4)]
    loss = torch.compile(lambda batch: learner.loss(batch)[0], dynamic=False)

    def step(batch: Batch) -> None:
        with torch.autocast(device.type, torch.bfloat16):
            rows, counts = loss(batch)
            mean = rows.sum() / counts.sum()
        mean.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return statistics.median(timed(step, cycle(batches), steps, size, device))


def freely() -> None:
    """Undo what our engine asks of PyTorch for the sake of equal runs: by hand the fastest kernels are taken,
    whatever they are."""
    torch.use_deterministic_algorithms(False)
    inductor.deterministic = False
    torch.backends.cudnn.benchmark = torch.backends.cudnn.allow_tf32 = (
        torch.backends.cuda.matmul.allow_tf32
    ) = True


def timed(
    step: Callable[[Batch], None], batches: Iterator[Batch], steps: int, size: int, device: torch.device
) -> list[float]:
    """Rows a second, of ten steps each, after ten to warm up."""
    found = []
    for round_ in range(max(2, steps // 10)):
        start = waited(device)
        for _ in range(10):
            step(next(batches))
        took = waited(device) - start
        if round_:
            found.append(10 * size / took)
    return found


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("names", nargs="*", default=list(WORKLOADS))
    words.add_argument("--steps", type=int, help="default: as many as each workload needs")
    words.add_argument("--work", default="gpu-work")
    words.add_argument("--only", choices=("ours", "hand"))
    asked = words.parse_args()
    if wrong := [name for name in asked.names if name not in WORKLOADS]:
        words.error(f"unknown workload '{wrong[0]}'; there are: {', '.join(WORKLOADS)}")
    if not torch.cuda.is_available():
        words.error("this machine has no GPU")
    folder = Path(asked.work)
    folder.mkdir(parents=True, exist_ok=True)
    for name in asked.names:
        found = compared(WORKLOADS[name], folder, asked.steps, asked.only)
        print(
            json.dumps(
                {
                    "workload": name,
                    "device": torch.cuda.get_device_name(),
                    "torch": torch.__version__,
                    **found,
                }
            ),
            flush=True,
        )
        gc.collect()
        torch.cuda.empty_cache()


def compared(
    workload: Workload, folder: Path, steps: int | None = None, only: str | None = None
) -> dict[str, Any]:
    """Ours and by hand, one behind the other. only: "ours" or "hand"."""
    learner, found = settled(workload, folder), {}
    if only != "hand":
        found["ours"] = ours(learner, steps or workload.steps)
        stated = STATED.get(torch.cuda.get_device_name()) if torch.cuda.is_available() else None
        found["share_of_stated"] = found["ours"]["operations_per_second"] / stated if stated else None
    if only != "ours":
        found["by_hand"] = by_hand(learner, steps or workload.steps)
    if not only:
        found["ratio"] = found["ours"]["rows_per_second"] / found["by_hand"]
    return found


if __name__ == "__main__":
    main()
