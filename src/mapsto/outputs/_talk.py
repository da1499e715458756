"""How a run that can talk is used."""

from __future__ import annotations

from mapsto.outputs.base import Usage

HELLO = [{"role": "user", "content": "Hello!"}]
TALK = Usage(
    "chat",
    (),
    f"print(run.reply({HELLO!r}, temperature=0.8, seed=1))",
    "talk to it",
    "Talk to it, from the shell and from Python.",
)
