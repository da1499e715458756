"""RESULTS.json, where every measurement accumulates, and RESULTS.md, drawn from it."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.turns import middle, ratio

ENGINES = ("ours", "tuned", "plain", "lightning", "huggingface", "skorch", "keras_jax", "keras_torch")


class Record:
    """What was measured so far; a workload measured again replaces its old row."""

    def __init__(self, folder: Path):
        self.folder, self.path = folder, folder / "RESULTS.json"
        self.held: dict[str, Any] = json.loads(self.path.read_text()) if self.path.exists() else {}

    def add(self, part: str, name: str, found: Mapping[str, Any], quick: bool) -> None:
        """Keep one workload's figures, and write both files. Contenders not asked this time keep no old figures: they were not side by side."""
        entry = {**found, "date": time.strftime("%Y-%m-%d %H:%M"), "machine": machine(), "quick": quick}
        self.held.setdefault(part, {})[name] = entry
        self.write()

    def write(self) -> None:
        self.path.write_text(json.dumps(self.held, indent=1) + "\n")
        (self.folder / "RESULTS.md").write_text(page(self.held))


def machine() -> dict[str, Any]:
    """Processor, cores, load before, versions."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "torch": _version("torch"),
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "—"


def rates(found: Mapping[str, Any]) -> dict[str, list[float]]:
    """{contender: rows per second a round} of those that ran through."""
    return {name: told["rates"] for name, told in found["contenders"].items() if "failed" not in told and told.get("rates")}


def ratios(found: Mapping[str, Any]) -> dict[str, float]:
    """{peer: ours / peer}."""
    known = rates(found)
    return {name: ratio(known["ours"], other) for name, other in known.items() if name != "ours"} if "ours" in known else {}


def effort(found: Mapping[str, Any]) -> dict[str, float]:
    """{peer: processor time per row, peer / ours}: steadier than the clock on a busy machine."""
    used = {name: told["cpu"] for name, told in found["contenders"].items() if "failed" not in told and told.get("cpu")}
    return {name: ratio(other, used["ours"]) for name, other in used.items() if name != "ours"} if "ours" in used else {}


def row_of(name: str, found: Mapping[str, Any]) -> str:
    """One line for the terminal."""
    if "failed" in found:
        return f"{name}: {found['failed']}"
    told = [f"{peer} {middle(values):,.0f}/s" for peer, values in rates(found).items()]
    told += [f"ours/{peer} {value:.2f}" for peer, value in ratios(found).items()]
    told += [f"processor time {peer}/ours {value:.2f}" for peer, value in effort(found).items()]
    told += [f"{peer} failed: {value['failed']}" for peer, value in found["contenders"].items() if "failed" in value]
    return f"{name}: " + ", ".join(told)


def page(held: Mapping[str, Any]) -> str:
    """RESULTS.md."""
    return "\n".join(["# Results", "", "Made by `python -m benchmarks`; do not edit.", "", *_engines(held.get("engines", {}))]) + "\n"


def _engines(held: Mapping[str, Any]) -> list[str]:
    lines = ["## Engines: rows per second, same net, data, optimizer and batch", ""]
    lines += ["| workload | " + " | ".join(ENGINES) + " |", "|---|" + "---:|" * len(ENGINES)]
    for found in held.values():
        known, against = rates(found), ratios(found)
        cells = [f"{middle(known[peer]):,.0f}" + (f" (×{against[peer]:.2f})" if peer in against else "") if peer in known else "" for peer in ENGINES]
        lines.append(f"| {found['says']} | " + " | ".join(cells) + " |")
    return lines
