"""Headless Chromium for tests of the page: Debian's own, driven by Playwright."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, Page, expect, sync_playwright

EXECUTABLE = Path(os.environ.get("SYNTHSEG_CHROMIUM", "/usr/bin/chromium"))
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
PATIENCE_MS = 60_000
"""The machine may be busy with other tests."""


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A browser; RuntimeError says how to install it where it is missing."""
    if not EXECUTABLE.exists():
        raise RuntimeError(f"{EXECUTABLE} is missing: run `make browser`, or name another Chromium in SYNTHSEG_CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=EXECUTABLE, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


class Visitor:
    """One visitor's tab, and what its console, its scripts and its requests complained about."""

    def __init__(self, browser: Browser, address: str, *, phone: bool = False, dark: bool = False) -> None:
        self.address = address
        self.faults: list[str] = []
        self.hosts: set[str] = set()
        scheme: Literal["dark", "light"] = "dark" if dark else "light"
        size: Any = PHONE if phone else DESKTOP
        self._context = browser.new_context(
            viewport=size, color_scheme=scheme, has_touch=phone, device_scale_factor=2 if phone else 1, reduced_motion="reduce"
        )
        self.page: Page = self._context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        self.page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        self.page.on("console", lambda message: self._console(message.type, message.text))
        self.page.on(
            "request", lambda request: self.hosts.add(request.url.split("/")[2] if "//" in request.url else request.url.split(":")[0])
        )

    def _console(self, kind: str, text: str) -> None:
        # Chromium itself notes every refused request as an error; refusals are what some tests are about.
        if kind in ("error", "warning") and not text.startswith("Failed to load resource"):
            self.faults.append(f"{kind}: {text}")

    def open(self, path: str = "") -> Page:
        """The page, or a part of it such as `#runs`, loaded and wired."""
        self.page.goto(f"{self.address}/{path}")
        self.page.locator("#state:not([data-state=unknown])").wait_for()
        return self.page

    def close(self) -> None:
        """End the tab. AssertionError when a script failed, the policy refused something, or another host was asked."""
        self._context.close()
        assert self.faults == []
        assert self.hosts <= {self.address.split("/")[2], "blob", "data"}
