"""A run submitted, watched and stopped in a real browser, on a real `synthseg serve`."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.browser import Visitor, open_browser
from tests.e2e.small import CLASSES, SETTINGS
from tests.serving.deploy.live import LiveServer, live_server

pytestmark = [pytest.mark.e2e, pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(900)]

STAGE_MS = 400_000
REFRESH_MS = 15_000
"""The gallery asks for new images every four seconds."""


def wait_for_stage(page: Page, stage: str, state: str) -> None:
    """Until the page shows `stage` in `state`; a run that ends before is a failure with its message."""
    wanted = page.locator(f'.stage[data-stage="{stage}"][data-state="{state}"]')
    ended = page.locator('.status [data-status="failed"], .status [data-status="cancelled"]')
    wanted.or_(ended).first.wait_for(timeout=STAGE_MS)
    assert not ended.count(), page.locator(".run .notice").all_text_contents()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with live_server(tmp_path_factory.mktemp("state"), "prompts.engine=template") as live:
        yield live


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


def test_a_runs_progress_moves_its_images_show_and_it_stops(server: LiveServer, browser: Browser) -> None:
    visitor = Visitor(browser, server.url)
    page = visitor.open("#runs")
    expect(page.locator("#run-list")).to_contain_text("None yet")
    for name in CLASSES.split(","):
        page.get_by_role("button", name=name, exact=True).click()
    page.locator("#new-run summary").click()
    page.fill("#settings", "\n".join((*SETTINGS, "segmenter.iterations=100000")))
    page.fill("#run-seed", "3")
    page.get_by_role("button", name="Start run").click()

    expect(page.locator(".run h1")).to_have_text(CLASSES.replace(",", ", "))
    expect(page.locator(".status")).to_have_text("Running", timeout=STAGE_MS)
    job_id = page.url.rsplit("/", 1)[1]
    job = httpx.get(f"{server.url}/v1/jobs/{job_id}").raise_for_status().json()
    assert job["spec"]["classes"] == CLASSES.split(",")
    assert job["spec"]["seed"] == 3

    images = page.locator('.stage[data-stage="images"]')
    wait_for_stage(page, "prompts", "done")
    wait_for_stage(page, "images", "going")
    expect(images.locator(".much")).to_have_text(re.compile("[0-9]+ of [0-9]+|working"))
    wait_for_stage(page, "images", "done")
    expect(images.locator(".bar")).to_have_attribute("aria-valuenow", "100")

    kept = httpx.get(f"{server.url}/v1/jobs/{job_id}/gallery").json()["data"]
    for place in (0, 1):
        expect(page.locator(f".shot >> nth={place}")).to_have_attribute("data-id", kept[place]["sample_id"], timeout=REFRESH_MS)
    page.locator(".shot img[src]").first.wait_for()
    page.locator(".shot").first.click()
    expect(page.locator("#viewer .words")).to_have_text(kept[0]["prompt"])
    expect(page.locator("#viewer img")).to_have_js_property("naturalWidth", kept[0]["width"])
    page.keyboard.press("ArrowRight")
    expect(page.locator("#viewer .words")).to_have_text(kept[1]["prompt"])
    page.keyboard.press("Escape")

    page.locator(".log summary").click()
    expect(page.locator(".log li").first).to_contain_text("run created")
    page.get_by_role("button", name="Stop run").click()
    expect(page.locator(".status")).to_have_text("Stopped", timeout=STAGE_MS)
    assert httpx.get(f"{server.url}/v1/jobs/{job_id}").json()["status"] == "cancelled"

    page.get_by_role("button", name="Forget").click()
    expect(page.locator("#new-run")).to_be_visible()
    expect(page.locator("#run-list")).to_contain_text("None yet")
    visitor.close()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("prompts.prompt_per_class=3", "prompts_per_class"),
        ("execution.address=auto", "leave it out"),
        ("images.width=wide", "whole number"),
    ],
)
def test_a_wrong_setting_is_refused_at_its_field(server: LiveServer, browser: Browser, settings: str, says: str) -> None:
    visitor = Visitor(browser, server.url)
    page = visitor.open("#runs")
    page.locator("#new-run summary").click()
    page.fill("#settings", settings)
    page.get_by_role("button", name="Start run").click()
    expect(page.locator("#new-run .problem, #new-run .notice")).to_contain_text(says)
    expect(page.locator("#settings")).to_have_value(settings)
    visitor.close()
