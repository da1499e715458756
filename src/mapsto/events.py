"""What happens while mapsto works, told as it happens: dictionaries with the key "event", which
`mapsto.terminal` shows or prints as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Event = Mapping[str, Any]
Emit = Callable[[Event], None]
