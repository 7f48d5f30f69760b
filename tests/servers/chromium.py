"""A headless Chromium that shows local pages, driven by the DevTools protocol over a WebSocket."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import websocket

if TYPE_CHECKING:
    from types import TracebackType

PROGRAM = "/usr/bin/chromium-headless-shell"
START_TIMEOUT_SECONDS = 60.0
CALL_TIMEOUT_SECONDS = 60.0
_EVENTS = (
    "Network.requestWillBeSent",
    "Runtime.exceptionThrown",
    "Runtime.consoleAPICalled",
    "Log.entryAdded",
)


class Chromium:
    """A browser with one page; runs as long as its block."""

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="esq-chromium-", ignore_cleanup_errors=True)
        errors = Path(self._folder.name) / "stderr"
        # Its sandbox refuses root; the pages are the project's own.
        sandbox = ("--no-sandbox",) if os.geteuid() == 0 else ()
        with errors.open("wb") as stderr:
            self._process = subprocess.Popen(
                [
                    *(PROGRAM, "--headless", "--remote-debugging-port=0", "--disable-gpu"),
                    *("--disable-dev-shm-usage", "--force-color-profile=srgb", "--hide-scrollbars"),
                    *(f"--user-data-dir={self._folder.name}/profile", *sandbox, "about:blank"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                process_group=0,
            )
        try:
            url = self._wait_for_url(errors)
            self._socket = websocket.create_connection(
                url, timeout=CALL_TIMEOUT_SECONDS, suppress_origin=True
            )
        except BaseException:
            self._stop()
            raise
        self._number, self._session, self._events = 0, "", []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._socket.close()
        self._stop()

    @property
    def process_group(self) -> int:
        """Process group of the browser."""
        return self._process.pid

    def _stop(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)  # the program is a script that waits for the browser
        self._process.wait()
        self._folder.cleanup()

    def _wait_for_url(self, errors: Path) -> str:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            if match := re.search(r"DevTools listening on (ws://\S+)", errors.read_text(errors="replace")):
                return match[1]
            time.sleep(0.05)
        raise AssertionError(f"{PROGRAM} did not start: {errors.read_text(errors='replace')[-2000:]}")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the DevTools protocol and return its result; events until then are kept."""
        self._number += 1
        request = {"id": self._number, "method": method, "params": parameters}
        self._socket.send(json.dumps(request | ({"sessionId": self._session} if self._session else {})))
        while (message := self._receive()).get("id") != self._number:
            pass
        assert "error" not in message, f"{method}: {message['error']}"
        result: dict[str, Any] = message["result"]
        return result

    def _receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._socket.recv())
        if "method" in message:
            self._events.append(message)
        return message

    def open(self, page: Path | str, width: int, scheme: str) -> list[dict[str, Any]]:
        """Show a page.

        Args:
            page: HTML file, or URL.
            width: width of the window in CSS pixels.
            scheme: `light` or `dark`.

        Returns:
            Requests, console messages and errors while it was loaded.
        """
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=800,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self._events = []
        self.call("Page.navigate", url=page if isinstance(page, str) else page.as_uri())
        deadline = time.monotonic() + CALL_TIMEOUT_SECONDS
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            assert time.monotonic() < deadline, f"{page} was not loaded"
            self._receive()
        self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return self.events()

    def events(self) -> list[dict[str, Any]]:
        """Return requests, console messages and errors since the page was opened."""
        return [event for event in self._events if event["method"] in _EVENTS]

    def press(self, key: str, text: str = "") -> None:
        """Press and release a key.

        Args:
            key: its name, e.g. `Tab`, `Enter`.
            text: the text that it enters.
        """
        codes = {"Tab": 9, "Enter": 13}
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                text=text,
                windowsVirtualKeyCode=codes.get(key, 0),
            )

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def screenshot(self, file: Path) -> None:
        """Write a picture of the whole page."""
        picture = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(picture["data"]))
