"""mapsto serve: answer over the web, with a page to try it."""

from __future__ import annotations

import argparse
import logging
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mapsto.commands.base import flags, parted, takes_trust
from mapsto.errors import ConfigError, RunError, Stopped
from mapsto.events import Emit

if TYPE_CHECKING:
    from mapsto.serve.app import Options
    from mapsto.serve.limits import Limits

HELP = "answer over the web, with a page to try it"
EVENTS = False  # its output is the access log
COMMON = flags("host port token watch keep-feedback")
EXAMPLES = (
    ("mapsto serve RUN", "a page and an address for each run, on this machine alone"),
    ("mapsto serve cats=RUN dogs=RUN --port 9000", "two runs, at /cats and /dogs"),
    ("mapsto serve best=runs/best --watch", "goes on with another run when the link moves"),
)
TAKEN = {"health", "ready", "metrics", "names", "page", "v1", "openapi.json", "docs"}
LIMITS = {  # flag: (field of Limits, what stands in the help)
    "wait": "TIME",
    "queue": "N",
    "most-bytes": "N",
    "most-pixels": "N",
    "most-rows": "N",
    "seconds": "N",
}
UNITS = {"": 1.0, "ms": 1.0, "s": 1000.0}


def arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("runs", metavar="[NAME=]RUN", nargs="+", help="folders of runs, or links to them")
    command.add_argument(
        "--host", default="127.0.0.1", help="where to listen; 0.0.0.0: for everybody [127.0.0.1]"
    )
    command.add_argument("--port", default="8000", help="0: any that is free [8000]")
    command.add_argument(
        "--token", metavar="FILE", help="a file with the token that every request must bring"
    )
    command.add_argument("--cors", metavar="ORIGINS", help="pages elsewhere that may ask, with commas, or *")
    command.add_argument("--tls-key", metavar="FILE", help="with --tls-certificate: https")
    command.add_argument("--tls-certificate", metavar="FILE", help="with --tls-key: https")
    command.add_argument(
        "--allow-urls", metavar="HOSTS", help="fetch cells that are addresses there; all: anywhere"
    )
    command.add_argument("--watch", action="store_true", help="take a new run when a link moves")
    command.add_argument(
        "--keep-feedback", metavar="FILE", help="a .jsonl of right answers, which extend can learn from"
    )
    command.add_argument("--threads", help="of each net [as the run's plan measured]")
    command.add_argument("--no-log", action="store_true", help="without the access log")
    for name, value in LIMITS.items():
        command.add_argument(f"--{name}", metavar=value, help=_help(name))
    takes_trust(command)


def _help(name: str) -> str:
    says = {
        "wait": "that a request waits for others to join its batch [5ms]",
        "queue": "requests at work; what comes then is told 429 [256]",
        "most-bytes": "of a request's body [32,000,000]",
        "most-pixels": "of a picture [50,000,000]",
        "most-rows": "of a request [10,000]",
        "seconds": "that a request may take [30]",
    }
    return says[name]


def do(asked: argparse.Namespace, emit: Emit) -> int:
    try:
        import uvicorn

        from mapsto.serve.app import app_of
    except ImportError as problem:
        raise RunError(
            f'serving needs the library {problem.name}, which is not installed.\npip install "mapsto[serve]"'
        ) from None
    from mapsto.serve.listening import listen, secure

    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of each damaged form
    paths, port = named(asked.runs), whole("port", asked.port, 0)
    app = app_of(paths, _options(asked))
    with listen(asked.host, port) as place:
        encrypted = secure(asked.tls_certificate, asked.tls_key)
        scheme, at = "https" if asked.tls_key else "http", place.getsockname()[1]
        host = f"[{asked.host}]" if ":" in asked.host else asked.host
        for name in paths:
            _say(f"{name}: {scheme}://{host}:{at}/{name}")
        _say(f"page: {scheme}://{host}:{at}/   stop: Ctrl-C")
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            lifespan="on",
            timeout_graceful_shutdown=int(app.limits.seconds) + 5,
            **encrypted,
        )
        with suppress(KeyboardInterrupt, Stopped):  # which uvicorn raises again once it has drained
            uvicorn.Server(config).run(sockets=[place])
    _say("all requests are answered; stopped")
    return 0


def _say(line: str) -> None:
    print(f"mapsto: {line}", file=sys.stderr, flush=True)


def named(words: list[str]) -> dict[str, Path]:
    """{name: folder}, each name once. ConfigError: two of one name, or a name that an address has."""
    found: dict[str, Path] = {}
    for word in words:
        name, _, path = word.partition("=") if "=" in word and not Path(word).exists() else ("", "", word)
        name = name or re.sub(r"[^\w.-]+", "-", Path(path).name or Path(path).resolve().name)
        if not re.fullmatch(r"[\w.-]+", name) or name.startswith(".") or name.lower() in TAKEN:
            raise ConfigError(f"'{name}' cannot be an address.\nGive another: NAME={path}")
        if name in found:
            raise ConfigError(f"two runs are called '{name}'.\nGive each a name: NAME={path}")
        found[name] = Path(path)
    return found


def _options(asked: argparse.Namespace) -> Options:
    from mapsto.serve.app import Options

    feedback = Path(asked.keep_feedback) if asked.keep_feedback else None
    if feedback and feedback.suffix != ".jsonl":
        raise ConfigError(f"--keep-feedback {feedback}: expected a name ending in .jsonl.\nGive it one.")
    return Options(
        limits=limits_of(asked),
        token=_token(asked.token) if asked.token else None,
        origins=parted(asked.cors),
        urls=asked.allow_urls or "",
        watch=asked.watch,
        feedback=feedback,
        threads=whole("threads", asked.threads, 1) if asked.threads else 0,
        trusted=asked.trust or (),
        log=None if asked.no_log else lambda line: print(line, flush=True),
        emit=_say,
    )


def limits_of(asked: argparse.Namespace) -> Limits:
    from mapsto.config import options_of
    from mapsto.serve.limits import Limits

    given: dict[str, Any] = {
        name.replace("-", "_"): getattr(asked, name.replace("-", "_")) for name in LIMITS
    }
    given = {name: value for name, value in given.items() if value is not None}
    if "wait" in given:
        given["wait"] = milliseconds("wait", given["wait"])
    return options_of(Limits, given, "serve")


def milliseconds(flag: str, text: str) -> float:
    """5ms, 2s or 5. ConfigError: no time."""
    found = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*(ms|s|)\s*", text)
    if not found:
        raise ConfigError(f"--{flag} {text}: expected a time.\nWrite it as in: --{flag} 5ms")
    return float(found[1]) * UNITS[found[2]]


def _token(name: str) -> str:
    """The token in a file."""
    try:
        token = Path(name).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigError(
            f"--token {name}: cannot be read ({problem}).\nName a file with the token."
        ) from None
    if len(token) < 16 or not token.isascii():
        raise ConfigError(
            f"--token {name}: expected 16 letters or more, found {len(token)}.\nMake one:"
            " openssl rand -hex 32"
        )
    return token


def whole(name: str, text: str, least: int) -> int:
    if not text.isdigit() or int(text) < least:
        raise ConfigError(f"--{name} {text}: expected a whole number from {least} on.")
    return int(text)
