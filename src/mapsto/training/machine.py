"""What the machine is and how fast: its name, its devices, and the most FLOP/s it was seen to reach."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable
from typing import Any

import torch

from mapsto.errors import ConfigError
from mapsto.files import cache_folder, write_json
from mapsto.training.arithmetic import has_bfloat16

TIMES = 6  # of which the least counts
BUSY = 1.75  # times the cores
# Of a machine's speed at convolutions, by whether that is bfloat16's, what recipes count on for nets of
# texts. Two to three times as much is
# reached (in float32 .42, .51 and .57 by encoder-decoders 128, 192 and 256 wide; one thread, AVX2), and well
# spent on more passes: the 39.1 BLEU of
# thirty minutes took 17, where 6 were counted on.
REACHED = {True: 0.25, False: 0.2}


def machine() -> dict[str, Any]:
    """What the arithmetic depends on."""
    return {
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def choose_device(asked: str | None, rank: int = 0) -> torch.device:
    """The device asked for, or the GPU where there is one; of several GPUs each process takes its own, by its
    `rank`."""
    os.environ.setdefault(
        "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
    )  # without it products on a GPU are not deterministic
    try:
        device = torch.device(asked or ("cuda" if torch.cuda.is_available() else "cpu"))
        if device.type == "cuda" and rank:
            device = torch.device("cuda", (device.index or 0) + rank)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as problem:
        raise ConfigError(
            f"--device {asked}: this machine does not have it ({str(problem).splitlines()[0][:80]}).\nLeave"
            " it out, or name one it has: cpu."
        ) from None
    return device


def waited(device: torch.device) -> float:
    """The clock in seconds, once the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def busy() -> bool:
    """Has the machine clearly more to do than it has cores for? What is measured then is not remembered for
    good."""
    return hasattr(os, "getloadavg") and os.getloadavg()[0] > BUSY * (os.cpu_count() or 1)


def machine_speed(device: torch.device) -> float:
    """FLOP/s of a 3×3 convolution, forward and backward, in bfloat16 or, where the device lacks it, in
    float32: measured once a machine (0.3 s) and remembered, so that recipes that depend on it decide alike
    every time."""
    kind = torch.bfloat16 if has_bfloat16(device) else torch.float32
    return remembered(f"convolution in {kind}", device, lambda: _convolution(device, kind))


def text_speed(device: torch.device) -> float:
    """FLOP/s that nets of texts reach in training, at least."""
    return REACHED[has_bfloat16(device)] * machine_speed(device)


def machine_peak(device: torch.device, precision: str) -> float:
    """The most FLOP/s seen of this machine in that arithmetic, by a product of two matrices or a convolution,
    forward and backward; measured once and remembered."""
    kind = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(precision, torch.float32)
    known = [
        remembered(f"{name} {precision}", device, lambda of=of: of(device, kind))
        for name, of in KERNELS.items()
    ]
    return max(known)


def _convolution(device: torch.device, kind: torch.dtype) -> float:
    rows = 128 if device.type == "cpu" else 4096
    x = (
        torch.randn(rows, 64, 14, 14, device=device)
        .contiguous(memory_format=torch.channels_last)
        .requires_grad_()
    )
    conv = torch.nn.Conv2d(64, 64, 3, padding=1, bias=False, device=device).to(
        memory_format=torch.channels_last
    )  # type: ignore[call-overload]

    def both() -> None:
        with torch.autocast(device.type, kind, enabled=kind != torch.float32):
            value = conv(x).float().mean()
        value.backward()

    return 6 * rows * 14 * 14 * 64 * 64 * 9 / _least(both, device)


def _product(device: torch.device, kind: torch.dtype) -> float:
    side = 1024 if device.type == "cpu" else 8192
    a, b = (torch.randn(side, side, device=device, dtype=kind) for _ in range(2))
    return 2 * side**3 / _least(lambda: torch.mm(a, b), device)


KERNELS: dict[str, Callable[[torch.device, torch.dtype], float]] = {
    "product": _product,
    "convolution": _convolution,
}


def _least(work: Callable[[], Any], device: torch.device) -> float:
    """The least seconds of some runs."""
    found = []
    for _ in range(TIMES):
        start = waited(device)
        work()
        found.append(waited(device) - start)
    return min(found)


def remembered(what: str, device: torch.device, find: Callable[[], float]) -> float:
    """A figure of this machine, from the cache or found now; not kept where it is busy."""
    known = hashlib.blake2b(
        json.dumps([machine(), str(device), torch.get_num_threads(), what]).encode(), digest_size=12
    ).hexdigest()
    path = cache_folder() / "machine" / f"{known}.json"
    try:
        return float(json.loads(path.read_text())["found"])
    except (OSError, ValueError, KeyError):
        pass
    found = find()
    if not busy():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"found": found, "what": what})
    return found
