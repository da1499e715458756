"""The next batch is prepared while this one is learned from."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from typing import TypeVar

import torch

T = TypeVar("T")

DEPTH = 2  # batches that lie ready


def ahead(items: Iterator[T], depth: int = DEPTH) -> Generator[T]:
    """The same items in the same order, made by a thread of its own. What goes wrong there is raised here. Closing the generator ends the thread.

    The thread computes on one processor: two pools of threads on the same processors would wait for each other."""
    ready: queue.Queue = queue.Queue(depth)
    begun, over = threading.Event(), threading.Event()
    cores = torch.get_num_threads()
    worker = threading.Thread(target=_make, args=(items, ready, begun, over), name="mapsto-batches", daemon=True)
    worker.start()
    begun.wait()
    torch.set_num_threads(cores)  # the worker's own count stays; this is what later threads would inherit
    try:
        while True:
            item, problem = ready.get()
            if problem is not None:
                raise problem
            if item is None:
                return
            yield item
            del item  # or two batches more would lie in memory
    finally:
        over.set()
        while not ready.empty():
            ready.get_nowait()
        worker.join()


def _make(items: Iterator[T], ready: queue.Queue, begun: threading.Event, over: threading.Event) -> None:
    torch.set_num_threads(1)
    begun.set()
    problem: BaseException | None = None
    try:
        for item in items:
            if not _put(ready, (item, None), over):
                return
    except BaseException as raised:  # noqa: BLE001  (raised again in the thread that asked)
        problem = raised
    _put(ready, (None, problem), over)


def _put(ready: queue.Queue, item: tuple, over: threading.Event) -> bool:
    """Wait for a place; False when nobody wants more."""
    while not over.is_set():
        try:
            ready.put(item, timeout=0.05)
        except queue.Full:
            continue
        return True
    return False
