from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

import serving.http
from serving.http.app import create_app
from synthseg.config.loading import load_config, preset_names
from tests.serving.conftest import Configure
from tests.serving.http.local_backend import LocalBackend

PAGE = Path(serving.http.__file__).parent / "page"
SCRIPTS = sorted(PAGE.glob("*.js"))


def scripts_of(html: str) -> list[str]:
    """Text of every script that a page loads, directly or by import."""
    wanted = re.findall(r'src="page/([\w.]+)"', html)
    found: dict[str, str] = {}
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = (PAGE / name).read_text(encoding="utf-8")
            wanted += re.findall(r'from "\./([\w.]+)"', found[name])
    return list(found.values())


@pytest.fixture
def offer(client: TestClient) -> dict[str, object]:
    found: dict[str, object] = client.get("/page/config.json").json()
    return found


def test_the_page_is_html_that_may_load_its_own_files_only(client: TestClient) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"


@pytest.mark.parametrize("page", ["index.html", "docs.html"])
def test_nothing_in_the_html_needs_a_weaker_policy(page: str) -> None:
    html = (PAGE / page).read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]*\bsrc=)", html)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=", html)


@pytest.mark.parametrize("path", sorted(PAGE.iterdir()), ids=lambda path: path.name)
def test_no_file_asks_another_host(path: Path) -> None:
    hosts = set(re.findall(r"(?:https?:)?//[a-z0-9][\w.-]*\.[a-z]{2,}", path.read_text(encoding="utf-8")))
    assert hosts <= {"http://www.w3.org"}  # the name of the SVG namespace


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_never_turn_text_into_markup_or_code(script: Path) -> None:
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", script.read_text(encoding="utf-8")
    )


def test_every_file_that_the_page_names_is_served(client: TestClient) -> None:
    names = set(re.findall(r'"page/([\w.]+)"', "".join(path.read_text(encoding="utf-8") for path in (*SCRIPTS, *PAGE.glob("*.html")))))
    names |= {name for script in SCRIPTS for name in re.findall(r'from "\./([\w.]+)"', script.read_text(encoding="utf-8"))}
    assert {"app.js", "style.css", "api.js"} <= names
    for name in names:
        assert client.get(f"/page/{name}").status_code == 200, name


@pytest.mark.parametrize("page", ["index.html", "docs.html"])
def test_every_element_that_a_script_asks_for_exists(page: str) -> None:
    html = (PAGE / page).read_text(encoding="utf-8")
    ids = {name for script in scripts_of(html) for name in re.findall(r'byId\("([\w-]+)"\)', script)}
    assert ids
    assert {name for name in ids if f'id="{name}"' not in html} == set()


@pytest.mark.parametrize("name", ["..%2fapp.py", "%2e%2e%2froutes%2fpage.py", "index.html.bak", ".", "missing.js", "__init__.py"])
def test_only_the_pages_own_files_can_be_asked_for(client: TestClient, name: str) -> None:
    answer = client.get(f"/page/{name}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


def test_a_browser_that_has_a_file_gets_no_second_copy(client: TestClient) -> None:
    first = client.get("/page/app.js")
    assert first.headers["content-type"] == "text/javascript; charset=utf-8"
    again = client.get("/page/app.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = client.get("/page/style.css", headers={"if-none-match": first.headers["etag"]})
    assert other.status_code == 200


def test_the_page_is_no_part_of_the_api_description(app: FastAPI) -> None:
    assert not [path for path in app.openapi()["paths"] if path in ("/", "/docs") or path.startswith("/page")]


def test_every_size_and_number_on_offer_is_accepted(client: TestClient, offer: dict[str, object]) -> None:
    sizes = offer["sizes"]
    assert isinstance(sizes, list)
    assert offer["default_size"] in sizes
    for size in sizes:
        answer = client.post("/v1/images/generations", json={"prompt": "a cat", "size": size, "seed": 1})
        assert answer.status_code == 200, answer.text
    too_many = {"prompt": "a cat", "size": sizes[0], "n": int(str(offer["max_images"])) + 1}
    assert client.post("/v1/images/generations", json=too_many).json()["error"]["param"] == "n"


def test_every_example_can_be_painted(client: TestClient, offer: dict[str, object]) -> None:
    examples = offer["examples"]
    assert isinstance(examples, list)
    for prompt in examples:
        answer = client.post("/v1/images/generations", json={"prompt": prompt, "size": "64x64", "seed": 1})
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("settings", "sizes"),
    [
        (['serving.sizes=["96x96", "64x64"]'], ["96x96", "64x64"]),
        (["serving.max_side_px=256"], ["128x128", "256x256"]),
        (["serving.max_pixels=20000"], ["128x128"]),
        (["serving.min_side_px=1000"], ["1024x1024"]),
        (["serving.max_side_px=100", "images.width=96", "images.height=64"], ["96x64"]),
    ],
)
def test_sizes_follow_the_servers_limits(configure: Configure, settings: list[str], sizes: list[str]) -> None:
    config = configure(*settings)
    with TestClient(create_app(LocalBackend(config), None, config)) as client:
        offer = client.get("/page/config.json").json()
    assert offer["sizes"] == sizes
    assert offer["default_size"] == sizes[0]


def test_the_offer_names_the_presets_with_their_classes(offer: dict[str, object]) -> None:
    presets = offer["presets"]
    assert isinstance(presets, list)
    assert [preset["name"] for preset in presets] == list(preset_names())
    embedded = presets[0]
    assert embedded["classes"] == list(load_config("embedded").classes)
    assert set(embedded["classes"]) < set(embedded["choices"])
    assert offer["jobs"] is False
