"""Signals while training: Ctrl-C asks to end well, SIGTERM to save and leave, to be resumed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def signals(heard: Callable[[str], None]) -> Iterator[None]:
    """Inside, SIGINT calls heard("interrupt") and SIGTERM heard("terminate"); afterwards both do what they
    did. Only the main thread hears signals; elsewhere nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = {signal.SIGINT: "interrupt", signal.SIGTERM: "terminate"}
    before = {
        number: signal.signal(number, lambda got, frame: heard(asked[signal.Signals(got)]))
        for number in asked
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
