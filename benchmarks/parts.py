"""What can be measured, by part: engines, inference, start-up, products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import engines, products, startup
from benchmarks.engines import Setting
from benchmarks.workloads import names

PREDICTED = ("fashion_resnet", "cifar_resnet9", "adult_mlp", "sst2_transformer")
SIZES = (1, 256)
PARTS = ("engines", "inference", "startup", "products")

Measure = Callable[[Setting, Sequence[str] | None], dict[str, Any]]


def measures(only: str | None, asked: Sequence[str]) -> list[tuple[str, str, Measure]]:
    """(part, name, measure) in the order of the page: all, those of one part, or those asked for by name.
    ValueError for an unknown name."""
    known: list[tuple[str, str, Measure]] = [("engines", name, _engine(name)) for name in names()]
    known += [
        ("inference", f"predict_{name}_{size}", _inference(name, size))
        for name in PREDICTED
        for size in SIZES
    ]
    known += [("startup", "startup", lambda setting, peers: startup.compare(setting))]
    known += [("products", name, _product(name)) for name in products.PRODUCTS]
    for name in asked:
        if name not in {entry[1] for entry in known}:
            raise ValueError(f"unknown workload '{name}'.\nchoices: {', '.join(entry[1] for entry in known)}")
    return [entry for entry in known if (not asked or entry[1] in asked) and only in (None, entry[0])]


def _engine(name: str) -> Measure:
    return lambda setting, peers: engines.compare(name, setting, peers)


def _inference(name: str, size: int) -> Measure:
    def measure(setting: Setting, peers: Sequence[str] | None) -> dict[str, Any]:
        found = engines.compare(name, setting, (f"predict_ours@{size}", f"predict_raw@{size}"))
        contenders = {
            peer.partition("@")[0].removeprefix("predict_"): told
            for peer, told in found["contenders"].items()
        }
        return {**found, "batch": size, "bars": {"raw": 0.9 if size == 1 else 0.95}, "contenders": contenders}

    return measure


def _product(name: str) -> Measure:
    return lambda setting, peers: products.compare(name, setting, peers)
