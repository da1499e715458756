"""mapsto stream: answer events as they come."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mapsto.commands.base import flags, takes_trust
from mapsto.commands.serve import milliseconds, whole
from mapsto.errors import ConfigError
from mapsto.events import Emit
from mapsto.files import locked

if TYPE_CHECKING:
    from mapsto.run import Run
    from mapsto.serve.drift import Drift
    from mapsto.serve.learning import Labels, Learning
    from mapsto.serve.served.base import Served
    from mapsto.serve.streaming import Asked, Streaming
    from mapsto.serve.streams.base import Reader, Writer

HELP = "answer events as they come: lines, a growing file, a topic"
EVENTS = False  # its output is answers
TOGETHER = 32  # events at most in a batch where they are learned from, a group of `mapsto.steps.online`
MOST_FORGET = "0.01"
COMMON = flags("follow key csv probabilities learn out most-forget")
EXAMPLES = (
    ("mapsto stream RUN < events.jsonl", "a line of JSON an event"),
    ("mapsto stream RUN events.jsonl answers.jsonl --follow", "of a file that grows"),
    ("mapsto stream RUN kafka://localhost/shop answers.jsonl --learn events", "and learn on from it"),
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
    command.add_argument(
        "--learn",
        metavar="LABELS",
        help="learn on; right answers, by key: a place like FROM, or events",
    )
    command.add_argument("--out", metavar="RUN", help="of --learn: the run that learns [RUN-learned]")
    command.add_argument(
        "--most-forget",
        metavar="SHARE",
        default=MOST_FORGET,
        help=f"of --learn: at most lost on the run's own test rows [{MOST_FORGET}]",
    )
    command.add_argument("--probabilities", action="store_true", help="of every class")
    command.add_argument("--missing-ok", action="store_true", help="inputs may lack, and count as missing")
    takes_trust(command)


def do(asked: argparse.Namespace, emit: Emit) -> int:
    from threadpoolctl import threadpool_limits

    from mapsto.serve.served import opened
    from mapsto.serve.streams import kind_of
    from mapsto.serve.streams.base import Opening

    how = asked_of(asked)
    _refuse_circle(asked.source, asked.target)
    source, target = kind_of(asked.source), kind_of(asked.target)
    served = opened(asked.run)
    _refuse_useless(served, how)
    learned = _learned_run(asked, served) if asked.learn else None
    with ExitStack() as open_places:
        keep = open_places.enter_context
        if learned is not None:
            keep(_whole_or_absent(learned))
            keep(locked(learned.path))
        writer = keep(closing(target.writer(asked.target)))
        state = Path(asked.state) if asked.state else None
        output = writer.path or (_kept_in(learned.path, asked.source) if learned is not None else None)
        reader = keep(closing(source.reader(asked.source, Opening(asked.follow, state, output))))
        _refuse_csv(reader, how.csv)
        labels = keep(_labels(asked, learned.path)) if learned is not None else None
        served.use(served.threads)
        keep(threadpool_limits(served.threads))
        served.warm()
        return _stream(asked, served, reader, writer, how, learned, labels)


def _stream(
    asked: argparse.Namespace,
    served: Served,
    reader: Reader,
    writer: Writer,
    how: Asked,
    learned: Run | None,
    labels: Labels | None,
) -> int:
    from mapsto.serve.drift import Drift
    from mapsto.serve.streaming import Aftermath, Streaming

    drift, after, lines = Drift(served.describe(), _say), None, []
    if learned is None:
        after = Aftermath(reader, drift)
    else:
        after = _learning(asked, served, reader, drift, learned, labels)
    streaming = Streaming(served, reader, writer, how, after)
    with _listening(streaming):
        streaming.run()
    if learned is not None:
        lines = _published(learned, after)
    for line in (*_in_words(streaming, how.key), *drift.in_words(), *lines):
        _say(line)
    return 0 if streaming.answered > streaming.bad or not streaming.answered else 2


# ---- learning on ----


def _learned_run(asked: argparse.Namespace, served: Served) -> Run:
    """The run that learns, before anything is read. ConfigError, RunError: it cannot."""
    from mapsto.steps import learned_run

    run = served.to_learn()
    most_forget_of(asked.most_forget)
    return learned_run.opened(run, Path(asked.out) if asked.out else learned_run.beside(run))


@contextmanager
def _labels(asked: argparse.Namespace, folder: Path) -> Iterator[Labels | None]:
    """Where right answers come from; None: with the events."""
    from mapsto.serve.event_rows import EventRows
    from mapsto.serve.learning import EVENTS, Labels
    from mapsto.serve.streams import kind_of
    from mapsto.serve.streams.base import Opening

    word = asked.learn
    if word == EVENTS:
        yield None
        return
    _refuse_circle(word, asked.target)
    if word in ("-", asked.source):
        raise ConfigError(
            f"--learn {word}: expected another place than events come from, which can be read again.\n"
            f"Where events bring their right answers: --learn {EVENTS}"
        )
    follow = asked.follow and "://" not in word  # a topic is followed anyway
    opening = Opening(follow, None, _kept_in(folder, word), "mapsto-labels")
    with closing(kind_of(word).reader(word, opening)) as reader:
        yield Labels(reader, EventRows(word.lower().endswith(".csv")), asked.key or "key")


def _learning(
    asked: argparse.Namespace,
    served: Served,
    reader: Reader,
    drift: Drift,
    learned: Run,
    labels: Labels | None,
) -> Learning:
    from mapsto.serve.learning import Learning
    from mapsto.steps.learned_run import online

    learns = online(served.to_learn(), learned, most_forget_of(asked.most_forget))
    words = asked.learn if labels is not None else ""
    source = f"{asked.source.partition('?')[0]} {asked.state or ''}".strip()  # another --state: begun anew
    found = Learning(served, learns, learned.path, reader, source, drift, _say, labels, words)
    if found.counts["labelled"]:
        _say(f"{learned.path}: goes on after {found.counts['labelled']:,} labelled events")
    return found


def _published(learned: Run, after: Any) -> list[str]:
    """The learned run made whole. What to say of it."""
    from mapsto.steps.learned_run import publish

    return after.in_words(publish(learned, after.online, after.record()), learned.path)


def _kept_in(folder: Path, word: str) -> Path:
    """Beside which a place's position is kept, where no file of answers stands."""
    from mapsto.batch import key

    return folder / f"place-{key(word) % 16**8:08x}"


@contextmanager
def _whole_or_absent(learned: Run) -> Iterator[None]:
    """Where a place cannot be opened, no learned run is left that learned nothing."""
    from mapsto.steps.learned_run import discard_if_empty

    try:
        yield
    except BaseException:
        discard_if_empty(learned)
        raise


def most_forget_of(text: str) -> float:
    """ConfigError: no share."""
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1:
        raise ConfigError(
            f"--most-forget {text}: expected a number from 0 to 1.\nWrite it as in: --most-forget 0.01"
        )
    return found


def asked_of(asked: argparse.Namespace) -> Asked:
    """ConfigError: a value is none."""
    from mapsto.serve.served.base import Wish
    from mapsto.serve.streaming import Asked

    if not asked.learn and (asked.out or asked.most_forget != MOST_FORGET):
        flag = "--out" if asked.out else "--most-forget"
        raise ConfigError(f"{flag} is of --learn.\nSay where right answers come from: --learn LABELS")
    batch = whole("batch", asked.batch, 1)
    return Asked(
        wish=Wish(asked.probabilities, asked.missing_ok, others_ok=True),
        key=asked.key or "",
        csv=asked.csv or asked.source.lower().endswith(".csv"),
        batch=min(batch, TOGETHER) if asked.learn else batch,  # each by the net of all labels before
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


def _in_words(streaming: Streaming, key: str) -> Iterator[str]:
    what = "event" if streaming.answered == 1 else "events"
    bad = f", {streaming.bad:,} with a problem" * bool(streaming.bad)
    yield f"{streaming.answered:,} {what} answered{bad}" + "; stopped" * streaming.stopped
    if streaming.unkeyed:
        yield f"{streaming.unkeyed:,} answers have their event's place for a key: it brought no '{key}'"


def _say(line: str) -> None:
    print(f"mapsto: {line}", file=sys.stderr, flush=True)
