"""The next batch is prepared while this one is learned from."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch

T = TypeVar("T")

DEPTH = 2  # batches that lie ready


def prefetched(items: Iterator[T], depth: int = DEPTH) -> Generator[T]:
    """The same items in the same order, made by a thread of its own. What goes wrong there is raised here.
    Closing the generator ends the thread.

    The thread computes on one processor: two pools of threads on the same processors would wait for each
    other.
    """
    cores, end = torch.get_num_threads(), object()
    with ThreadPoolExecutor(1, "mapsto-batches", torch.set_num_threads, (1,)) as pool:
        made: deque[Any] = deque(pool.submit(next, items, end) for _ in range(depth))
        try:
            while (item := made.popleft().result()) is not end:
                torch.set_num_threads(cores)  # what later threads inherit; the thread's own count stays
                made.append(pool.submit(next, items, end))
                yield item
                del item  # or one batch more would lie in memory
        finally:
            pool.shutdown(cancel_futures=True)
