"""A headless Chromium in a network namespace, driven by the WebDriver protocol of chromedriver.

Knows buttons and texts of a page, nothing of NetPolicy. Format: w3.org/TR/webdriver.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from tests.netns import Namespace

PORT = 9515
ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server",
             "--disable-background-networking"]  # fmt: skip
STEP_SECONDS = 0.1

CLICK = """
const found = [...document.querySelectorAll('#view button')]
	.filter(one => one.innerText.trim() == arguments[0] && one.offsetParent && !one.disabled)[arguments[1]];
if (found) found.click();
return !!found;
"""
TICK = """
const label = [...document.querySelectorAll('#view label')].find(one => one.innerText.trim() == arguments[0]);
const input = label && label.offsetParent && label.querySelector('input');
if (input && input.checked != arguments[1]) input.click();
return !!input;
"""
# Once a second: the button is there before it works.
LOG_IN = """
if (document.querySelector('#mainmenu, #topmenu')) return true;
const button = document.querySelector('#modal_overlay button.cbi-button-positive');
if (button && !(Date.now() - window.pressed < 1000)) { window.pressed = Date.now(); button.click(); }
return false;
"""
FILL = (
    "const it = document.querySelector(`#view [aria-label='${arguments[0]}']`); it.value = arguments[1]; return true;"
)


class Browser:
    """One browser with one page."""

    def __init__(self, home: Namespace) -> None:
        self._home = home
        with home.entered():
            self._driver = subprocess.Popen(
                ["chromedriver", f"--port={PORT}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        self._session = ""
        self._until(lambda: self._request("GET", "/status")["ready"])
        options = {"goog:chromeOptions": {"args": ARGUMENTS}}
        opened = self._request("POST", "/session", {"capabilities": {"alwaysMatch": options}})
        self._session = f"/session/{opened['sessionId']}"

    def _request(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{PORT}{path}", data, method=method)
        with self._home.entered(), urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())["value"]

    def run(self, script: str, *arguments: Any) -> Any:
        """What the script returns in the page."""
        return self._request("POST", f"{self._session}/execute/sync", {"script": script, "args": list(arguments)})

    def open(self, url: str) -> None:
        """Goes there, until it is loaded."""
        self._request("POST", f"{self._session}/url", {"url": url})

    def log_in(self, url: str) -> None:
        """As root without a password, where LuCI asks for one."""
        self.open(url)
        self._until(lambda: self.run(LOG_IN), "no way past the login")

    def click(self, title: str, place: int = 0) -> None:
        """Presses the button of that title, once it is there and enabled."""
        self._until(lambda: self.run(CLICK, title, place), f"no button {title!r}")

    def tick(self, title: str, is_on: bool = True) -> None:
        """Sets the checkbox with that label."""
        self._until(lambda: self.run(TICK, title, is_on), f"no checkbox {title!r}")

    def fill(self, label: str, value: str) -> None:
        """Writes into the field of that name."""
        self.run(FILL, label, value)

    def text(self) -> str:
        """What a person reads in LuCI's view, or on a page without one, in one line."""
        found = self.run("return (document.querySelector('#view') || document.body).innerText || ''")
        return " ".join(str(found).split())

    def until(self, pattern: str, seconds: float = 30.0) -> str:
        """The text of the page once it holds the pattern."""
        seen = ""

        def holds() -> bool:
            nonlocal seen
            seen = self.text()
            return re.search(pattern, seen, re.IGNORECASE) is not None

        self._until(holds, f"{pattern!r} is not on the page", seconds)
        return seen

    def _until(
        self, holds: Callable[[], bool], problem: str = "the browser does not start", seconds: float = 30.0
    ) -> None:
        end = time.monotonic() + seconds
        while True:
            try:
                if holds():
                    return
            except OSError:
                pass
            assert time.monotonic() < end, f"{problem}: {self.text() if self._session else ''}"
            time.sleep(STEP_SECONDS)

    def narrow(self, width: int) -> None:
        """The page is so many pixels wide from now on, as on a telephone."""
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        asked = {"cmd": "Emulation.setDeviceMetricsOverride", "params": size}
        self._request("POST", f"{self._session}/goog/cdp/execute", asked)

    def close(self) -> None:
        """The browser ends."""
        try:
            self._request("DELETE", self._session)
        finally:
            self._driver.terminate()
            self._driver.wait()
