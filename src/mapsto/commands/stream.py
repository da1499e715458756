"""mapsto stream: answer events as they come."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mapsto.commands.base import takes_trust
from mapsto.commands.serve import milliseconds, whole
from mapsto.errors import ConfigError
from mapsto.events import Emit

if TYPE_CHECKING:
    from mapsto.serve.served.base import Served
    from mapsto.serve.streaming import Asked, Streaming
    from mapsto.serve.streams.base import Reader

HELP = "answer events as they come: lines, a growing file, a topic"
EVENTS = False  # its output is answers
EXAMPLES = (
    ("mapsto stream RUN < events.jsonl", "each line of JSON an event, its answer a line"),
    ("mapsto stream RUN events.jsonl answers.jsonl --follow", "of a file that grows, until SIGTERM"),
    ("mapsto stream RUN kafka://localhost/shop kafka://localhost/answers", "of a topic, to a topic"),
)


def arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("run", metavar="RUN", help="a run's folder")
    command.add_argument(
        "source", metavar="FROM", nargs="?", default="-", help="a file, kafka://BROKER/TOPIC, or - [-]"
    )
    command.add_argument(
        "target", metavar="TO", nargs="?", default="-", help="a .jsonl, kafka://BROKER/TOPIC, or - [-]"
    )
    command.add_argument("--follow", action="store_true", help="of a file: wait for what is added to it")
    command.add_argument(
        "--state",
        metavar="FILE",
        help="of a file: where is kept how far it is answered [beside TO: TO.state]",
    )
    command.add_argument("--key", metavar="COLUMN", help="what names an event in its answer [its place]")
    command.add_argument(
        "--csv", action="store_true", help="lines are csv, the first the header; of a .csv by itself"
    )
    command.add_argument(
        "--wait", metavar="TIME", default="5ms", help="that an event waits for others to join its batch [5ms]"
    )
    command.add_argument("--batch", metavar="N", default="256", help="events at most in a batch [256]")
    command.add_argument("--probabilities", action="store_true", help="of every class")
    command.add_argument("--missing-ok", action="store_true", help="inputs may lack, and count as missing")
    takes_trust(command)


def do(asked: argparse.Namespace, emit: Emit) -> int:
    from threadpoolctl import threadpool_limits

    from mapsto.serve.drift import Drift
    from mapsto.serve.served import opened
    from mapsto.serve.streaming import Streaming
    from mapsto.serve.streams import kind_of
    from mapsto.serve.streams.base import Opening

    how = asked_of(asked)
    _refuse_circle(asked.source, asked.target)
    source, target = kind_of(asked.source), kind_of(asked.target)
    served = opened(asked.run)
    _refuse_useless(served, how)
    with closing(target.writer(asked.target)) as writer:
        state = Path(asked.state) if asked.state else None
        with closing(source.reader(asked.source, Opening(asked.follow, state, writer.path))) as reader:
            _refuse_csv(reader, how.csv)
            served.use(served.threads)
            with threadpool_limits(served.threads):
                served.warm()
                drift = Drift(served.describe(), _say)
                streaming = Streaming(served, reader, writer, how, drift.update)
                with _listening(streaming):
                    streaming.run()
    for line in (_in_words(streaming), *drift.in_words()):
        _say(line)
    return 0 if streaming.answered > streaming.bad or not streaming.answered else 2


def asked_of(asked: argparse.Namespace) -> Asked:
    """ConfigError: a value is none."""
    from mapsto.serve.served.base import Wish
    from mapsto.serve.streaming import Asked

    return Asked(
        wish=Wish(asked.probabilities, asked.missing_ok, others_ok=True),
        key=asked.key or "",
        csv=asked.csv or asked.source.lower().endswith(".csv"),
        batch=whole("batch", asked.batch, 1),
        wait=milliseconds("wait", asked.wait) / 1000,
    )


def _refuse_circle(source: str, target: str) -> None:
    """ConfigError: answers would come back as events."""
    same = source.partition("?")[0] == target.partition("?")[0] != "-"
    if same or (os.path.exists(source) and os.path.exists(target) and os.path.samefile(source, target)):
        raise ConfigError(f"{target}: is what is read, answers would become events.\nName another.")


def _refuse_useless(served: Served, how: Asked) -> None:
    """ConfigError: it answers no rows, or none of its answers has a probability of each class."""
    about = served.describe()
    if about["writes"]:
        raise ConfigError(f"{served.path}: answers no rows, it writes.\nUse: mapsto sample {served.path}")
    if how.wish.probabilities and not any(output["classes"] for output in about["outputs"]):
        raise ConfigError(
            f"{served.path}: its answers are no classes with a probability each.\nLeave --probabilities out."
        )


def _refuse_csv(reader: Reader, asked: bool) -> None:
    if asked and not reader.headed:
        raise ConfigError("--csv: a topic has no first line that names columns.\nSend JSON, leave it out.")


@contextmanager
def _listening(streaming: Streaming) -> Iterator[None]:
    """SIGTERM and Ctrl-C let it answer what it has taken; the second time they end it."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def stop(number: int, frame: Any) -> None:
        streaming.stopped = True
        for each, was in before.items():
            signal.signal(each, was)

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, was in before.items():
            signal.signal(number, was)


def _in_words(streaming: Streaming) -> str:
    what = "event" if streaming.answered == 1 else "events"
    bad = f", {streaming.bad:,} with a problem" * bool(streaming.bad)
    return f"{streaming.answered:,} {what} answered{bad}" + "; stopped" * streaming.stopped


def _say(line: str) -> None:
    print(f"mapsto: {line}", file=sys.stderr, flush=True)
