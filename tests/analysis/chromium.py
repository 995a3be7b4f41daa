"""Drives a headless Chromium through the DevTools protocol, over a pipe."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")

LIMIT = 300  # seconds that a browser lives


class Chromium:
    """A browser with one page; use it as a context.

    ``problems`` has what the console reported as an error or a warning since the page was opened.
    """

    def __init__(self, profile: Path) -> None:
        self.numbers = itertools.count(1)
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.loaded = False
        commands, self.to_browser = os.pipe()
        self.from_browser, answers = os.pipe()
        options = "headless no-sandbox disable-gpu disable-dev-shm-usage no-first-run"
        options += f" remote-debugging-pipe user-data-dir={profile}"
        start = f'exec "$0" "$@" 3<&{commands} 4>&{answers}'
        self.process = subprocess.Popen(
            ["bash", "-c", start, BROWSER, *(f"--{option}" for option in options.split())],
            pass_fds=(commands, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        self.alarm = threading.Timer(LIMIT, self.process.kill)  # reads then end instead of waiting
        self.alarm.start()
        self.stream = os.fdopen(self.from_browser, "rb")
        self.session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Chromium:
        return self

    def __exit__(self, *_: object) -> None:
        self.session = None
        self.call("Browser.close")
        self.process.wait(timeout=20)
        self.alarm.cancel()
        self.stream.close()
        os.close(self.to_browser)

    def call(self, method: str, **params: object) -> dict:
        """Send a command and return its result; events that come before it are noted."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to_browser, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != number:
            self._note(answer)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def open(self, page: Path, width: int, theme: str = "light") -> None:
        """Open a file in a window of this width in CSS pixels, and wait until it is loaded."""
        self.problems.clear()
        self.requests.clear()
        self.loaded = False
        features = [{"name": "prefers-color-scheme", "value": theme}]
        self.call("Emulation.setEmulatedMedia", features=features)
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Page.navigate", url=page.resolve().as_uri())
        while not self.loaded:
            self._note(self._read())

    def evaluate(self, expression: str, wait: bool = False) -> object:
        """Return the value of an expression of JavaScript; ``wait`` for what it promises."""
        options = {"returnByValue": True, "awaitPromise": wait}
        result = self.call("Runtime.evaluate", expression=expression, **options)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def assert_fits(self, page: Path, width: int, theme: str) -> None:
        """Open a page, which has to be as wide as the window and without a problem."""
        self.open(page, width, theme)
        self.evaluate("document.querySelectorAll('details').forEach((x) => { x.open = true; })")
        assert self.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert self.evaluate("innerWidth") == width  # a phone would zoom out for more
        assert self.problems == []

    def read_column(self, table: str, column: int) -> list[str]:
        """Return the cells of a column, from the rows that are shown."""
        rows = f"[...document.querySelectorAll('{table} tbody tr')].filter((row) => !row.hidden)"
        return self.evaluate(f"{rows}.map((row) => row.cells[{column}].textContent)")

    def assert_sorts(self, table: str, column: int) -> None:
        """Click the head of a column of counts twice: rising, then falling."""
        for falls in (False, True):
            self.evaluate(f"document.querySelectorAll('{table} th button')[{column}].click()")
            counts = [int(text.replace(",", "")) for text in self.read_column(table, column)]
            assert counts == sorted(counts, reverse=falls)
            assert len(set(counts)) > 10

    def _read(self) -> dict:
        data = bytearray()
        while (byte := self.stream.read(1)) != b"\0":
            assert byte, "Chromium has ended"
            data += byte
        return json.loads(data)

    def _note(self, event: dict) -> None:
        params = event.get("params", {})
        match event.get("method"):
            case "Page.loadEventFired":
                self.loaded = True
            case "Runtime.exceptionThrown":
                self.problems.append(params["exceptionDetails"]["text"])
            case "Runtime.consoleAPICalled":
                self.problems.append(str(params["args"]))
            case "Log.entryAdded":
                self.problems.append(params["entry"]["text"])
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
