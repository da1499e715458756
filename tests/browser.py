"""A headless Chromium, spoken to over a pipe in its own protocol: enough to open a page, see what it asks for, and measure it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Self

PROGRAM = next((found for name in ("chromium", "chromium-browser", "google-chrome", "chrome") if (found := shutil.which(name))), None)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
]


class Browser:
    """`with Browser(folder) as browser: browser.open(path, 390, 844, "dark")`. folder: for its profile."""

    def __init__(self, folder: Path):
        self._folder, self._number, self._left = folder, 0, b""

    def __enter__(self) -> Self:
        there, self._to = os.pipe()
        self._from, back = os.pipe()

        def plumb() -> None:  # Chromium reads its third file and writes its fourth
            os.dup2(there, 13)
            os.dup2(back, 14)
            os.dup2(13, 3)
            os.dup2(14, 4)

        words = [str(PROGRAM), *FLAGS, f"--user-data-dir={self._folder}"]
        self._process = subprocess.Popen(
            words, preexec_fn=plumb, close_fds=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(there)
        os.close(back)
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.events: list[dict[str, Any]] = []
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.ask(f"{domain}.enable")
        return self

    def __exit__(self, *problem: object) -> None:
        os.close(self._to)
        os.close(self._from)
        self._process.terminate()
        self._process.wait(timeout=20)

    def open(self, path: Path, width: int, height: int, scheme: str) -> dict[str, Any]:
        """{"requests": addresses, "complaints": of the console, "width": of all that can be scrolled to}."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.events.clear()
        self.ask("Page.navigate", url=path.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._hear())
        found = self.ask("Runtime.evaluate", expression="JSON.stringify(" + MEASURED + ")", returnByValue=True)
        requests = [event["params"]["request"]["url"] for event in self.events if event["method"] == "Network.requestWillBeSent"]
        complaints = [
            event["params"] for event in self.events if event["method"] in ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
        ]
        return {"requests": requests, "complaints": complaints, **json.loads(found["result"]["value"])}

    def visit(self, url: str, width: int = 1280, height: int = 900, scheme: str = "light") -> None:
        """Open an address, forgetting what was seen before."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.events.clear()
        self.ask("Page.navigate", url=url)
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._hear())

    def run(self, body: str, given: Any = None) -> Any:
        """What the body of an asynchronous function returns, through JSON; `given` is what it is given."""
        expression = f"(async (given) => JSON.stringify(await (async () => {{ {body} }})(), (key, value) => Number.isNaN(value) ? null : value))({json.dumps(given)})"
        found = self.ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return json.loads(found["result"].get("value", "null"))

    def asked_for(self) -> set[str]:
        """The addresses of all requests since the last visit, but for what lies in the page itself."""
        found = {event["params"]["request"]["url"] for event in self.events if event["method"] == "Network.requestWillBeSent"}
        return {one for one in found if not one.startswith("data:")}

    def complaints(self) -> list[Any]:
        """What the console was told since, but for what the page itself writes there."""
        return [event["params"] for event in self.events if event["method"] in ("Log.entryAdded", "Runtime.exceptionThrown")]

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """One command and its answer; events meanwhile are kept."""
        self._number += 1
        session = {"sessionId": self._session} if hasattr(self, "_session") else {}
        os.write(self._to, json.dumps({"id": self._number, "method": method, "params": params, **session}).encode() + b"\0")
        while True:
            heard = self._hear()
            if heard.get("id") == self._number:
                assert "error" not in heard, heard
                return heard["result"]
            if hasattr(self, "events"):
                self.events.append(heard)

    def _hear(self) -> dict[str, Any]:
        while b"\0" not in self._left:
            more = os.read(self._from, 1 << 16)
            assert more, "the browser went away"
            self._left += more
        message, _, self._left = self._left.partition(b"\0")
        heard = json.loads(message)
        return heard if "id" in heard else {"method": heard["method"], "params": heard["params"]}


# Boxes wider than the window that do not lie in something that scrolls by itself; the background as it is seen; the figures shown.
MEASURED = """{
  width: document.documentElement.scrollWidth,
  background: getComputedStyle(document.body).backgroundColor,
  beside: [...document.querySelectorAll("body *")].filter(one => one.getBoundingClientRect().right > innerWidth + 1
    && !one.closest(".scroll, pre")).map(one => one.tagName + "." + one.className).slice(0, 5),
  figures: [...document.querySelectorAll("svg[role=img]")].filter(one => one.getBoundingClientRect().width > 0).length,
  small: [...document.querySelectorAll("svg[role=img]")].filter(one => one.getBoundingClientRect().width > 0 && !one.closest(".scroll"))
    .filter(one => one.getBoundingClientRect().width < 0.6 * one.viewBox.baseVal.width).length
}"""
