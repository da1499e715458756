"""Serving: one run of pictures behind three servers on this machine, in turn: mapsto's, a plain FastAPI app
that answers each request by itself, and LitServe with batches (where its interpreter is given).

    python -m benchmarks.serving RUN PICTURE --seconds 60 --rounds 3 --clients 1 16 64 [--litserve PYTHON]
        [--export FOLDER]

With --export two more, of the run's export: mapsto's, and ONNX Runtime called by a bare function behind
uvicorn, without a framework. All decode with the run's own types and ask the same net with the same threads;
what differs is the server. Clients are coroutines of one process over kept connections. Prints requests a
second, the median and the 99th percentile in milliseconds, and what failed, by status; --out keeps all
rounds.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

BOUNDARY = "mapsto-benchmark"
PATIENCE = 20  # seconds that an answer may take: a client that waits longer leaves, and counts as status 0


# ---- the servers ----


class Net:
    """A run's net, asked of encoded pictures."""

    def __init__(self) -> None:
        import torch

        from mapsto.run import Run

        torch.set_num_threads(int(os.environ["SERVED_THREADS"]))
        self.run = Run.open(os.environ["SERVED_RUN"])
        (slot,) = self.run.signature.inputs
        self.slot, self.type = slot.name, self.run.types["input", slot.name]
        self.output = self.run.signature.outputs[0].name
        self.run.learner.model.eval()

    def decode(self, data: bytes) -> Any:
        return self.type.encode(self.type.read(data))

    def answer(self, encoded: list[Any]) -> list[dict[str, Any]]:
        import numpy as np

        from mapsto.run.answering import batch_of

        batch = batch_of(
            self.run, self.run.signature, {("input", self.slot): np.stack(encoded)}, 0, len(encoded)
        )
        found = self.run.learner.arrays(batch)[self.output]
        classes = self.run.output(self.output).type.answers
        return [
            {"value": classes[int(value)], "probability": float(chance.max())}
            for value, chance in zip(found["value"], found["probability"], strict=True)
        ]


def plain() -> Any:
    """FastAPI as its tutorial shows it: a function that answers one request, in the framework's threads."""
    from fastapi import FastAPI, UploadFile

    net, app = Net(), FastAPI()

    @app.get("/ready")
    def ready() -> dict[str, str]:
        return {}

    @app.post("/served")
    def answer(image: UploadFile) -> dict[str, Any]:
        return net.answer([net.decode(image.file.read())])[0]

    return app


def bare() -> Any:
    """A function behind uvicorn that reads a picture, asks ONNX Runtime, and answers; one after the other."""
    import mapsto.lite

    model = mapsto.lite.open(os.environ["SERVED_EXPORT"], int(os.environ["SERVED_THREADS"]))
    (slot,) = model.signature.inputs
    read, output = model.types["input", slot.name], model.signature.outputs[0].name
    classes = model.output(output).type.answers

    def answer(body: bytes) -> dict[str, Any]:
        data = body.split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n--", 1)[0]
        found = model.arrays({("input", slot.name): read.encode(read.read(data))[None]})[0][output]
        chance = float(found["probability"][0].max())
        return {"value": classes[int(found["value"][0])], "probability": chance}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        parts, more = [], scope["method"] == "POST"
        while more:
            message = await receive()
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        told = json.dumps(answer(b"".join(parts)) if parts else {}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(told)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": told})

    return app


def command(name: str, asked: argparse.Namespace, port: int) -> list[str] | None:
    """None: it was not asked for."""
    quiet = ("--no-access-log", "--log-level", "error")
    uvicorn = [sys.executable, "-m", "uvicorn", "--port", str(port), *quiet]
    mapsto = [sys.executable, "-m", "mapsto", "serve", "--port", str(port), "--no-log", "--threads"]
    litserve = [asked.litserve, "-m", "benchmarks.serving_litserve", str(port)]
    words = {
        "mapsto": [*mapsto, str(asked.threads), f"served={asked.run}"],
        "plain FastAPI": [*uvicorn, "--factory", "benchmarks.serving:plain"],
        "LitServe": litserve if asked.litserve else None,
        "mapsto, ONNX": [*mapsto, str(asked.threads), f"served={asked.export}"] if asked.export else None,
        "bare, ONNX": [*uvicorn, "--factory", "benchmarks.serving:bare"] if asked.export else None,
    }
    return words[name]


# ---- the clients ----


def request_of(picture: Path) -> bytes:
    data = picture.read_bytes()
    head = f'Content-Disposition: form-data; name="image"; filename="{picture.name}"\r\n'
    first, last = f"--{BOUNDARY}\r\n{head}Content-Type: image/png\r\n\r\n", f"\r\n--{BOUNDARY}--\r\n"
    body = first.encode() + data + last.encode()
    kind = f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {len(body)}\r\n\r\n"
    return f"POST /served HTTP/1.1\r\nHost: localhost\r\n{kind}".encode() + body


async def client(port: int, request: bytes, until: float, found: list[float], wrong: list[int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < until:
        start = time.perf_counter()
        writer.write(request)
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
        except TimeoutError:
            wrong.append(0)
            break
        lines = head.lower().split(b"\r\n")
        size = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        await reader.readexactly(size)
        found.append(time.perf_counter() - start)
        if not head.startswith(b"HTTP/1.1 200"):
            wrong.append(int(head.split()[1]))
    writer.close()


def measure(port: int, request: bytes, clients: int, seconds: float) -> dict[str, Any]:
    found: list[float] = []
    wrong: list[int] = []

    async def all_clients() -> float:
        start = time.perf_counter()
        each = [client(port, request, start + seconds, found, wrong) for _ in range(clients)]
        await asyncio.gather(*each)
        return time.perf_counter() - start

    took = asyncio.run(all_clients())
    ordered = sorted(found)
    return {
        "per_second": (len(found) - len(wrong)) / took,
        "p50_ms": 1000 * ordered[len(ordered) // 2],
        "p99_ms": 1000 * ordered[int(0.99 * (len(ordered) - 1))],
        "requests": len(found),
        "failed": {str(status): wrong.count(status) for status in set(wrong)},
    }


def round_of(name: str, asked: argparse.Namespace) -> dict[int, dict[str, Any]] | str:
    """{clients: figures}, or why it does not run."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    words = command(name, asked, port)
    if words is None:
        return "not asked for"
    environment = {**os.environ, "SERVED_RUN": asked.run, "SERVED_THREADS": str(asked.threads)}
    environment |= {"SERVED_EXPORT": asked.export or ""}
    process = subprocess.Popen(
        words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        for _ in range(240):
            if process.poll() is not None:
                return process.stderr.read().decode().strip().splitlines()[-1][:200]  # type: ignore[union-attr]
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=2).close()
                break
            except OSError:
                time.sleep(0.5)
        request = request_of(Path(asked.picture))
        measure(port, request, 4, 2.0)
        return {clients: measure(port, request, clients, asked.seconds) for clients in asked.clients}
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with suppress(ProcessLookupError):  # what a server leaves behind would take the next one's time
            os.killpg(process.pid, signal.SIGKILL)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("run")
    words.add_argument("picture")
    words.add_argument("--seconds", type=float, default=60)
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--threads", type=int, default=1)
    words.add_argument("--clients", type=int, nargs="+", default=[1, 16, 64])
    words.add_argument("--litserve", help="an interpreter that has LitServe, fastapi and what mapsto needs")
    words.add_argument("--export", help="the run's export by mapsto export, for two more servers")
    words.add_argument("--out", help="a .json of all rounds")
    asked = words.parse_args()
    asked.run = str(Path(asked.run).resolve())
    servers = ("mapsto", "plain FastAPI", "LitServe", "mapsto, ONNX", "bare, ONNX")
    rounds: dict[str, list[Any]] = {name: [] for name in servers}
    for _ in range(asked.rounds):
        for name, each in rounds.items():
            each.append(round_of(name, asked))
    if asked.out:
        Path(asked.out).write_text(json.dumps({"load": os.getloadavg(), "rounds": rounds}, indent=1) + "\n")
    print(f"{'server':<14} {'clients':>7} {'a second':>9} {'p50 ms':>8} {'p99 ms':>8}  failed")
    for name, each in rounds.items():
        if isinstance(each[0], str):
            print(f"{name:<14} {each[0]}")
            continue
        for clients in asked.clients:
            of = [one[clients] for one in each if not isinstance(one, str)]
            middle = [
                statistics.median(one[what] for one in of) for what in ("per_second", "p50_ms", "p99_ms")
            ]
            told = f"{middle[0]:>9.1f} {middle[1]:>8.1f} {middle[2]:>8.1f}  {of[0]['failed'] or ''}"
            print(f"{name:<14} {clients:>7} {told}")


if __name__ == "__main__":
    main()
