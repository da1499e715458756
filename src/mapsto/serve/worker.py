"""A worker: the process that holds the net. It hears requests over a socket of its server's and ends when
that closes, whatever became of the server.

heard: ("predict", number, payloads)  ("write", number, asked)  ("explain", number, row)  ("stop", number)
told:  ("ready",)  ("done", number, result)  ("piece", number, text)  ("failed", number, kind, why)
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

from threadpoolctl import threadpool_limits

from mapsto.errors import FAILURES, MapstoError
from mapsto.registry.trust import trust_all
from mapsto.serve.served import opened
from mapsto.serve.served.base import Served

REFUSED, FAILED = "refused", "failed"  # a request that cannot be answered; one that broke the net


class Worker:
    def __init__(self, connection: Connection, served: Served):
        self.connection, self.served = connection, served
        self.written: dict[int, Iterator[str]] = {}  # texts that are being written, a piece of each in turn

    def run(self) -> None:
        """Until the server goes away."""
        try:
            self.connection.send(("ready",))
            while True:
                if not self.written or self.connection.poll(0):
                    self.handle(*self.connection.recv())
                for number in list(self.written):
                    self.step(number)
        except (EOFError, ConnectionError):  # it went away
            return

    def handle(self, what: str, number: int, asked: Any = None) -> None:
        if what == "stop":
            self.written.pop(number, None)
        elif what == "write":
            self.written[number] = self.served.write(asked)
        else:
            self.answer(number, lambda: getattr(self.served, what)(asked))

    def step(self, number: int) -> None:
        """One more piece of a text, or its end."""

        def piece() -> str | None:
            return next(self.written[number], None)

        self.answer(number, piece, "piece")

    def answer(self, number: int, work: Callable[[], Any], how: str = "done") -> None:
        """What became of a request."""
        try:
            found = work()
        except FAILURES as problem:  # told of this request alone; memory that is out ends the worker
            self.written.pop(number, None)
            kind = REFUSED if isinstance(problem, MapstoError) else FAILED
            why = str(problem) if kind == REFUSED else f"{type(problem).__name__}: {problem}"
            self.connection.send(("failed", number, kind, why))
            return
        if how == "piece" and found is None:
            self.written.pop(number, None)
        self.connection.send((how, number, found))


def main(words: list[str]) -> None:
    """words: the socket's number, the folder, threads (0: as they are), files that may be executed."""
    for stop in (signal.SIGINT, signal.SIGTERM):  # the server ends it, when what was asked is answered
        signal.signal(stop, signal.SIG_IGN)
    number, path, threads, *trusted = words
    trust_all(trusted)
    served = opened(path)
    served.use(int(threads) or served.threads)
    with threadpool_limits(int(threads) or served.threads):  # numpy's, too: else they spin
        served.warm()
        Worker(Connection(int(number)), served).run()


if __name__ == "__main__":
    main(sys.argv[1:])
