"""Chromium without a window, spoken to through two pipes: what a page asks for, complains of, and where things stand.

The protocol is the browser's own (https://chromedevtools.github.io/devtools-protocol), so no package is needed.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage")
TALKS = 'exec 3<&{} 4>&{}; exec "$@"'
"""Chromium reads what it is asked at descriptor 3 and answers at 4."""


def find_chromium() -> str | None:
    """The browser that `CODIR_CHROMIUM` or the path names."""
    return os.environ.get("CODIR_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


class Tab:
    """One tab of a browser."""

    def __init__(self, asks: int, answers: int) -> None:
        self._asks, self._answers, self._read, self._count, self._session = asks, answers, b"", 0, None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Ask for something, and wait until it is done."""
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._asks, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._count:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._read:
            read = os.read(self._answers, 1 << 16)
            assert read, "Chromium ended"
            self._read += read
        message, _, self._read = self._read.partition(b"\0")
        return json.loads(message)

    def open(self, page: Path, *, width: int, scheme: str = "light", media: str = "") -> None:
        """Load a page anew.

        Args:
            page: a file.
            width: of the window, in pixels.
            scheme: `light` or `dark`.
            media: `print`, or what a screen shows.
        """
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", media=media, features=[feature])
        self.events.clear()
        self.call("Page.navigate", url=page.as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())
        self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def evaluate(self, script: str) -> Any:
        """What a script gives."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def requests(self) -> list[str]:
        """What was asked for since the page was opened."""
        sent = [event["params"] for event in self.events if event.get("method") == "Network.requestWillBeSent"]
        return [one["request"]["url"] for one in sent]

    def complaints(self) -> list[str]:
        """Errors, warnings and messages since then."""
        heard = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [json.dumps(event["params"]) for event in self.events if event.get("method") in heard]

    def screenshot(self, path: Path) -> None:
        """The whole page as a PNG."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def opened_tab() -> Iterator[Tab]:
    """A browser while the block lasts."""
    browser = find_chromium()
    assert browser is not None, "tests ask first"
    (hers, asks), (answers, says) = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        words = [browser, *FLAGS, "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"]
        command = ["bash", "-c", TALKS.format(hers, says), "bash", *words]
        process = subprocess.Popen(command, pass_fds=(hers, says), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        os.close(hers)
        os.close(says)
        try:
            yield Tab(asks, answers)
        finally:
            process.kill()
            process.wait()
            os.close(asks)
            os.close(answers)
