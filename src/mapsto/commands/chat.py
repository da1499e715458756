"""mapsto chat: talk to a run that learned `messages -> text`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mapsto.commands.base import run_or_export, takes_run
from mapsto.config import options_of
from mapsto.errors import MapstoError, RunError
from mapsto.events import Emit
from mapsto.files import disk_error
from mapsto.terminal.words import shown

if TYPE_CHECKING:
    from mapsto.generation.sampling import Sampling
    from mapsto.run import Run

HELP = "talk to a run that learned from conversations"
EVENTS = False  # its output is text
KEYS = """/undo        take back your last message and its answer
/save FILE   add the conversation to FILE, as a line of JSON that can be trained on
/help        this
/quit        leave (so does the end of the input)"""

FLAGS = {
    "tokens": "tokens an answer has at most (256)",
    "temperature": "sampling temperature: 0 takes the likeliest token, 1 draws as the net believes (0.8)",
    "top-p": "draw only among the likeliest tokens that together have this probability (0.95)",
    "seed": "seed of the draws (0)",
}


def arguments(command: argparse.ArgumentParser) -> None:
    takes_run(command)
    command.add_argument(
        "--system", default="", help="what stands before the conversation, as the system's message"
    )
    for name, says in FLAGS.items():
        command.add_argument(f"--{name}", help=says)


def do(asked: argparse.Namespace, emit: Emit) -> int:
    from mapsto.generation.sampling import Sampling
    from mapsto.lite.writing import replies

    known = {name.replace("-", "_") for name in FLAGS}
    how = options_of(
        Sampling,
        {name: value for name, value in vars(asked).items() if name in known and value is not None},
        "chat",
    )
    run = run_or_export(asked.run)
    replies(run, (("user", "?"),), how)  # can it talk? Else an error before anybody writes
    talk = _Talk(run, how, [("system", asked.system)] if asked.system else [])
    if sys.stdin.isatty():
        print(f"{run.path}: write to it. /help says what else can be done.", file=sys.stderr)
    while True:
        if sys.stdin.isatty():
            print("> ", end="", flush=True)
        line = sys.stdin.readline()
        if not line or line.strip() == "/quit":
            return 0
        if line.strip():
            talk.handle(line.strip())


@dataclasses.dataclass
class _Talk:
    """A conversation that goes on. left_out: of its messages, how many no longer fit."""

    run: Run
    how: Sampling
    messages: list[tuple[str, str]]
    left_out: int = 0

    def handle(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        if not word.startswith("/"):
            self.answer(line)
        elif word == "/undo":
            self.undo()
        elif word == "/save":
            self.save(rest.strip())
        else:
            _note(KEYS if word == "/help" else f"unknown: {word}. /help says what can be done.")

    def answer(self, said: str) -> None:
        from mapsto.lite.writing import replies, unheard

        self.messages.append(("user", said))
        for unread in unheard(self.run, tuple(self.messages), self.how):
            if "system" not in unread or len(self.messages) == 2:  # of the system's message once
                _note(unread)
        pieces, left_out = replies(self.run, tuple(self.messages), self.how, len(self.messages))
        if left_out > self.left_out:
            _note(
                f"the oldest {left_out} messages no longer fit into what it reads at once, and are left out"
            )
        self.left_out, heard = left_out, []
        try:
            for piece in pieces:
                heard.append(piece)
                print(shown(piece), end="", flush=True)
        except KeyboardInterrupt:
            _note("…")
        print()
        if "".join(heard).strip():
            self.messages.append(("assistant", "".join(heard)))
        else:
            self.messages.pop()
            _note("it says nothing; your message is taken back")

    def undo(self) -> None:
        if not any(role == "user" for role, _ in self.messages):
            _note("there is nothing to take back")
            return
        while self.messages.pop()[0] != "user":
            pass
        self.left_out = 0
        _note("taken back")

    def save(self, name: str) -> None:
        """A failure to write is said, and the conversation goes on."""
        try:
            if not name:
                raise RunError("/save: expected a file's name, as in: /save talk.jsonl")
            try:
                with Path(name).open("a", encoding="utf-8") as file:
                    messages = [{"role": role, "content": content} for role, content in self.messages]
                    file.write(json.dumps({"messages": messages}, ensure_ascii=False) + "\n")
            except OSError as problem:
                raise disk_error(Path(name), problem) from None
            _note(f"added to {name}")
        except MapstoError as problem:
            _note(str(problem))


def _note(text: str) -> None:
    """Beside the answers, which alone are its output."""
    sys.stdout.flush()
    print(f"({text})" if "\n" not in text else text, file=sys.stderr, flush=True)
