"""What it took to learn, and what an answer takes: time, memory, energy and CO2 with their assumptions, share
of the machine's speed, size.

Energy is an estimate, no measurement: processor seconds times 12 W a core, memory at .3725 W a GB, a GPU at
200 W while learning, as in Green Algorithms (Lannelongue, Grealey & Inouye 2021; their figures for a
processor and a GPU of unknown make). CO2: 480 g a kWh, the world's mean of 2023 (Ember, Global Electricity
Review 2024). Nothing is added for cooling, or for making the machine.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from mapsto.assess.base import View
from mapsto.blocks import Block, Section, Table
from mapsto.terminal.words import duration, size

TITLE = "What did it cost, and what does an answer cost?"
NET = True
TIMED = True
CORE, GPU, MEMORY = 12.0, 200.0, 0.3725  # watts: of a busy core, of a GPU, of a gigabyte
GRAMS = 480.0  # of CO2 a kWh
GRID = "world mean of 2023, Ember 2024"
BATCHES, TIMES = (1, 64), 7


def asks(view: View) -> bool:
    return True


def assess(view: View, seconds: float) -> Section:
    cost = view.run.record.get("cost", {})
    spent, energy, speed, net, answers = (
        _spent(view, cost),
        _energy(cost),
        view.run.record.get("speed", {}),
        _net(view),
        _answers(view),
    )
    figures = {"spent": spent, "energy": energy, "speed": speed, "net": net, "milliseconds": answers}
    took = (
        f"training took {duration(spent['seconds'])}"
        if spent["seconds"]
        else "how long training took is not known"
    )
    used = f", about {energy['watt_hours']:.2g} Wh and {energy['co2_grams']:.2g} g of CO2" if energy else ""
    headline = (
        f"{took[0].upper()}{took[1:]}{used}; {net['parameters']:,} parameters ({size(net['bytes'])}); an"
        " answer takes "
    )
    headline += f"{answers['1']:.2g} ms by itself, {answers['64']:.2g} ms among 64."
    return Section("cost", TITLE, headline, tuple(_blocks(cost, spent, energy, speed, net, answers)), figures)


def _spent(view: View, cost: Mapping[str, Any]) -> dict[str, Any]:
    phases = {name: found["seconds"] for name, found in cost.get("phases", {}).items()}
    return {
        "seconds": sum(phases.values()) or view.run.record.get("seconds", 0.0),
        "phases": phases,
        "memory": cost.get("memory"),
    }


def _energy(cost: Mapping[str, Any]) -> dict[str, float]:
    """Watt hours and grams of CO2; {} where the run does not say what it used."""
    if not cost.get("phases"):
        return {}
    seconds = sum(found["seconds"] for found in cost["phases"].values())
    processor = sum(found["processor_seconds"] for found in cost["phases"].values())
    joules = CORE * processor + MEMORY * cost["memory"] / 1e9 * seconds
    if cost["device"] != "cpu":
        joules += GPU * cost["phases"].get("learning", {}).get("seconds", seconds)
    hours = joules / 3600
    return {
        "watt_hours": hours,
        "co2_grams": hours / 1000 * GRAMS,
        "processor_seconds": processor,
        "utilisation": processor / seconds / cost["cores"],
    }


def _net(view: View) -> dict[str, int]:
    path = view.run.path / "model.safetensors"
    parameters = sum(value.numel() for value in view.learner.model.parameters())
    return {"parameters": parameters, "bytes": path.stat().st_size if path.exists() else 4 * parameters}


def _answers(view: View) -> dict[str, float]:
    """Milliseconds an answer takes, from encoded cells, by how many are asked for at once: the median of a
    few."""
    found = {}
    for count in BATCHES:
        batch = view.learner.batch_of(view.store, np.resize(view.held.rows, count))
        view.learner.arrays(batch)
        taken = []
        for _ in range(TIMES):
            start = time.perf_counter()
            view.learner.arrays(batch)  # gives numpy arrays, so it has waited for the device
            taken.append(time.perf_counter() - start)
        found[str(count)] = 1000 * statistics.median(taken) / count
    return found


def _blocks(
    cost: Mapping[str, Any],
    spent: Mapping[str, Any],
    energy: Mapping[str, float],
    speed: Mapping[str, Any],
    net: Mapping[str, int],
    answers: Mapping[str, float],
) -> list[Block]:
    rows: list[tuple[str, str, str]] = [
        (f"time: {name}", duration(seconds), "") for name, seconds in spent["phases"].items()
    ]
    rows += (
        [] if rows else [("time", duration(spent["seconds"]), "of the process that finished the training")]
    )
    if spent["memory"]:
        rows.append(
            ("memory", size(spent["memory"]), "the most the process held, the program itself included")
        )
    if energy:
        busy = (
            f"{energy['processor_seconds']:,.0f} processor seconds at {CORE:g} W a core, memory at {MEMORY:g}"
            " W a GB"
        )
        busy += f", the GPU at {GPU:g} W while learning" if cost["device"] != "cpu" else ""
        rows.append(("energy, estimated", f"{energy['watt_hours']:.3g} Wh", busy))
        rows.append(
            (
                "CO2, estimated",
                f"{energy['co2_grams']:.3g} g",
                f"{GRAMS:g} g a kWh ({GRID}); without cooling and the machine's making",
            )
        )
        rows.append(("processor use", f"{energy['utilisation']:.0%}", f"of {cost['cores']} cores"))
    if speed:
        reached = f"{speed['rows_per_second']:,.0f} rows/s"
        if speed.get("tokens_per_second"):
            reached = f"{speed['tokens_per_second']:,.0f} tokens/s, {reached}"
        rows.append(
            ("speed", reached, f"{speed['operations_per_row'] / 1e6:,.3g} MFLOP a row, forward and backward")
        )
    if speed.get("share"):
        of = (
            f"of {speed['peak'] / 1e9:,.0f} GFLOP/s, the most this machine was seen to reach in this"
            " arithmetic"
        )
        rows.append(("share of the machine", f"{speed['share']:.0%}", of))
    if speed.get("step"):
        shares = ", ".join(f"{name} {share:.0%}" for name, share in speed["step"].items())
        rows.append(("a step's time", shares, "'data': waiting for the next batch"))
    rows += [
        ("net", f"{net['parameters']:,} parameters", size(net["bytes"]) + " on disk"),
        ("one answer", f"{answers['1']:.3g} ms", "asked alone, from encoded cells, on this machine now"),
        ("one answer of 64", f"{answers['64']:.3g} ms", "asked together"),
    ]
    return [Table(("what", "figure", "how it is known"), tuple(rows))]
