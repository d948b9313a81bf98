"""Pictures of the page for docs/serving.md: a real server, a real run, a real browser. `python -m tests.e2e.screenshots FOLDER`."""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

import httpx
from PIL import Image
from playwright.sync_api import Browser, Page

from tests.e2e.browser import Visitor, open_browser
from tests.e2e.small import SETTINGS
from tests.serving.deploy.live import live_server

PROMPT = "two sailboats on a calm lake at sunrise"
SEED = "11"
RUN_SETTINGS = [setting for setting in SETTINGS if not setting.startswith("execution.")]
MAX_BYTES = 300_000
_COLORS = (256, 160, 96, 64)
_LONG_MS = 400_000


def main() -> None:
    """Write serving-desktop.png, serving-phone.png and serving-run.png."""
    folder = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as state, live_server(Path(state), "prompts.engine=template") as server, open_browser() as browser:
        create(browser, server.url, folder / "serving-desktop.png", num_images=4, phone=False, dark=False)
        create(browser, server.url, folder / "serving-phone.png", num_images=6, phone=True, dark=True)
        run(browser, server.url, folder / "serving-run.png")


def create(browser: Browser, address: str, path: Path, *, num_images: int, phone: bool, dark: bool) -> None:
    """The images of a prompt."""
    visitor = Visitor(browser, address, phone=phone, dark=dark)
    page = visitor.open()
    page.fill("#prompt", PROMPT)
    page.fill("#seed", SEED)
    page.fill("#n", str(num_images))
    page.click("#generate")
    page.locator(".tile.done").nth(num_images - 1).wait_for()
    page.evaluate("document.activeElement.blur()")
    save(page, path)
    visitor.close()


def run(browser: Browser, address: str, path: Path) -> None:
    """A run that has come to its training."""
    body = {"preset": "embedded", "classes": ["bus", "car", "cat", "horse"], "seed": 7, "settings": RUN_SETTINGS}
    job = httpx.post(f"{address}/v1/jobs", json=body, timeout=60).raise_for_status().json()
    visitor = Visitor(browser, address)
    page = visitor.open(f"#runs/{job['id']}")
    page.locator('.stage[data-stage=classifier][data-state="going"]').wait_for(timeout=_LONG_MS)
    page.locator(".shot img[src]").nth(9).wait_for()
    page.mouse.move(0, 0)
    save(page, path)
    visitor.close()
    httpx.delete(f"{address}/v1/jobs/{job['id']}", timeout=60)


def save(page: Page, path: Path) -> None:
    """The screen as a PNG of a palette, with as many colors as fit MAX_BYTES."""
    page.wait_for_timeout(600)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    for colors in _COLORS:
        encoded = io.BytesIO()
        picture.quantize(colors, dither=Image.Dither.FLOYDSTEINBERG).save(encoded, "PNG", optimize=True)
        if encoded.tell() <= MAX_BYTES:
            break
    path.write_bytes(encoded.getvalue())
    print(f"{path}  {encoded.tell() // 1000} kB, {colors} colors")  # noqa: T201 (what a script did)


if __name__ == "__main__":
    main()
