"""How much memory there is, and how much is taken. Bytes throughout."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

CGROUP = Path("/sys/fs/cgroup")
BLOCK = 2 << 20  # bytes; at 8 MB rows walked by length leave holes of every size
SHARE = 0.7  # of the memory allowed; the rest is the system's, the page cache's and our error of estimate


def allowed(device: torch.device) -> int:
    """What this process may come to hold: free memory, or what the container leaves."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    found = [_free(), *_container()]
    return min(found)


def _free() -> int:
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
        return int(lines["MemAvailable"].split()[0]) * 1024
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return 4 << 30  # a system that does not say: assume a small machine


def _container() -> list[int]:
    limit, used = CGROUP / "memory.max", CGROUP / "memory.current"
    if not limit.exists() or limit.read_text().strip() == "max":
        return []
    return [max(0, int(limit.read_text()) - (int(used.read_text()) if used.exists() else 0))]


def peak() -> int:
    """The most this process ever held."""
    if sys.platform == "win32":
        return 0
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def kills() -> int:
    """How often the kernel killed something in this container for want of memory."""
    events = CGROUP / "memory.events"
    if not events.exists():
        return 0
    return int(dict(line.split() for line in events.read_text().splitlines()).get("oom_kill", 0))


def note() -> dict[str, int]:
    """What a checkpoint remembers, to tell after a sudden end whether memory was the reason."""
    return {"peak": peak(), "allowed": allowed(torch.device("cpu")) + peak(), "kills": kills()}


def keep_heap() -> None:
    """Ask glibc to keep big blocks on its heap instead of handing them back to the kernel after each use:
    page faults otherwise take up to 40% of a step. What was freed before is handed back first. Elsewhere
    there is nothing to ask."""
    if (library := _glibc()) is not None:
        library.malloc_trim(0)
        library.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
        library.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD


def release_heap() -> None:
    """The end of `keep_heap`: what is free goes back to the kernel, and so does every block of BLOCK bytes
    and more once it is. A heap that is kept while blocks of many sizes come and go only grows: of a table's
    report, by half."""
    if (library := _glibc()) is not None:
        library.mallopt(-3, BLOCK)
        library.mallopt(-1, 16 * BLOCK)
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    """The C library where it is glibc."""
    if sys.platform != "linux" or "glibc" not in (os.confstr("CS_GNU_LIBC_VERSION") or ""):
        return None
    return ctypes.CDLL(None)


class Saved:
    """Counts the bytes a forward pass keeps for its backward pass: `with Saved() as saved: loss(...)`, then
    `saved.bytes`. apart: tensors that are not counted."""

    def __init__(self, apart: Iterable[Tensor] = ()) -> None:
        self.bytes = 0
        self._seen = {value.untyped_storage().data_ptr() for value in apart}
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, lambda value: value)

    def _pack(self, value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in self._seen:
            self._seen.add(storage.data_ptr())
            self.bytes += storage.nbytes()
        return value

    def __enter__(self) -> Saved:
        self._hooks.__enter__()
        return self

    def __exit__(self, *problem: object) -> None:
        self._hooks.__exit__(*problem)
