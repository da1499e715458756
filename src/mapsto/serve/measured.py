"""What is measured of a server, in Prometheus' words."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
LAST = 1_000  # rows of which the share of unsure ones is told
USUAL = 0.02  # of rows like the training rows are called unsure (`mapsto.measure.ood`)


class Measured:
    """One registry a server, so that two servers in one process count apart."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        name = ["name"]
        self.requests = Counter("mapsto_requests", "requests", [*name, "status"], registry=registry)
        self.seconds = Histogram(
            "mapsto_request_seconds", "from coming in to answered", name, buckets=SECONDS, registry=registry
        )
        self.rows = Counter("mapsto_rows", "rows answered", name, registry=registry)
        self.unread = Counter("mapsto_unread_rows", "rows that could not be read", name, registry=registry)
        self.unsure = Counter(
            "mapsto_unsure_rows", "rows far from the training rows", name, registry=registry
        )
        self.batches = Histogram(
            "mapsto_batch_rows", "rows of a batch", name, buckets=ROWS, registry=registry
        )
        self.inside = Gauge("mapsto_requests_inside", "requests at work", name, registry=registry)
        self.waiting = Gauge("mapsto_queue", "requests that wait for a batch", name, registry=registry)
        self.ready = Gauge("mapsto_ready", "1: a worker is ready", name, registry=registry)
        self.deaths = Gauge("mapsto_worker_deaths", "workers that were replaced", name, registry=registry)
        self.share = Gauge(
            "mapsto_unsure_share", f"unsure rows among the last {LAST:,}", name, registry=registry
        )
        self.drift = Gauge(
            "mapsto_drift",
            f"unsure rows among the last {LAST:,}, times as many as among rows like the training rows",
            name,
            registry=registry,
        )
        self._last: dict[str, deque[bool]] = {}

    def watch(self, name: str, service: Any) -> None:
        """A name's queue and worker (`service.Service`), as they are when somebody asks."""
        self.inside.labels(name).set_function(lambda: service.current.batcher.inside)
        self.waiting.labels(name).set_function(lambda: service.current.batcher.waiting)
        self.ready.labels(name).set_function(lambda: float(service.current.worker.ready))
        self.deaths.labels(name).set_function(lambda: service.current.worker.deaths)

    def batch(self, name: str) -> Callable[[int], None]:
        return self.batches.labels(name).observe

    def answered(self, name: str, answers: Sequence[Mapping[str, Any]]) -> None:
        self.rows.labels(name).inc(len(answers))
        self.unread.labels(name).inc(sum(bool(answer.get("problem")) for answer in answers))
        known = [answer["unsure"] for answer in answers if answer.get("unsure") is not None]
        if not known:
            return
        self.unsure.labels(name).inc(sum(known))
        last = self._last.setdefault(name, deque(maxlen=LAST))
        last.extend(known)
        share = sum(last) / len(last)
        self.share.labels(name).set(share)
        self.drift.labels(name).set(share / USUAL)

    def request(self, name: str, status: int, seconds: float) -> None:
        self.requests.labels(name, status).inc()
        self.seconds.labels(name).observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self.registry)
