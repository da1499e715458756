"""RESULTS.json, where every measurement accumulates, and RESULTS.md, drawn from it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.products import ratio_of
from benchmarks.turns import middle, ratio

ENGINES = ("ours", "tuned", "plain", "lightning", "huggingface", "skorch", "keras_jax", "keras_torch")
PEERS = ("lightning", "transformers", "accelerate", "skorch", "keras", "jax")


class Record:
    """What was measured so far; a workload measured again replaces its old row."""

    def __init__(self, folder: Path, python: str | None = None):
        self._python = python
        self.folder, self.path = folder, folder / "RESULTS.json"
        self.held: dict[str, Any] = json.loads(self.path.read_text()) if self.path.exists() else {}

    def add(self, part: str, name: str, found: Mapping[str, Any], quick: bool) -> None:
        """Keep one workload's figures, and write both files. Contenders not asked this time keep no old
        figures: they were not side by side."""
        entry = {
            **found,
            "date": time.strftime("%Y-%m-%d %H:%M"),
            "machine": machine(self._python),
            "quick": quick,
        }
        self.held.setdefault(part, {})[name] = entry
        self.write()

    def holds(self, part: str, name: str) -> bool:
        """Was it measured, and not just quickly?"""
        found = self.held.get(part, {}).get(name)
        return found is not None and not found["quick"] and "failed" not in found

    def write(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.held, indent=1) + "\n")
        (self.folder / "RESULTS.md").write_text(page(self.held))


def machine(python: str | None = None) -> dict[str, Any]:
    """Processor, cores, load before, versions; those of peers are asked of their interpreter."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    known = {
        "processor": model,
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
    }
    return (
        known
        | {name: _version(name) for name in ("torch", "scikit-learn")}
        | (_versions(python) if python else {})
    )


def _versions(python: str) -> dict[str, str]:
    """Of the peers' environment."""
    ask = (
        "import json; from importlib.metadata import version; print(json.dumps({name: version(name) for"
        f" name in {PEERS!r}}}))"
    )
    done = subprocess.run([python, "-c", ask], capture_output=True, text=True)
    return json.loads(done.stdout) if done.returncode == 0 else {}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "—"


def rates(found: Mapping[str, Any]) -> dict[str, list[float]]:
    """{contender: rows per second a round} of those that ran through."""
    return {
        name: told["rates"]
        for name, told in found["contenders"].items()
        if "failed" not in told and told.get("rates")
    }


def ratios(found: Mapping[str, Any]) -> dict[str, float]:
    """{peer: ours / peer}."""
    known = rates(found)
    return (
        {name: ratio(known["ours"], other) for name, other in known.items() if name != "ours"}
        if "ours" in known
        else {}
    )


def effort(found: Mapping[str, Any]) -> dict[str, float]:
    """{peer: processor time per row, peer / ours}: steadier than the clock on a busy machine."""
    used = {
        name: told["cpu"]
        for name, told in found["contenders"].items()
        if "failed" not in told and told.get("cpu")
    }
    return (
        {name: ratio(other, used["ours"]) for name, other in used.items() if name != "ours"}
        if "ours" in used
        else {}
    )


def line_of(part: str, name: str, found: Mapping[str, Any]) -> str:
    """One line for the terminal."""
    if "failed" in found:
        return f"{name}: {found['failed']}"
    failed = [
        f"{peer} failed: {value['failed']}"
        for peer, value in found["contenders"].items()
        if "failed" in value
    ]
    ran = {peer: told for peer, told in found["contenders"].items() if "failed" not in told}
    if part == "startup":
        said = [f"{peer} {middle(told['seconds']):.2f} s" for peer, told in ran.items()]
    elif part == "products":
        said = [f"{peer}: {_product_told(told)}" for peer, told in ran.items()]
    else:
        said = [f"{peer} {middle(values):,.0f}/s" for peer, values in rates(found).items()]
        said += [f"ours/{peer} {value:.2f}" for peer, value in ratios(found).items()]
        said += [f"processor time {peer}/ours {value:.2f}" for peer, value in effort(found).items()]
    return f"{name}: " + ", ".join([*said, *failed])


def _product_told(told: Mapping[str, Any]) -> str:
    times = ratio_of(told, whole=False)
    reached, ours = (f"{told[key]:.0f} s" if told[key] else "never" for key in ("seconds", "ours_learned"))
    return f"{told['common']:.4f} in {reached}, ours in {ours}" + (f" (×{times:.1f})" if times else "")


# ---- the page ----


def page(held: Mapping[str, Any]) -> str:
    """RESULTS.md."""
    parts = [
        _engines(held.get("engines", {})),
        _inference(held.get("inference", {})),
        _products(held.get("products", {})),
        _startup(held.get("startup", {}).get("startup")),
        ["## Bars", "", *bars_of(held), ""],
        _failures(held),
        _made_on(held),
    ]
    return (
        "\n".join(
            [
                "# Results",
                "",
                "Made by `python -m benchmarks`; do not edit.",
                "",
                *(line for part in parts for line in part),
            ]
        )
        + "\n"
    )


def _engines(held: Mapping[str, Any]) -> list[str]:
    lines = [
        "## Engines: rows per second, same net, data, optimizer and batch",
        "",
        "In brackets: ours / peer, the median of the rounds' ratios.",
        "",
    ]
    lines += ["| workload | batch | " + " | ".join(ENGINES) + " |", "|---|---:|" + "---:|" * len(ENGINES)]
    for found in held.values():
        known, against = rates(found), ratios(found)
        cells = [_cell(known.get(peer), against.get(peer)) for peer in ENGINES]
        lines.append(f"| {found['says']} | {found.get('batch', '')} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def _cell(values: list[float] | None, against: float | None) -> str:
    if not values:
        return ""
    return f"{middle(values):,.0f}" + (f" ({against:.2f}×)" if against is not None else "")


def _inference(held: Mapping[str, Any]) -> list[str]:
    lines = [
        "## Inference: rows per second from an encoded batch",
        "",
        "| net | batch | ours | raw torch | ours / raw |",
        "|---|---:|---:|---:|---:|",
    ]
    for found in held.values():
        known, against = rates(found), ratios(found)
        if {"ours", "raw"} <= known.keys():
            figures = f"{middle(known['ours']):,.0f} | {middle(known['raw']):,.0f} | {against['raw']:.2f}"
            lines.append(f"| {found['says']} | {found['batch']} | {figures} |")
    return [*lines, ""]


def _products(held: Mapping[str, Any]) -> list[str]:
    lines = [
        "## Products: seconds from the start of the process to the score that the slower one reaches",
        "",
    ]
    lines += [
        "| data | tutorial | score | tutorial's best | tutorial | ours | whole command | on the test rows |"
        " times | times, whole command |"
    ]
    lines += ["|---|---|---:|---:|---:|---:|---:|---:|---:|---:|"]
    for name, found in held.items():
        for peer, told in found.get("contenders", {}).items():
            if "failed" in told:
                continue
            times = (_number(ratio_of(told, whole), 1) for whole in (False, True))
            cells = [name, peer, *(_number(told[key], digits) for key, digits in PRODUCT_COLUMNS), *times]
            lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


PRODUCT_COLUMNS = (
    ("common", 4),
    ("tutorial_best", 4),
    ("seconds", 1),
    ("ours_learned", 1),
    ("ours_seconds", 1),
    ("ours_test", 4),
)


def _number(value: float | None, digits: int) -> str:
    return "—" if value is None else f"{value:.{digits}f}"


def _startup(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return []
    told = {name: told["seconds"] for name, told in found["contenders"].items() if "failed" not in told}
    lines = ["## Start-up: seconds of whole commands", "", "| command | seconds |", "|---|---:|"]
    return [*lines, *(f"| `{name}` | {middle(seconds):.2f} |" for name, seconds in told.items()), ""]


def bars_of(held: Mapping[str, Any]) -> list[str]:
    """One line a bar: does it hold?"""
    lines = []
    for part in ("engines", "inference"):
        for name, found in held.get(part, {}).items():
            against = ratios(found) if "failed" not in found else {}
            for peer, bar in found.get("bars", {}).items():
                lines.append(_bar(f"{name}: ours / {peer}", against.get(peer), bar))
    for name, found in held.get("products", {}).items():
        for peer, told in found.get("contenders", {}).items():
            whole = found.get("whole", False)
            what = f"{name}: {peer} / ours{', whole command' if whole else ''}"
            lines.append(_bar(what, None if "failed" in told else ratio_of(told, whole), found["bar"]))
    return lines


def _bar(what: str, value: float | None, least: float) -> str:
    if value is None:
        return f"- not measured: {what} ≥ {least:g}"
    return f"- {'holds' if value >= least else '**missed**'}: {what} {value:.2f} (≥ {least:g})"


def _failures(held: Mapping[str, Any]) -> list[str]:
    lines = []
    for part in held.values():
        for name, found in part.items():
            lines += [f"- {name}: {found['failed']}"] if "failed" in found else []
            lines += [
                f"- {name}, {peer}: {told['failed']}"
                for peer, told in found.get("contenders", {}).items()
                if "failed" in told
            ]
    return ["## What did not run", "", *lines, ""] if lines else []


def _made_on(held: Mapping[str, Any]) -> list[str]:
    """When, on what, under which load, with which versions: one line for all that were measured alike."""
    alike: dict[str, list[str]] = {}
    for part in held.values():
        for name, found in part.items():
            machine_told = dict(found["machine"])
            load = machine_told.pop("load")
            told = ", ".join(
                f"{key} {value}" for key, value in machine_told.items() if value not in (None, "—")
            )
            alike.setdefault(told, []).append(
                f"{name} ({found['date']}, load {load}{', quick' if found['quick'] else ''})"
            )
    return ["## Machine", "", *(f"- {told}: {', '.join(names)}" for told, names in alike.items())]
