"""One name that is served: what answers under it now, and what answers next."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from mapsto.errors import MapstoError
from mapsto.serve.batching import ROWS, Batcher
from mapsto.serve.limits import Limits, Refused
from mapsto.serve.measured import Measured
from mapsto.serve.requests import Rows
from mapsto.serve.served import opened
from mapsto.serve.served.base import Read, Row, Served, Wish
from mapsto.serve.workers import NOT_READY, Broken, Died, Worker

FEW, SMALL = 16, 16_000  # rows of numbers and words, and bytes, that are read at once; more in a thread
EXAMPLES = 6
POLL_SECONDS = 0.5  # seconds between two looks at a link


class Current:
    """A folder in use: opened here, and in its worker."""

    def __init__(
        self, served: Served, real: Path, limits: Limits, threads: int, trusted: Sequence[str], heard: Any
    ):
        self.served, self.real = served, real
        self.worker = Worker(real, threads, trusted)
        self.batcher = Batcher(self.worker, limits, heard)
        self.description = served.describe()
        self.inputs = [one["name"] for one in self.description["inputs"]]
        self.files = {
            one["name"] for one in self.description["inputs"] if one["schema"].get("contentEncoding")
        }
        self._examples: list[dict[str, Any]] | None = None

    def start(self) -> None:
        self.worker.start()
        self.batcher.start()

    async def drain(self) -> None:
        """Answer what is inside, then end."""
        while self.batcher.inside:
            await asyncio.sleep(0.02)
        self.batcher.close()
        await self.worker.close()

    async def examples(self) -> list[dict[str, Any]]:
        if self._examples is None:
            self._examples = await asyncio.to_thread(self.served.examples, EXAMPLES)
        return self._examples


class Service:
    """path: a folder, or a link to one, which may move (`watch`)."""

    def __init__(
        self,
        name: str,
        path: Path,
        limits: Limits,
        measured: Measured,
        threads: int = 0,
        trusted: Sequence[str] = (),
    ):
        self.name, self.path, self.limits, self.measured = name, path, limits, measured
        self._threads, self._trusted = threads, trusted
        self._pool = ThreadPoolExecutor(2, thread_name_prefix=f"read-{name}")
        self.current = self._opened()

    def _opened(self) -> Current:
        real = self.path.resolve()
        heard = self.measured.batch(self.name)
        return Current(opened(real), real, self.limits, self._threads, self._trusted, heard)

    def start(self) -> None:
        self.current.start()
        self.measured.watch(self.name, self)

    async def close(self) -> None:
        await self.current.drain()
        self._pool.shutdown()

    # ---- a link that moves ----

    async def watch(self, emit: Any) -> None:
        """For ever: where the link leads elsewhere, what lies there answers as soon as it is ready."""
        refused = self.current.real
        while True:
            await asyncio.sleep(POLL_SECONDS)
            real = self.path.resolve()
            if real in (self.current.real, refused):
                continue
            try:
                await self.swap()
                emit(f"{self.name}: {real} answers from now on")
            except (MapstoError, OSError, TimeoutError) as problem:
                refused = real
                emit(f"{self.name}: {real} cannot be served, so that {self.current.real} goes on ({problem})")

    async def swap(self) -> None:
        """Requests that came before are answered by what was there."""
        new = await asyncio.to_thread(self._opened)
        new.start()
        async with asyncio.timeout(120):
            await new.worker.wait_ready()
        old, self.current = self.current, new
        await old.drain()

    # ---- requests ----

    @asynccontextmanager
    async def visit(self) -> AsyncIterator[Visit]:
        """A request's stay. Refused: too many are here (429), or it took too long (503)."""
        current, since = self.current, time.monotonic()
        current.batcher.enter()
        visit = Visit(self, current)
        try:
            async with asyncio.timeout(self.limits.seconds):
                yield visit
        except TimeoutError:
            slow = f"took longer than {self.limits.seconds:g} seconds.\nSend less at a time."
            raise Refused(503, slow if current.worker.ready else NOT_READY, 1) from None
        finally:
            visit.was_read()
            current.batcher.leave(time.monotonic() - since)


class Visit:
    """What may be asked during a request's stay."""

    def __init__(self, service: Service, current: Current):
        self.service, self.current = service, current
        self._reading = True

    def was_read(self) -> None:
        if self._reading:
            self._reading = False
            self.current.batcher.was_read()

    async def soon(self, size: int, work: Any, *words: Any) -> Any:
        """What takes less time than it takes to hand it to a thread, of so many bytes, at once."""
        return work(*words) if size <= SMALL else await self.in_thread(work, *words)

    async def in_thread(self, work: Any, *words: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.service._pool, work, *words)

    async def answers(self, rows: Rows, wish: Wish, size: int) -> list[dict[str, Any]]:
        """An answer to each row. size: bytes that came. DataError: they are nothing that can be answered."""
        pieces = [rows.rows[low : low + ROWS] for low in range(0, len(rows.rows), ROWS)]
        reads = [await self._read(piece, wish, size) for piece in pieces]
        self.was_read()
        found = await asyncio.gather(*(self._answer(read, wish) for read in reads))
        answers = [answer for part in found for answer in part]
        for number, answer in enumerate(answers if len(pieces) > 1 else []):
            if "row" in answer:
                answer["row"] = f"row {number}"
        self.service.measured.answered(self.service.name, answers)
        return answers

    async def _read(self, rows: Sequence[Row], wish: Wish, size: int) -> Read:
        served, most = self.current.served, self.service.limits.most_pixels
        few = len(rows) <= (FEW if served.quick else 1)
        return await self.soon(size if few else SMALL + 1, served.read, rows, wish, most)

    async def _answer(self, read: Read, wish: Wish) -> list[dict[str, Any]]:
        with _broken():
            found = await self.current.batcher.answer(read.rows, read.payload)
        return self.current.served.decode(read, found, wish)

    async def explain(self, row: Mapping[str, Any]) -> dict[str, Any]:
        self.was_read()
        with _broken():
            try:
                return await self.current.worker.ask("explain", dict(row))
            except Died:
                return await self.current.worker.ask("explain", dict(row))

    async def write(self, asked: Mapping[str, Any]) -> AsyncIterator[str]:
        self.was_read()
        with _broken():
            async for piece in self.current.worker.write(dict(asked)):
                yield piece


@contextmanager
def _broken() -> Iterator[None]:
    """What breaks the net is a fault of ours, told as any other refusal."""
    try:
        yield
    except Broken as problem:
        raise Refused(500, f"the net could not take this ({problem}).\nSend something else.") from None
