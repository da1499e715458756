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
        )
        if "metric" in one:
            told.append(f"{slot}: {one['metric']} {_figure(one['export'])}, the run's {_figure(one['run'])}")
    speed, start, both = parity["speed"], parity["start"], parity["bytes"]
    told += [
        f"size: {size(both['export'])}, the run's weights {size(both['run'])}",
        f"one row: {_latency(speed['export'])}, the run {_latency(speed['run'])} (one thread)",
        f"many rows: {speed['export']['rows_per_second']:,.0f} a second, the run"
        f" {speed['run']['rows_per_second']:,.0f}",
        f"start to first answer: {start['first_answer_seconds']:.2f} s"
        + (f", {start['memory_mb']:.0f} MB" if start["memory_mb"] else ""),
    ]
    return [*told, *parity["said"]]


def _figure(found: Mapping[str, Any]) -> str:
    if found["value"] is None:
        return "—"
    between = f" ({found['low']:.4g} – {found['high']:.4g})" if found["low"] is not None else ""
    return f"{found['value']:.4g}{between}"


def _latency(speed: Mapping[str, Any]) -> str:
    return f"{speed['p50_ms']:.2f} ms (p99 {speed['p99_ms']:.2f})"


def card(run: Run, parity: Mapping[str, Any], to: str, name: str) -> str:
    """README.md: three lines to use it, how it compares, what is not known."""
    inputs = ", ".join(f'"{slot.column}": {_placeholder(run, slot)}' for slot in run.signature.inputs)
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
print(model.predict([{{{inputs}}}]))
```

On the command line: `mapsto predict {name} FILES`. It needs no PyTorch: `pip install --no-deps mapsto`, then
`pip install numpy onnxruntime` and what its inputs need ({", ".join(libraries(run)) or "nothing more"}).

## Beside the run

{chr(10).join(f"- {line}" for line in lines(parity))}

All figures: `parity.json`. What the run is and how it was measured: the run's own card.

## Licence and use

mapsto does not know the licence of the data and of this model, nor what it is meant for: whoever publishes it
says so here.
"""


def _placeholder(run: Run, slot: Any) -> str:
    return repr(run.types["input", slot.name].placeholder)


def libraries(run: Run) -> list[str]:
    """What reading its cells takes, beside numpy."""
    found = [run.types["input", slot.name].libraries for slot in run.signature.inputs]
    return sorted({name for names in found for name in names})
