"""What a person sees while mapsto works: live progress in a terminal, plain lines elsewhere, JSON lines on
request."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from typing import Any

from mapsto.events import Emit, Event


def printer(as_json: bool = False) -> Emit:
    """The teller that fits where output goes."""
    if as_json:
        return _json
    from mapsto.terminal.printers import LivePrinter, PlainPrinter

    return LivePrinter() if sys.stdout.isatty() else PlainPrinter()


def _json(event: Event) -> None:
    print(json.dumps(_finite(event), ensure_ascii=False), flush=True)


def _finite(value: Any) -> Any:
    """JSON knows no nan and no infinity: null."""
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
