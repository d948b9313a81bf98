"""The page in a real browser, over the real application and painter."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from serving.http.app import create_app
from serving.http.contracts import EngineUnavailable
from serving.jobs.runner import Found
from serving.jobs.service import RayJobService
from serving.state.keys import KeyStore, keys_path
from synthseg.config import load_config
from synthseg.config.schema import RunConfig
from synthseg.embedded.painter.engine import PainterEngine
from synthseg.engines.image import ImageRequest
from synthseg.engines.scorer import clip_score
from synthseg.ids import derive_seed
from synthseg.store.run_folder import RunFolder
from tests.e2e.browser import Visitor, open_browser
from tests.serving.http.live import serve
from tests.serving.http.local_backend import LocalBackend
from tests.serving.jobs.fakes import FakeRunner
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.server]

PROMPT = "a red bus on a city street at dusk"
Visit = Callable[..., Visitor]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    return load_config("embedded", ["prompts.engine=template", f"serving.state_dir={tmp_path / 'state'}"])


@pytest.fixture
def backend(config: RunConfig) -> LocalBackend:
    backend = LocalBackend(config)
    assert backend.scorer.digest  # loaded before the first picture, as a server does
    return backend


@pytest.fixture
def address(backend: LocalBackend) -> Iterator[str]:
    with serve(create_app(backend, None, backend.config)) as address:
        yield address


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Visit]:
    visitors: list[Visitor] = []

    def start(*, phone: bool = False, dark: bool = False) -> Visitor:
        visitors.append(Visitor(browser, address, phone=phone, dark=dark))
        return visitors[-1]

    yield start
    for visitor in visitors:
        visitor.close()


def with_image(config: RunConfig, **settings: int) -> RunConfig:
    """`config` with these settings of serving.image."""
    image = config.serving.image.model_copy(update=settings)
    return config.model_copy(update={"serving": config.serving.model_copy(update={"image": image})})


@pytest.fixture
def refused(browser: Browser, config: RunConfig) -> Iterator[Page]:
    """The page after a server whose queue holds one request has refused ten images."""
    small = with_image(config, max_batch_size=1, max_queued_requests=1)
    with serve(create_app(LocalBackend(small), None, small)) as address:
        visitor = Visitor(browser, address)
        page = visitor.open()
        generate(page, size="128x128", n="10", seed="1")
        yield page
        visitor.close()


def generate(page: Page, prompt: str = PROMPT, **fields: str) -> None:
    page.fill("#prompt", prompt)
    for name, value in fields.items():
        if name == "size":
            page.select_option("#size", value)
        else:
            page.fill(f"#{name}", value)
    page.click("#generate")


def pixels_of(page: Page, selector: str) -> bytes:
    """RGBA bytes of the picture that is shown."""
    script = """async (image) => {
      await image.decode();
      const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
      canvas.getContext("2d").drawImage(image, 0, 0);
      const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
      let text = "";
      for (const value of pixels) text += String.fromCharCode(value);
      return btoa(text);
    }"""
    return base64.b64decode(page.locator(selector).first.evaluate(script))


def test_a_prompt_becomes_the_image_of_its_seed(visit: Visit) -> None:
    page = visit().open()
    expect(page.locator("#state")).to_have_text("ready")
    generate(page, size="256x256", n="1", seed="7")
    page.locator(".tile.done").wait_for()
    expect(page.locator(".set h2")).to_have_text(PROMPT)
    expect(page.locator(".set .facts")).to_contain_text("1 image in")

    image = PainterEngine().generate([ImageRequest(PROMPT, 7, 256, 256)])[0]
    page.locator(".tile.done .open").click()
    expect(page.locator("#viewer dl")).to_contain_text(hashlib.sha256(image.encoded).hexdigest())
    shown = pixels_of(page, "#viewer img")
    assert len(shown) == 256 * 256 * 4
    assert shown == rgba(image.encoded)


def rgba(png: bytes) -> bytes:
    return Image.open(io.BytesIO(png)).convert("RGBA").tobytes()


def test_previews_come_before_images_and_every_tile_is_filled(visit: Visit) -> None:
    page = visit().open()
    seen = page.evaluate_handle(
        """() => {
          const kinds = [];
          new MutationObserver(() => {
            for (const tag of document.querySelectorAll(".tile .tag")) {
              const kind = tag.textContent.split(" ")[0];
              if (!kinds.includes(kind)) kinds.push(kind);
            }
          }).observe(document.getElementById("canvas"), { subtree: true, childList: true });
          return kinds;
        }"""
    )
    generate(page, size="512x512", n="3", seed="3")
    expect(page.locator(".tile.done")).to_have_count(3)
    assert seen.json_value() == ["preview", "seed"]
    assert len({pixels_of(page, f".tile:nth-child({index}) .open img") for index in (1, 2, 3)}) == 3


def test_a_clock_that_ticks_is_not_read_aloud(visit: Visit) -> None:
    """Every text that a screen reader is told while images come, in order."""
    page = visit().open()
    told = page.evaluate_handle(
        """() => {
          const told = [];
          const live = "[aria-live]:not([aria-live=off]), [role=status], [role=alert]";
          new MutationObserver((changes) => {
            for (const { target } of changes) {
              const node = target.nodeType === Node.TEXT_NODE ? target.parentElement : target;
              const region = node?.closest(live);
              if (region && region.id !== "state") told.push(region.textContent);
            }
          }).observe(document.body, { subtree: true, childList: true, characterData: true });
          return told;
        }"""
    )
    generate(page, size="512x512", n="3", seed="3")
    expect(page.locator(".set .facts")).to_contain_text("3 images in")
    first, last = told.json_value()
    assert first == "Painting 3 images."
    assert re.fullmatch(r"3 images in [0-9.]+ s\.", last)


def test_the_wait_of_a_notice_counts_down_outside_of_what_is_read_aloud(refused: Page) -> None:
    expect(refused.locator(".notice [role=alert]")).to_contain_text("The server is busy")
    expect(refused.locator(".notice button")).to_have_count(1)
    expect(refused.locator(".notice [role=alert] button")).to_have_count(0)


def test_seeds_are_whole_on_a_phone(visit: Visit) -> None:
    page = visit(phone=True).open()
    generate(page, size="128x128", n="6", seed=str((1 << 48) - 1))
    expect(page.locator(".tile.done")).to_have_count(6)
    for tag in page.locator(".tile .tag").all():
        expect(tag).to_be_visible()
        seed = tag.text_content()
        assert re.fullmatch(r"seed \d+", seed or "")
        assert tag.evaluate("node => node.scrollWidth <= node.clientWidth && node.scrollHeight <= node.clientHeight"), seed
        inside = "node => [node.getBoundingClientRect(), node.parentElement.getBoundingClientRect()].map((box) => [box.left, box.right])"
        (left, right), (edge, end) = tag.evaluate(inside)
        assert edge <= left < right <= end, seed


def test_each_picture_has_its_clip_score_and_one_line_says_why_it_may_lack_things(visit: Visit, backend: LocalBackend) -> None:
    page = visit().open()
    generate(page, size="256x256", n="2", seed="7")
    expect(page.locator(".tile.done")).to_have_count(2)
    shown = [float(text) for text in page.locator(".tile .score").all_text_contents()]
    pictures = PainterEngine().generate([ImageRequest(PROMPT, seed, 256, 256) for seed in (7, derive_seed("image", 7, 1))])
    assert shown == [round(clip_score(backend.scorer, PROMPT, image.encoded), 3) for image in pictures]
    expect(page.locator(".caveat")).to_have_text(re.compile("^CLIP score: how near .+ The painter knows .+"))
    page.locator(".tile .open").first.click()
    expect(page.locator("#viewer dl")).to_contain_text(f"CLIP score{shown[0]:.3f}")


def test_a_picture_without_a_score_shows_none(visit: Visit, backend: LocalBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    async def absent(*_: object, **__: object) -> float:
        raise EngineUnavailable("no scorer")

    monkeypatch.setattr(backend, "score", absent)
    page = visit().open()
    generate(page, size="128x128", n="1", seed="7")
    page.locator(".tile.done").wait_for()
    expect(page.locator(".tile .score")).to_have_count(0)


def test_a_prompt_the_painter_cannot_read_is_marked_with_the_reason(visit: Visit) -> None:
    page = visit().open()
    generate(page, "hello world")
    problem = page.locator("#prompt-problem")
    expect(problem).to_be_visible()
    expect(problem).to_contain_text("Names no class and no place")
    expect(page.locator("#prompt")).to_have_attribute("aria-invalid", "true")
    expect(page.locator(".set")).to_have_count(0)
    page.fill("#prompt", "a cat")
    expect(problem).to_have_count(0)


@pytest.mark.parametrize(
    ("field", "value", "says"), [("n", "11", "10"), ("seed", "-1", "0"), ("seed", "many", "number"), ("steps", "0", "1")]
)
def test_a_wrong_number_is_refused_at_its_field_and_never_bent(
    visit: Visit, backend: LocalBackend, field: str, value: str, says: str
) -> None:
    page = visit().open()
    page.locator("#composer summary", has_text="More settings").click()
    generate(page, **{field: value})
    expect(page.locator(f"#{field}-problem")).to_contain_text(says)
    expect(page.locator(f"#{field}")).to_have_value(value)
    assert backend.image_calls == []


def test_a_wrong_key_says_so_and_a_right_one_opens_the_door(visit: Visit, config: RunConfig) -> None:
    key = KeyStore(keys_path(config.serving)).add("visitor")
    page = visit().open()
    dialog = page.locator("#key-dialog")
    expect(dialog).to_be_visible()  # the server answers 401, so the page asks at once
    page.fill("#key", "sk-synthseg-wrong")
    page.click("#key-dialog [type=submit]")
    expect(page.locator("#key-problem")).to_have_text("The server does not accept this key.")
    page.click("#key-cancel")

    generate(page, size="128x128", n="1")
    expect(page.locator(".notice")).to_contain_text("A key is needed")
    page.click(".notice button")
    page.fill("#key", key)
    page.click("#key-dialog [type=submit]")
    expect(dialog).to_be_hidden()
    page.locator(".tile.done").wait_for()  # what was refused is tried again by itself
    assert page.evaluate("sessionStorage.getItem('synthseg-key')") == key
    assert key not in json.dumps(page.evaluate("({...localStorage})"))

    KeyStore(keys_path(config.serving)).revoke("visitor")
    generate(page, size="128x128", n="1")
    expect(page.locator(".notice").first).to_contain_text("Wrong key")


def test_a_key_that_no_header_can_carry_is_refused_in_words(visit: Visit) -> None:
    page = visit().open()
    page.click("#key-button")
    page.fill("#key", "ключ")
    page.click("#key-dialog [type=submit]")
    expect(page.locator("#key-problem")).to_have_text("A key has no such characters.")


def test_an_overloaded_server_is_said_to_be_busy_and_can_be_tried_again(refused: Page) -> None:
    notice = refused.locator('.notice[data-status="429"]')
    expect(notice).to_contain_text("The server is busy")
    refused.fill("#n", "1")
    button = notice.locator("button")
    expect(button).to_have_text(re.compile("Try again in [0-9]+ s"))
    expect(button).to_be_disabled()
    expect(button).to_have_text("Try again")


def test_stopping_frees_the_engine(browser: Browser, config: RunConfig) -> None:
    backend = LocalBackend(with_image(config, max_batch_size=1))
    with serve(create_app(backend, None, backend.config)) as address:
        visitor = Visitor(browser, address)
        page = visitor.open()
        generate(page, size="1024x1024", n="10", seed="1")
        page.locator(".tile.done").first.wait_for()
        backend.gate.close()
        assert backend.gate.reached.wait(20)
        painted = len(backend.image_calls)
        expect(page.locator("#generate")).to_have_text(re.compile("Stop"))
        page.click("#generate")
        expect(page.locator(".set .facts")).to_have_text("stopped")
        expect(page.locator(".tile:not(.done)")).to_have_count(0)
        until(lambda: backend.batcher.stats.queued == 0)
        backend.gate.open()
        generate(page, size="128x128", n="1", seed="2")
        page.locator(".set >> nth=0 >> .tile.done").wait_for()
        # One was in the engine when the visitor left; those behind it never reached it.
        assert [request.seed for request in backend.image_calls[painted + 1 :]] == [2]
        visitor.close()


def test_a_server_that_is_gone_is_named(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open()
    page.route("**/v1/**", lambda route: route.abort())
    generate(page)
    expect(page.locator(".notice")).to_contain_text("No answer")
    page.unroute("**/v1/**")
    page.select_option("#size", "128x128")
    page.click(".notice button")
    page.locator(".tile.done").first.wait_for()


def test_a_refined_prompt_is_shown(visit: Visit) -> None:
    page = visit().open()
    page.locator(".switch").first.click()
    generate(page, size="128x128", n="1", seed="5")
    page.locator(".tile.done").wait_for()
    expect(page.locator(".revised")).to_have_text(re.compile("Refined to .+|The agent found no better words"))


def test_the_command_line_gives_the_same_image(visit: Visit, address: str) -> None:
    visitor = visit()
    page = visitor.open()
    generate(page, "a horse on the farmer's 'green' field", size="128x128", n="1")
    page.locator(".tile.done .open").click()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy as curl").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    command = page.evaluate("navigator.clipboard.readText()")
    done = subprocess.run(["bash", "-c", f"{command} -sS"], capture_output=True, check=True, timeout=60)
    again = json.loads(done.stdout)["data"][0]
    expect(page.locator("#viewer dl")).to_contain_text(again["sha256"])


def test_a_finished_run_s_files_go_when_the_visitor_agrees_and_not_before(browser: Browser, config: RunConfig) -> None:
    runner = FakeRunner(Found("succeeded"))
    backend = LocalBackend(config)
    with serve(create_app(backend, RayJobService(config, runner, poll_s=0.05), config)) as address:
        job_url = f"{address}/v1/jobs/{httpx.post(f'{address}/v1/jobs', json={'classes': ['car']}).raise_for_status().json()['id']}"
        until(lambda: httpx.get(job_url).json()["status"] == "succeeded")
        (out,) = map(Path, runner.outs)
        RunFolder.create(str(out), *runner.configs.values())
        visitor = Visitor(browser, address)
        page = visitor.open(f"#runs/{job_url.rsplit('/', 1)[1]}")
        button = page.locator(".run .actions").get_by_role("button", name="Delete files")
        dialog = page.get_by_role("dialog", name="Delete the files of this run?")

        for leave in (lambda: page.keyboard.press("Escape"), lambda: dialog.get_by_role("button", name="Cancel").click()):
            button.click()
            expect(dialog).to_contain_text("All that the run “car” made leaves the server")
            expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
            leave()
            expect(dialog).to_be_hidden()
        assert out.is_dir()
        assert httpx.get(job_url).status_code == 200

        button.click()
        dialog.get_by_role("button", name="Delete files").click()
        expect(page.locator("#new-run")).to_be_visible()
        expect(page.locator("#run-list")).to_contain_text("None yet")
        assert not out.exists()
        assert httpx.get(job_url).status_code == 404
        visitor.close()


@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
@pytest.mark.parametrize("path", ["", "#runs", "docs"])
def test_nothing_is_wider_than_the_screen(visit: Visit, address: str, path: str, phone: bool) -> None:
    visitor = visit(phone=phone)
    page = visitor.page
    page.goto(f"{address}/{path}")
    page.locator({"": ".welcome", "#runs": "#new-run", "docs": ".operation"}[path]).first.wait_for()
    if not path:
        generate(page, "a cat, " + "x" * 300, size="128x128", n="1")
        page.locator(".tile.done, .problem").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_theme_follows_the_system_until_it_is_chosen(visit: Visit, dark: bool) -> None:
    page = visit(dark=dark).open()
    background = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(background)
    assert before == ("rgb(14, 17, 20)" if dark else "rgb(244, 245, 246)")
    page.click("#theme")
    chosen = page.evaluate(background)
    assert chosen != before
    page.reload()
    assert page.evaluate(background) == chosen


def test_the_reference_shows_every_route(visit: Visit, address: str) -> None:
    page = visit().page
    page.goto(f"{address}/docs")
    paths = httpx.get(f"{address}/openapi.json").json()["paths"]
    expect(page.locator(".operation")).to_have_count(sum(len(operations) for operations in paths.values()))
    for path in paths:
        expect(page.locator(".operation h2", has_text=path).first).to_be_visible()
    expect(page.locator("#post-v1-images-generations .entry", has_text="negative_prompt").first).to_be_visible()
