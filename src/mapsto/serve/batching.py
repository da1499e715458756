"""Many requests' rows through the net at once.

A batch is closed when it is full, when its first request has waited long enough, or when no other request is
coming in that could join: one client alone never waits. While the worker has two batches, the next one
gathers. Where a batch breaks the net, each of its requests is tried alone, and only that which breaks it
fails. So where a worker ends: what it was at work on is tried once more by the next, each request alone; what
only waited is asked again as it is.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mapsto.serve.limits import Limits, Refused
from mapsto.serve.workers import Asked, Broken, Died, Worker

ROWS = 256  # of a batch
AT_WORK = 2  # batches that a worker holds: one is sent while one is computed


@dataclass
class Waiting:
    rows: int
    payload: Any
    found: asyncio.Future[Any]
    since: float = field(default_factory=time.monotonic)


class Batcher:
    """Used from one event loop. heard: called with the rows of each batch."""

    def __init__(self, worker: Worker, limits: Limits, heard: Callable[[int], None] = lambda rows: None):
        self.worker, self.limits, self.heard = worker, limits, heard
        self.inside = 0  # requests that came in and are not answered yet
        self.reading = 0  # of these, those that are being read and may join a batch
        self._waiting: deque[Waiting] = deque()
        self._wake = asyncio.Event()
        self._at_work = asyncio.Semaphore(AT_WORK)
        self._tasks: set[asyncio.Task[None]] = set()
        self._rate = 0.0  # requests answered a second, lately

    def start(self) -> None:
        self._keep(self._gather())

    def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()

    def _keep(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def enter(self) -> None:
        """A request comes in. Refused: too many are here already."""
        if self.inside >= self.limits.queue:
            seconds = max(1, round(self.inside / self._rate)) if self._rate else 1
            raise Refused(429, f"{self.inside:,} requests are at work.\nCome back later.", min(seconds, 60))
        self.inside += 1
        self.reading += 1

    def was_read(self) -> None:
        """It is read, and joins a batch or is refused."""
        self.reading -= 1
        self._wake.set()

    def leave(self, seconds: float) -> None:
        """It is answered, after so many seconds."""
        self.inside -= 1
        rate = (self.inside + 1) / max(seconds, 1e-3)
        self._rate = 0.9 * self._rate + 0.1 * rate if self._rate else rate

    async def answer(self, rows: int, payload: Any) -> Any:
        """What the worker found for a request's rows, at most ROWS of them."""
        one = Waiting(rows, payload, asyncio.get_running_loop().create_future())
        self._waiting.append(one)
        self._wake.set()
        return await one.found

    async def _gather(self) -> None:
        while True:
            await self._until(lambda: bool(self._waiting), None)
            await self._at_work.acquire()
            if self._waiting:
                deadline = self._waiting[0].since + self.limits.wait / 1000
                await self._until(self._is_whole, deadline)
            batch = self._taken()
            if batch:
                self._keep(self._answer(batch))
            else:
                self._at_work.release()

    async def _until(self, whole: Callable[[], bool], deadline: float | None) -> None:
        while not whole():
            self._wake.clear()
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return
            try:
                async with asyncio.timeout(left):
                    await self._wake.wait()
            except TimeoutError:
                return

    def _is_whole(self) -> bool:
        return not self.reading or sum(one.rows for one in self._waiting) >= ROWS

    def _taken(self) -> list[Waiting]:
        """The first that wait, those whose clients have left passed over."""
        batch: list[Waiting] = []
        rows = 0
        while self._waiting and (not batch or rows + self._waiting[0].rows <= ROWS):
            one = self._waiting.popleft()
            if not one.found.done():
                batch.append(one)
                rows += one.rows
        return batch

    async def _answer(self, batch: list[Waiting]) -> None:
        try:
            self.heard(sum(one.rows for one in batch))
            found = await self._found(batch)
            for one, result in zip(batch, found, strict=True):
                if one.found.done():
                    continue
                if isinstance(result, Exception):
                    one.found.set_exception(result)
                else:
                    one.found.set_result(result)
        finally:
            self._at_work.release()
            for one in batch:
                one.found.cancel()  # of those that have none yet: the server closes

    async def _found(self, batch: list[Waiting]) -> list[Any]:
        """A result, or why there is none, of each."""
        while True:
            try:
                return await self.worker.ask("predict", [one.payload for one in batch])
            except Died as problem:
                if not problem.at_work:
                    continue  # it had not begun with it
                return [await self._alone(one) for one in batch]
            except (Asked, Broken) as problem:
                return [problem] if len(batch) == 1 else [await self._alone(one) for one in batch]
            except Refused as problem:
                return [problem] * len(batch)

    async def _alone(self, one: Waiting) -> Any:
        """Once more. A request whose client has left, or whose time is over, is passed over."""
        while not one.found.done():
            try:
                return (await self.worker.ask("predict", [one.payload]))[0]
            except Died as problem:
                if problem.at_work:
                    return problem
            except (Asked, Broken, Refused) as problem:
                return problem
        return None
