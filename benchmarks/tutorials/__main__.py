"""`python -m benchmarks.tutorials NAME FILES [--quick]`: FILES is a JSON object {name: path}."""

from __future__ import annotations

import json
import sys
from importlib import import_module

from benchmarks.curve import Curve

curve = Curve()
import_module(f"benchmarks.tutorials.{sys.argv[1]}").run(
    json.loads(sys.argv[2]), curve, "--quick" in sys.argv
)
