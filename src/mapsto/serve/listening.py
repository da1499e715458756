"""Where a server listens."""

from __future__ import annotations

import socket
import ssl
from typing import Any

from mapsto.errors import ConfigError, RunError


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections. RunError: the port is in use, or the place is not this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends at once (TCP_NODELAY) only where the protocol is named: else answers wait 40 ms for an ack
    place = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        place.bind((host, port))
        place.listen(2048)
    except (OSError, OverflowError) as problem:
        place.close()
        raise RunError(
            f"--host {host} --port {port}: cannot be listened at ({problem}).\nGive another: --port 0 takes"
            " any that is free."
        ) from None
    return place


def secure(certificate: str | None, key: str | None) -> dict[str, Any]:
    """How uvicorn is told of TLS; {} without. ConfigError: one of both lacks, or they are none."""
    if not certificate and not key:
        return {}
    if not certificate or not key:
        raise ConfigError("expected --tls-certificate and --tls-key, got one of them.\nGive both.")
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as problem:
        raise ConfigError(
            f"--tls-certificate {certificate}: cannot be used ({problem}).\nName PEM files."
        ) from None
    return {"ssl_certfile": certificate, "ssl_keyfile": key}
