"""What stands before every request: its size and time, the token, headers of the page, the access log."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any

from mapsto.serve.limits import Limits, Refused

Message = MutableMapping[str, Any]
OPEN = ("/health", "/ready", "/", "/page/")  # without a token: they hold nothing of anybody's
# Nothing is fetched from elsewhere, whatever stands in a cell; camera and microphone are the page's own.
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:;"
        " media-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(self), geolocation=()",
}


class Guard:
    """An ASGI application around another. log: called with each line of the access log."""

    def __init__(
        self, app: Any, limits: Limits, token: str | None, log: Callable[[str], None] | None, measured: Any
    ):
        self.app, self.limits, self.log, self.measured = app, limits, log, measured
        self._token = None if token is None else token.encode()

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        since, seen = time.monotonic(), {"status": 499, "in": 0, "out": 0}  # 499: the client left

        async def counted() -> Message:
            left = self.limits.seconds - (time.monotonic() - since)
            if seen["status"] != 499:  # answered: what comes is that the client leaves
                return await receive()
            try:
                async with asyncio.timeout(max(0.01, left)):
                    message = await receive()
            except TimeoutError:
                raise Refused(408, "the body did not come in time.\nSend it again.") from None
            seen["in"] += len(message.get("body", b""))
            if seen["in"] > self.limits.most_bytes:
                raise self._too_large()
            return message

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen["status"] = message["status"]
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            seen["out"] += len(message.get("body", b""))
            await send(message)

        try:
            await self._guarded(scope, counted, told)
        finally:
            self._note(scope, seen, time.monotonic() - since)

    async def _guarded(self, scope: Message, receive: Any, send: Any) -> None:
        headers = dict(scope["headers"])
        size = headers.get(b"content-length", b"0")
        if size.isdigit() and int(size) > self.limits.most_bytes:
            await _refuse(send, self._too_large())
        elif not self._allowed(scope["path"], scope["method"], headers):
            await _refuse(send, Refused(401, "expected the token: Authorization: Bearer TOKEN."))
        else:
            await self.app(scope, receive, send)

    def _too_large(self) -> Refused:
        return Refused(413, f"more than {self.limits.most_bytes:,} bytes.\nSend less at a time.")

    def _allowed(self, path: str, method: str, headers: MutableMapping[bytes, bytes]) -> bool:
        """Compared in constant time, so that nobody learns a token letter by letter."""
        if self._token is None or method == "OPTIONS" or path in OPEN or path.startswith("/page/"):
            return True
        kind, _, given = headers.get(b"authorization", b"").partition(b" ")
        return kind.lower() == b"bearer" and hmac.compare_digest(given.strip(), self._token)

    def _note(self, scope: Message, seen: MutableMapping[str, int], seconds: float) -> None:
        """Nothing of what was sent or answered, nor of the address' query."""
        if self.measured is not None and (name := scope.get("service")):
            self.measured.request(name, seen["status"], seconds)
        if self.log is None:
            return
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "client": (scope.get("client") or ("",))[0],
            "method": scope["method"],
            "path": scope["path"][:200],
            "status": seen["status"],
            "ms": round(1000 * seconds, 2),
            "bytes_in": seen["in"],
            "bytes_out": seen["out"],
        }
        self.log(json.dumps(line))


_HEADERS = [(name.encode(), value.encode()) for name, value in HEADERS.items()]


async def _refuse(send: Any, why: Refused) -> None:
    body = json.dumps({"problem": str(why)}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if why.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": why.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
