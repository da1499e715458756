"""The server's end of a worker: it sends what is asked, hears what is told, and replaces one that dies. What
comes meanwhile waits for the next; of what a dead one held it is told whether it was at work on it or had it
waiting, so that it may be asked again (`serve.batching`). Nothing is lost silently."""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

from mapsto.errors import MapstoError
from mapsto.serve.limits import Refused

PAUSES = (
    0.0,
    0.5,
    2.0,
    10.0,
)  # seconds before the next is started, of workers that die before they are ready
SMALL = 16_000  # bytes that a socket takes at once
NOT_READY = "no worker is ready yet.\nSend it again."
LOOK = 0.2  # seconds between two looks whether there is still one to wait for
DIED = "the worker that held this request ended and is being replaced.\nSend it again."


class Broken(Exception):
    """The net could not take what it was asked together with others; says why."""


class Died(Refused):
    """The worker ended with what it was asked. at_work: while it was at it, so that this may be why."""

    def __init__(self, at_work: bool):
        super().__init__(503, DIED, 1)
        self.at_work = at_work


class Asked(MapstoError):
    """What was asked cannot be done, in the worker's words."""


class Worker:
    """One process, or the next one. Used from the event loop that started it."""

    def __init__(self, path: Path, threads: int = 0, trusted: Sequence[str] = ()):
        self._words = [str(path), str(threads), *trusted]
        self._number, self.deaths = 0, 0
        self._failed = 0  # workers one after the other that died before they were ready
        self._futures: dict[int, asyncio.Future[Any]] = {}
        self._pieces: dict[int, asyncio.Queue[Any]] = {}
        self._ready, self._closing = asyncio.Event(), False
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._outbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._connection: Any = None
        self._unsent, self._lock = 0, threading.Lock()  # messages that the sending thread still has

    @property
    def ready(self) -> bool:
        return self._ready.is_set()

    @property
    def process(self) -> int:
        """Its process's number; 0 where there is none."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        self._keeper = asyncio.get_running_loop().create_task(self._keep())

    async def wait_ready(self) -> None:
        await self._ready.wait()

    async def close(self) -> None:
        """When nothing is asked of it any more."""
        self._closing = True
        if self._process and self._process.poll() is None:
            self._outbox.put(None)
        if self._keeper:
            await self._keeper

    # ---- the process ----

    async def _keep(self) -> None:
        """A worker, and after it another, until it is closed."""
        while not self._closing:
            self._failed = 0 if await self._one() else min(self._failed + 1, len(PAUSES) - 1)
            if not self._closing:
                self.deaths += 1
                await asyncio.sleep(PAUSES[self._failed])

    async def _one(self) -> bool:
        """One process, from its start to its end. Was it ever ready?"""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        mine, its = socket.socketpair()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mapsto.serve.worker", str(its.fileno()), *self._words],
            pass_fds=(its.fileno(),),
            stdin=subprocess.DEVNULL,
        )
        its.close()
        connection = Connection(os.dup(mine.fileno()))
        self._outbox = queue.SimpleQueue()
        self._connection, self._unsent = connection, 0
        sender = threading.Thread(target=self._send_all, args=(connection, mine, self._outbox), daemon=True)
        sender.start()
        loop.add_reader(connection.fileno(), self._hear, connection, ended)
        await ended.wait()
        loop.remove_reader(connection.fileno())
        was_ready = self.ready
        self._ready.clear()
        self._outbox.put(None)
        await asyncio.to_thread(self._end)
        self._refuse_all()
        await asyncio.to_thread(sender.join)
        connection.close()
        mine.close()
        return was_ready

    def _end(self) -> None:
        assert self._process is not None
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def kill(self) -> None:
        """At once, as the system might: for tests, and a worker that does not answer."""
        if self._process:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)

    def _refuse_all(self) -> None:
        """It takes requests in the order of their numbers, so that it was at work on the first."""
        first = min(self._futures, default=0)
        for number, future in self._futures.items():
            if not future.done():
                future.set_exception(Died(number == first))
        for pieces in self._pieces.values():
            pieces.put_nowait(Died(at_work=True))
        self._futures.clear()

    def _hear(self, connection: Connection, ended: asyncio.Event) -> None:
        """Something came. Messages are sent whole, so that the rest of one is there at once."""
        try:
            self._heard(connection.recv())
        except (EOFError, OSError):
            ended.set()

    def _send_all(self, connection: Connection, mine: socket.socket, outbox: queue.SimpleQueue[Any]) -> None:
        """In a thread: a large batch fills the socket until the worker has taken it. At the end the worker
        hears that nothing more comes."""
        with suppress(OSError):  # it died, of which `_hear` hears
            while (message := outbox.get()) is not None:
                connection.send_bytes(message)
                with self._lock:
                    self._unsent -= 1
        with suppress(OSError):
            mine.shutdown(socket.SHUT_WR)

    def _heard(self, message: tuple[Any, ...]) -> None:
        what, *rest = message
        if what == "ready":
            self._ready.set()
            return
        number, found, *why = rest
        problem = None
        if what == "failed":
            problem = Asked(why[0]) if found == "refused" else Broken(why[0])
        if number in self._pieces:
            self._pieces[number].put_nowait(problem or (found if what == "piece" else None))
        elif future := self._futures.pop(number, None):
            if future.done():
                return
            if problem:
                future.set_exception(problem)
            else:
                future.set_result(found)

    # ---- what is asked of it ----

    async def _send(self, what: str, asked: Any) -> int:
        """Refused: there is no worker, nor will be one soon. Else the next one is waited for: whoever asks
        has a deadline, and gives up by cancelling."""
        while not self.ready:
            if self._keeper is None or self._closing or self._failed:
                raise Refused(503, NOT_READY, 1)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await self._ready.wait()
        self._number += 1
        self._put((what, self._number, asked))
        return self._number

    def _put(self, message: tuple[Any, ...]) -> None:
        """Small messages at once, which spares the wait for a thread; large ones, and those behind them, in
        the thread."""
        data = ForkingPickler.dumps(message)
        with self._lock:
            now = not self._unsent and len(data) <= SMALL
            self._unsent += not now
        if not now:
            self._outbox.put(data)
            return
        with suppress(OSError):  # it died, of which `_hear` hears
            self._connection.send_bytes(data)

    async def ask(self, what: str, asked: Any) -> Any:
        """The result. Died: the worker ended with it; Refused: there is none; Broken: the net could not take
        it; Asked: it cannot be done so."""
        number = await self._send(what, asked)
        future = self._futures[number] = asyncio.get_running_loop().create_future()
        try:
            return await future
        finally:
            self._futures.pop(number, None)

    async def write(self, asked: Any) -> AsyncIterator[str]:
        """Pieces of a text as they are written; a reader who leaves ends it."""
        number = await self._send("write", asked)
        pieces = self._pieces[number] = asyncio.Queue()
        try:
            while (piece := await pieces.get()) is not None:
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        finally:
            del self._pieces[number]
            if self.ready:
                self._put(("stop", number))
