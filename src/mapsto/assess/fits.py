"""What `--fit-into` asked for, beside what the run's export takes: the nets that were measured for it."""

from __future__ import annotations

from mapsto.assess.base import View
from mapsto.blocks import Code, Section, Table
from mapsto.terminal.words import size

TITLE = "Does its export keep the size and time asked for?"
AFTER = "cost"


def asks(view: View) -> bool:
    return "kept" in view.run.record.get("fits", {})


def assess(view: View, seconds: float) -> Section:
    fits = view.run.record["fits"]
    says = "keeps" if fits["kept"] else "does not keep"
    headline = (
        f"The export {says} {fits['asked']}: it takes {size(fits['bytes'])}, and"
        f" {1000 * fits['seconds']:.2g} ms for a row on one core of this machine."
    )
    rows = [
        (one["parameters"], size(one["bytes"]), f"{1000 * one['seconds']:.2g} ms") for one in fits["tried"]
    ]
    tried = Table(("weights", "export", "one row"), tuple(rows), "Nets measured before the first step.")
    use = Code(f"mapsto predict {fits['export']} FILES")
    figures = {name: fits[name] for name in ("bytes", "seconds", "kept", "form")}
    return Section("fits", TITLE, headline, (tried, use), figures)
