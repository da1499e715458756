"""What is said of an export: in the terminal, and in its README.md, which is a model card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mapsto.run import Run

UNITS = ((1e6, "MB"), (1e3, "kB"))


def size(count: float) -> str:
    unit, name = next((one for one in UNITS if count >= one[0]), (1, "bytes"))
    return f"{count / unit:.3g} {name}"


def lines(parity: Mapping[str, Any]) -> list[str]:
    """Beside the run: equal answers, the metric, size, speed; a line each."""
    rows = f"{parity['rows']:,} {parity['split']} rows"
    told = []
    for slot, one in parity["outputs"].items():
        equal = ", ".join(
            f"{name}s {share:.2%}" if name != "unsure" else f"unsure {share:.2%}"
            for name, share in one["equal"].items()
        )
        told.append(
            f"{slot}: equal to the run's on {rows}: {equal}; differs by {one['difference']:.1e} at most"
            + (f"; {one['other']} texts are others, and not as likely" if one.get("other") else "")
        )
        if "metric" in one:
            told.append(f"{slot}: {one['metric']} {_figure(one['export'])}, the run's {_figure(one['run'])}")
    speed, start, both = parity["speed"], parity["start"], parity["bytes"]
    told += [
        f"size: {size(both['export'])}, the run's weights {size(both['run'])}",
        *_speed_lines(speed),
        f"start to first answer: {start['first_answer_seconds']:.2f} s"
        + (f", {start['memory_mb']:.0f} MB" if start["memory_mb"] else ""),
    ]
    return [*told, *parity["said"]]


def _speed_lines(speed: Mapping[str, Any]) -> list[str]:
    """Of one row, or of one token where texts are written by themselves; and of many."""
    ours, theirs = speed["export"], speed["run"]
    by_rows = "rows_per_second" in ours
    one, many = ("row", "rows") if by_rows else ("token", "texts")
    found = [f"one {one}: {_latency(ours)}, the run {_latency(theirs)} (one thread)"]
    if by_rows:
        rates = (side["rows_per_second"] for side in (ours, theirs))
        found.append("many {}: {:,.0f} a second, the run {:,.0f}".format(many, *rates))
    if "tokens_per_second" in ours:
        rates = (side["tokens_per_second"] for side in (ours, theirs))
        found.append("many {}: {:,.0f} tokens a second, the run {:,.0f}".format(many, *rates))
    return found


def _figure(found: Mapping[str, Any]) -> str:
    if found["value"] is None:
        return "—"
    between = f" ({found['low']:.4g} – {found['high']:.4g})" if found["low"] is not None else ""
    return f"{found['value']:.4g}{between}"


def _latency(speed: Mapping[str, Any]) -> str:
    return f"{speed['p50_ms']:.2f} ms (p99 {speed['p99_ms']:.2f})"


def card(run: Run, parity: Mapping[str, Any], to: str, name: str) -> str:
    """README.md: three lines to use it, how it compares, what is not known."""
    command, call = _use(run, name)
    return f"""---
library_name: mapsto
tags:
- onnx
---

# {name}

`{run.signature}`, learned by mapsto, exported as {to}.

## Use

```python
import mapsto.lite

model = mapsto.lite.open("{name}")
{call}
```

On the command line: `{command}`. It needs no PyTorch: `pip install --no-deps mapsto`, then
`pip install numpy onnxruntime` and what its inputs need ({", ".join(libraries(run)) or "nothing more"}).

## Beside the run

{chr(10).join(f"- {line}" for line in lines(parity))}

All figures: `parity.json`. What the run is and how it was measured: the run's own card.

## Licence and use

mapsto does not know the licence of the data and of this model, nor what it is meant for: whoever publishes it
says so here.
"""


def _use(run: Run, name: str) -> tuple[str, str]:
    """(command, call in Python) that let it answer, or write."""
    usage = None if run.signature.inputs else run.output(run.signature.outputs[0].name).usage
    if usage is not None:
        return " ".join(("mapsto", usage.command, name, *usage.arguments)), usage.python.replace(
            "run.", "model."
        )
    cells = {slot.column: run.types["input", slot.name].placeholder for slot in run.signature.inputs}
    return f"mapsto predict {name} FILES", f"print(model.predict([{cells!r}]))"


def libraries(run: Run) -> list[str]:
    """What reading its cells and telling its answers takes, beside numpy."""
    return sorted({name for column_type in run.types.values() for name in column_type.libraries})
