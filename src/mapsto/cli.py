"""Words to the api. The only place that turns a MapstoError into lines and an exit code. Loads no torch for
--help.

Exit codes: 0 done, 1 not equal (reproduce) or a leak (check), 2 an error that is the user's to solve, 130
Ctrl-C, 143 SIGTERM (resumable).
"""

from __future__ import annotations

import argparse
import atexit
import dataclasses
import errno
import gc
import io
import os
import signal
import sys
import threading
import time
import traceback
import typing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mapsto.commands.base import (
    data_and_signature,
    flags,
    settings,
    takes_help,
    takes_model,
    takes_trust,
    takes_words,
)
from mapsto.config import GROUPS, PLAIN, VERSION
from mapsto.errors import MapstoError, RunError, Stopped, did_you_mean, printable
from mapsto.registry import module, names

FAULT = 70  # exit code (EX_SOFTWARE of sysexits.h)
COMMON = flags("target test minutes until model metric from out name seed device")
EXAMPLES = (
    ("mapsto train photos/", "a folder of pictures for each class"),
    ('mapsto train houses.csv "* -> price:number" --minutes 2', "all other columns predict the price"),
    ('mapsto train mails.jsonl "text -> spam:category" --until f1=0.9', "texts, up to a goal"),
)
COLLECT_AFTER = 20_000  # new objects, in place of Python's 700
LEARNING = ("train", "extend", "resume", "reproduce")  # commands


class Parser(argparse.ArgumentParser):
    """Errors as mapsto's are: what came, what could be meant, exit code 2, no usage dump."""

    def error(self, message: str) -> typing.NoReturn:
        if "invalid choice" in message and "'" in message:
            word = message.split("'")[1]
            message = f"unknown command '{word}'.\n{did_you_mean(word, [*names('commands'), 'train'])}"
        elif message.startswith("unrecognized arguments:"):
            word = message.split(": ", 1)[1].split()[0]
            known = [
                flag for action in self._actions for flag in action.option_strings if flag.startswith("--")
            ]
            what = (
                f"unknown option '{word}'"
                if word.startswith("-")
                else f"'{word}' is one word too many, or lacks its option"
            )
            message = f"{what}.\n{did_you_mean(word, known, most=40)}"
        raise RunError(message)


def parser(only: str | None = None) -> tuple[Parser, dict[str, Parser]]:
    """The whole command line; flags and their help come from the settings' own fields. only: a command that
    alone is read, if there is one of that name, so that a training imports no other's file."""
    top = Parser(
        prog="mapsto",
        description="Say what maps to what, point at data, and it learns the map.",
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"mapsto {VERSION}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    wanted = ["train", *names("commands")]
    wanted = [only] if only in wanted else wanted
    each: dict[str, Parser] = {}
    for name in wanted:
        if name == "train":
            each[name] = _command(commands, name, "learn a map from data", True)
            _train_arguments(each[name])
            takes_help(each[name], COMMON, EXAMPLES)
            continue
        found = module("commands", name)
        each[name] = _command(commands, name, found.HELP, getattr(found, "EVENTS", True))
        found.arguments(each[name])
        takes_help(each[name], getattr(found, "COMMON", ()), getattr(found, "EXAMPLES", ()))
    return top, each


def _command(commands: Any, name: str, says: str, events: bool) -> Parser:
    """One command's parser; `events`: can what happens be printed as JSON lines?"""
    command: Parser = commands.add_parser(
        name, help=says, description=says, allow_abbrev=False, add_help=False
    )
    command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    if events:
        command.add_argument("--json", action="store_true", help="print events as JSON lines")
    return command


def _train_arguments(command: Parser) -> None:
    takes_words(command)
    command.add_argument(
        "--out", default="runs", metavar="FOLDER", help="the folder that gets the run [runs]"
    )
    command.add_argument("--name", metavar="NAME", help="the run's name [the data's]")
    takes_model(command)
    command.add_argument(
        "--metric",
        metavar="METRIC",
        help="what decides which weights are best: METRIC or METRIC@OUTPUT [the kind of answer's first]",
    )
    start = (
        "fine-tuning: a finished run to start from, with its model, what its types learned and its weights;"
        " or a public model: hub:ID, hub:FOLDER"
    )
    command.add_argument("--from", dest="start", metavar="RUN", help=start)
    takes_trust(command)
    command.add_argument(
        "--lora",
        metavar="RANK",
        help="with --from hub:…, train adapters of this rank in place of all weights",
    )
    command.add_argument(
        "--fit-into",
        metavar="SIZE, TIME",
        help='make the net so small that its export keeps these: "2 MB, 5 ms", of one row on one core',
    )
    for group in GROUPS:
        settings(command, group)


class Terminated(Stopped):
    """SIGTERM came where no training listens for it."""


@contextmanager
def _terminable() -> Iterator[None]:
    """Inside, SIGTERM ends a command as Ctrl-C does, rather than the process unsaid. What somebody else
    listens to stays theirs; a training has its own ears (`training.signals`)."""
    own = threading.current_thread() is threading.main_thread()
    if not own or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def heard(number: int, frame: Any) -> None:
        raise Terminated

    signal.signal(signal.SIGTERM, heard)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@_terminable()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. The exit code."""
    started = time.monotonic()
    given = _from_shell() if arguments is None else arguments
    words = [f" {word}" if word.startswith("->") else word for word in given]  # "->text" is no flag
    debug, runs = "--debug" in words, []
    _write_anything()
    try:
        top, each = parser(words[0] if words else None)
        if not words:
            top.print_help()
            return 0
        asked = _asked(top, each, words)
        _trust(getattr(asked, "trust", None))
        emit = _remembering(_tell(asked), runs)
        if asked.command == "train":  # from here: nothing stands between the shell and the main path
            data, signature = data_and_signature(asked.words)
            from mapsto.api import train

            options = {"out": asked.out, "name": asked.name, **_options(asked)}
            train(data, signature, emit=emit, started=started, **options)
            return 0
        if asked.command is None:
            top.print_help()
            return 2
        return int(module("commands", asked.command).do(asked, emit) or 0)
    except MapstoError as problem:
        if debug:
            raise
        print("\n".join(f"mapsto: {problem}".splitlines()[:3]), file=sys.stderr)
        return 2
    except (KeyboardInterrupt, Terminated) as stop:
        way = f"Go on with: mapsto resume {runs[-1]}" if runs else ""
        before = " before anything was learned" if words[:1] and words[0] in LEARNING else ""
        print(f"mapsto: stopped. {way}" if runs else f"mapsto: stopped{before}.", file=sys.stderr)
        return 143 if isinstance(stop, Terminated) else 130
    except BrokenPipeError:  # the reader went away: head, less
        _to_nobody()
        return 0
    except SystemExit as stop:
        return int(stop.code or 0)
    except Stopped:
        print(f"mapsto: saved; go on with: mapsto resume {runs[-1] if runs else 'RUN'}", file=sys.stderr)
        return 143
    except Exception as fault:
        if debug:
            raise
        print(_fault(fault), file=sys.stderr)
        return FAULT


def _trust(files: Sequence[str] | None) -> None:
    """Allow each own file that was named to be executed."""
    if files:
        from mapsto.registry.trust import trust_all

        trust_all(files)


def _from_shell() -> list[str]:
    """The words that the process was started with. It is mapsto's own, so garbage is sought seldom: torch is
    300,000 objects that stay, and searching them took 0.9 s of a short training and 0.4 s on leaving."""
    gc.set_threshold(COLLECT_AFTER)
    atexit.register(gc.freeze)
    return sys.argv[1:]


def _write_anything() -> None:
    """What a stream cannot encode, such as names that are no utf-8, stands escaped, and ends nothing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _fault(fault: Exception) -> str:
    """What is said of an error that nobody foresaw."""
    if isinstance(fault, OSError) and fault.filename is None and fault.errno in (errno.ENOSPC, errno.EIO):
        _to_nobody()
        return f"mapsto: standard output cannot be written ({fault.strerror}).\nmapsto: Name another place."
    place = traceback.extract_tb(fault.__traceback__)[-1]
    said = printable(" ".join(f"{type(fault).__name__}: {fault}".split()))[:200]
    where = f"{Path(place.filename).name}:{place.lineno}"
    return (
        f"mapsto: a fault of mapsto's own ({said}; {where}).\n"
        "mapsto: The same words with --debug show how it came about: please report it."
    )


def _asked(top: Parser, each: dict[str, Parser], words: Sequence[str]) -> argparse.Namespace:
    """What was asked for. Files may stand before, between and behind options, which argparse allows only a
    command parsed by itself."""
    command = each.get(words[0])
    asked, rest = (
        top.parse_known_args(words) if command is None else command.parse_known_intermixed_args(words[1:])
    )
    if rest:
        (command or top).error(f"unrecognized arguments: {' '.join(rest)}")
    if command is not None:
        asked.command = words[0]
    return asked


def _tell(asked: argparse.Namespace) -> Any:
    """The teller. Where its reader goes away (head, less), the rest is told to nobody: no training ends by
    it."""
    from mapsto.terminal import printer

    tell = printer(getattr(asked, "json", False))

    def told(event: Any) -> None:
        try:
            tell(event)
        except BrokenPipeError:
            _to_nobody()

    return told


def _to_nobody() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _remembering(emit: Any, runs: list[str]) -> Any:
    """The teller, which also notes the folder a training writes to once there is something to resume."""

    def heard(event: Any) -> None:
        if event["event"] == "fit":
            runs.append(event["run"])
        emit(event)

    return heard


def _options(asked: argparse.Namespace) -> dict[str, Any]:
    """What was given, by name. Text stays text: the settings check and convert it."""
    known = [*(spot.name for group in GROUPS for spot in dataclasses.fields(group)), *PLAIN]
    return {name: getattr(asked, name) for name in known if getattr(asked, name, None) is not None}


if __name__ == "__main__":
    sys.exit(main())
