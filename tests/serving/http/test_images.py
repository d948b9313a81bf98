from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from serving.http.app import create_app
from serving.http.contracts import DeadlineExceeded, EngineUnavailable, ImageEvent, Overloaded
from serving.http.routes import images
from serving.state.keys import KeyStore, keys_path
from synthseg.config.schema import RunConfig
from synthseg.embedded.painter.engine import PainterEngine
from synthseg.engines.image import GeneratedImage, GenerationFailure, ImageRequest
from synthseg.engines.scorer import clip_score
from synthseg.ids import derive_seed
from synthseg.image_codec import decode_rgb
from tests.serving.http.live import serve
from tests.serving.http.local_backend import LocalBackend

PROMPT = "a red bus on a city street"
ROUTE = "/v1/images/generations"


def generate(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post(ROUTE, json={"prompt": PROMPT, **body})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def png(image: dict[str, Any]) -> bytes:
    return base64.b64decode(image["b64_json"])


def events(text: str) -> list[tuple[str, dict[str, Any]]]:
    """(name, data) of each event of a stream."""
    found = []
    for block in text.strip().split("\n\n"):
        name, data = block.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def engine_image(seed: int, size: int = 128, negative_prompt: str = "") -> bytes:
    """What a batch run's engine makes of the same request."""
    result = PainterEngine().generate([ImageRequest(PROMPT, seed, size, size, negative_prompt)])[0]
    assert isinstance(result, GeneratedImage)
    return result.encoded


def test_the_image_is_the_engine_s_own_byte_for_byte(client: TestClient) -> None:
    reply = generate(client, seed=11, size="96x96")
    assert png(reply["data"][0]) == engine_image(11, 96)
    assert reply["data"][0]["sha256"] == hashlib.sha256(engine_image(11, 96)).hexdigest()
    assert (reply["size"], reply["seed"], reply["data"][0]["seed"]) == ("96x96", 11, 11)


def test_the_first_of_several_has_the_seed_itself_and_each_other_one_a_seed_of_its_own(client: TestClient) -> None:
    images = generate(client, seed=11, n=3, size="64x64")["data"]
    assert [image["seed"] for image in images] == [11, derive_seed("image", 11, 1), derive_seed("image", 11, 2)]
    assert png(images[0]) == engine_image(11, 64)
    for image in images:
        assert generate(client, seed=image["seed"], size="64x64")["data"][0]["sha256"] == image["sha256"]
    assert len({image["sha256"] for image in images}) == 3


def test_a_seed_is_drawn_and_returned_when_none_is_given(client: TestClient) -> None:
    first, second = generate(client, size="64x64"), generate(client, size="64x64")
    assert first["seed"] != second["seed"]
    assert generate(client, seed=first["seed"], size="64x64")["data"] == first["data"]


def test_the_default_size_is_the_preset_s_and_a_batch_run_s_negative_prompt_holds(configure: Callable[..., RunConfig]) -> None:
    config = configure("images.negative_prompt=person")
    with TestClient(create_app(LocalBackend(config), None, config)) as client:
        reply = generate(client, seed=2)
        assert reply["size"] == "128x128"
        assert png(reply["data"][0]) == engine_image(2, 128, "person")
        assert png(generate(client, seed=2, negative_prompt="")["data"][0]) == engine_image(2, 128)


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        ({"output_format": "webp"}, "WEBP"),
        ({"output_format": "webp", "output_compression": 100}, "WEBP"),
        ({"output_format": "png"}, "PNG"),
    ],
)
def test_png_and_webp_lose_nothing(client: TestClient, asked: dict[str, Any], kind: str) -> None:
    image = generate(client, seed=4, size="64x64", **asked)["data"][0]
    with Image.open(io.BytesIO(png(image))) as opened:
        assert opened.format == kind
        pixels = np.asarray(opened.convert("RGB"))
    assert np.array_equal(pixels, cv2.imdecode(np.frombuffer(engine_image(4, 64), np.uint8), cv2.IMREAD_COLOR_RGB))
    assert image["sha256"] == hashlib.sha256(png(image)).hexdigest()


def test_jpeg_is_smaller_the_more_it_is_compressed_and_close_to_the_picture(client: TestClient) -> None:
    best, small = (png(generate(client, seed=4, output_format="jpeg", output_compression=q)["data"][0]) for q in (95, 30))
    assert len(small) < len(best)
    with Image.open(io.BytesIO(best)) as opened:
        assert opened.format == "JPEG"
        error = np.abs(np.asarray(opened, float) - cv2.imdecode(np.frombuffer(engine_image(4), np.uint8), cv2.IMREAD_COLOR_RGB))
    assert error.mean() < 3


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"prompt": ""}, "prompt", "invalid_value"),
        ({"prompt": None}, "prompt", "invalid_value"),
        ({"prompt": 3}, "prompt", "invalid_value"),
        ({"prompt": "colourless green ideas"}, "prompt", "unreadable_prompt"),
        ({"prompt": "x" * 4001}, "prompt", "invalid_value"),
        ({"negative_prompt": "x" * 4001}, "negative_prompt", "invalid_value"),
        ({"n": 0}, "n", "invalid_value"),
        ({"n": 11}, "n", "invalid_value"),
        ({"n": "2"}, "n", "invalid_value"),
        ({"n": True}, "n", "invalid_value"),
        ({"size": "big"}, "size", "invalid_value"),
        ({"size": "64x31"}, "size", "invalid_value"),
        ({"size": "2048x64"}, "size", "invalid_value"),
        ({"response_format": "png"}, "response_format", "invalid_value"),
        ({"output_format": "gif"}, "output_format", "invalid_value"),
        ({"output_compression": 50}, "output_compression", "invalid_value"),
        ({"output_format": "jpeg", "output_compression": 101}, "output_compression", "invalid_value"),
        ({"partial_images": 1}, "partial_images", "invalid_value"),
        ({"stream": True, "partial_images": 4}, "partial_images", "invalid_value"),
        ({"seed": -1}, "seed", "invalid_value"),
        ({"seed": 1 << 48}, "seed", "invalid_value"),
        ({"steps": 0}, "steps", "invalid_value"),
        ({"guidance_scale": -0.5}, "guidance_scale", "invalid_value"),
        ({"quality": "best"}, "quality", "invalid_value"),
        ({"style": "cubist"}, "style", "invalid_value"),
        ({"output_compression": 99}, "output_compression", "invalid_value"),
        ({"class_names": ["dragon"]}, "class_names", "invalid_value"),
        ({"colour": "red"}, "colour", "unknown_parameter"),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_field_named(client: TestClient, body: dict[str, Any], param: str, code: str) -> None:
    answer = client.post(ROUTE, content=json.dumps({"prompt": PROMPT, **body}), headers={"content-type": "application/json"})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"], error["type"]) == (400, param, code, "invalid_request_error")
    assert param in error["message"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"3", b'{"prompt": "a dog" "n": 1}', b"\xff\xfe", b'{"prompt": NaN}', b'{"\\ud800": 1}', b"[" * 50000]
)
def test_a_body_that_is_no_request_is_refused(client: TestClient, body: bytes) -> None:
    answer = client.post(ROUTE, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


def test_a_missing_prompt_is_named(client: TestClient) -> None:
    error = client.post(ROUTE, json={"n": 1}).json()["error"]
    assert (error["param"], error["code"]) == ("prompt", "missing_required_parameter")


def test_sizes_can_be_held_to_a_list(configure: Callable[..., RunConfig]) -> None:
    config = configure('serving.sizes=["64x64", "96x64"]')
    with TestClient(create_app(LocalBackend(config), None, config)) as client:
        assert generate(client, size="96x64")["size"] == "96x64"
        refused = client.post(ROUTE, json={"prompt": PROMPT, "size": "64x96"})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "size")


def test_a_model_that_is_not_served_is_not_found(client: TestClient) -> None:
    answer = client.post(ROUTE, json={"prompt": PROMPT, "model": "imagen-4"})
    assert (answer.status_code, answer.json()["error"]["code"], answer.json()["error"]["param"]) == (404, "model_not_found", "model")
    assert generate(client, model="painter", size="64x64")["model"] == "painter"


def test_parameters_that_the_engine_has_no_use_for_are_named_and_change_nothing(client: TestClient, backend: LocalBackend) -> None:
    reply = generate(client, seed=1, steps=30, guidance_scale=7)
    assert reply["ignored_parameters"] == ["steps", "guidance_scale"]
    assert png(reply["data"][0]) == engine_image(1)
    assert backend.image_calls[-1].parameters == {}


@pytest.mark.parametrize("model", ["dall-e-2", "dall-e-3", "gpt-image-1", "gpt-image-2.5-flare-2026-09-08", "", None])
def test_the_names_that_clients_send_by_themselves_are_the_first_image_model(client: TestClient, model: str | None) -> None:
    reply = generate(client, model=model, seed=1)
    assert reply["model"] == "painter"
    assert png(reply["data"][0]) == engine_image(1)


def test_aliases_are_a_setting(configure: Callable[..., RunConfig]) -> None:
    config = configure('serving.image_model_aliases=["studio-*"]', 'serving.text_model_aliases=["gpt-4o"]')
    with TestClient(create_app(LocalBackend(config), None, config)) as client:
        assert generate(client, model="studio-1", size="64x64")["model"] == "painter"
        assert client.post(ROUTE, json={"prompt": PROMPT, "model": "dall-e-3"}).status_code == 404
        ask = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1, "seed": 1}
        assert client.post("/v1/chat/completions", json={**ask, "model": "gpt-4o"}).json()["model"] == "template"
        assert client.post("/v1/chat/completions", json={**ask, "model": "studio-1"}).status_code == 404


def test_a_model_s_own_name_comes_before_an_alias(configure: Callable[..., RunConfig]) -> None:
    config = configure('serving.image_model_aliases=["t*"]')
    with TestClient(create_app(LocalBackend(config), None, config)) as client:
        found = [client.get(f"/v1/models/{name}").json() for name in ("template", "turbo")]
        assert [(model["root"], model["kind"]) for model in found] == [("template", "text"), ("painter", "image")]


def test_an_alias_can_be_retrieved_and_is_not_listed(client: TestClient) -> None:
    found = client.get("/v1/models/dall-e-3").json()
    assert (found["id"], found["root"], found["kind"]) == ("dall-e-3", "painter", "image")
    assert [(model["id"], model["root"]) for model in client.get("/v1/models").json()["data"]] == [
        ("painter", "painter"),
        ("template", "template"),
    ]
    assert client.get("/v1/models/imagen-4").status_code == 404


def test_a_name_of_dall_e_without_a_wish_gets_a_url_and_the_bytes(client: TestClient) -> None:
    """OpenAI gives those models' images as URLs by default, and LangChain reads nothing else; other clients read bytes everywhere."""
    (both,) = generate(client, model="dall-e-2", seed=1)["data"]
    assert client.get(both["url"]).content == png(both) == engine_image(1)
    (asked,) = generate(client, model="dall-e-2", seed=1, response_format="b64_json")["data"]
    assert "url" not in asked
    (later,) = generate(client, model="gpt-image-1", seed=1)["data"]
    assert "url" not in later


@pytest.mark.parametrize(
    "given",
    [
        *({"quality": value} for value in ("auto", "low", "medium", "high", "xhigh", "max", "standard", "hd")),
        {"style": "vivid"}, {"style": "natural"}, {"background": "transparent"}, {"background": "opaque"}, {"moderation": "low"},
        {"complexity": "high"}, {"user": "u-1"}, {"safety_identifier": "u-1"}, {"quality": "hd", "style": "vivid", "user": "u-1"},
    ],
)  # fmt: skip
def test_what_every_client_may_send_and_no_engine_has_a_use_for_is_accepted_and_named(client: TestClient, given: dict[str, str]) -> None:
    reply = generate(client, seed=1, **given)
    assert reply["ignored_parameters"] == list(given)
    assert png(reply["data"][0]) == engine_image(1)


def test_ignored_parameters_and_usage_are_told_in_a_stream_too(client: TestClient) -> None:
    answer = client.post(ROUTE, json={"prompt": PROMPT, "seed": 1, "stream": True, "style": "vivid", "size": "64x64"})
    (completed,) = (json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line.startswith("data: "))
    assert completed["ignored_parameters"] == ["style"]
    assert completed["usage"] == generate(client, size="64x64")["usage"]


def test_png_takes_the_one_compression_that_loses_nothing(client: TestClient) -> None:
    assert png(generate(client, seed=1, output_compression=100)["data"][0]) == engine_image(1)


def test_usage_counts_words_and_patches(client: TestClient) -> None:
    usage = generate(client, prompt="a cat, and a dog", n=2, size="64x40")["usage"]
    assert usage == {
        "input_tokens": 12,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": 12},
        "output_tokens": 24,
        "output_tokens_details": {"image_tokens": 24, "text_tokens": 0},
        "total_tokens": 36,
    }


def test_a_picture_is_scored_when_that_is_asked_for(client: TestClient, backend: LocalBackend) -> None:
    assert backend.scorer.digest  # loaded, as a server does before it is ready
    (image,) = generate(client, seed=1, score=True)["data"]
    assert image["clip_score"] == round(clip_score(backend.scorer, PROMPT, png(image)), 4)
    (text,), (pixels,) = backend.scorer.embed_texts([PROMPT]), backend.scorer.embed_images([decode_rgb(png(image))])
    assert image["clip_score"] == pytest.approx(float(np.dot(text, pixels)), abs=1e-4)
    (same,) = generate(client, seed=1, score=True, output_format="jpeg")["data"]
    assert same["clip_score"] == image["clip_score"]  # of what was painted, not of its copy
    assert "clip_score" not in generate(client, seed=1)["data"][0]
    answer = client.post(ROUTE, json={"prompt": PROMPT, "seed": 1, "stream": True, "score": True})
    assert events(answer.text)[-1][1]["clip_score"] == image["clip_score"]


@pytest.mark.parametrize("fault", [EngineUnavailable("gone"), Overloaded(1.0, 9), DeadlineExceeded(), None])
def test_a_picture_waits_for_no_score(
    client: TestClient, backend: LocalBackend, monkeypatch: pytest.MonkeyPatch, fault: Exception | None
) -> None:
    async def absent(*_: Any, **__: Any) -> float:
        if fault:
            raise fault
        await asyncio.Event().wait()
        return 1.0

    monkeypatch.setattr(backend, "score", absent)
    monkeypatch.setattr(images, "SCORE_WAIT_S", 0.1)
    (image,) = generate(client, seed=1, score=True)["data"]
    assert png(image) == engine_image(1)
    assert "clip_score" not in image


def test_other_engines_get_steps_and_guidance(configure: Callable[..., RunConfig]) -> None:
    config = configure()
    backend = LocalBackend(config)
    images = config.images.model_copy(update={"engine": "diffusers", "parameters": {"steps": 20, "scheduler": "x"}})
    with TestClient(create_app(backend, None, config.model_copy(update={"images": images}))) as client:
        assert generate(client, steps=5, guidance_scale=3.5, size="64x64")["ignored_parameters"] == []
    assert backend.image_calls[-1].parameters == {"steps": 5, "scheduler": "x", "guidance_scale": 3.5}


def test_class_names_come_back_canonical_and_refine_must_keep_them(client: TestClient) -> None:
    reply = generate(client, class_names=["airplane", "Bus"], size="64x64")
    assert reply["class_names"] == ["aeroplane", "bus"]
    assert "revised_prompt" not in reply["data"][0]


def test_refine_paints_and_returns_the_agent_s_wording(client: TestClient, backend: LocalBackend) -> None:
    reply = generate(client, prompt="bus", class_names=["bus"], refine=True, seed=5, size="64x64")
    revised = reply["data"][0]["revised_prompt"]
    assert backend.image_calls[-1].prompt == revised
    assert "bus" in revised
    assert (revised == "bus") == ("refine_note" in reply)


def test_a_stream_shows_previews_and_ends_with_the_same_image(client: TestClient) -> None:
    answer = client.post(ROUTE, json={"prompt": PROMPT, "seed": 6, "stream": True, "partial_images": 2})
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = events(answer.text)
    names = [name for name, _ in found]
    assert names == ["image_generation.partial_image", "image_generation.completed"]
    assert all(data["type"] == name for name, data in found)
    partial, completed = (data for _, data in found)
    assert partial["partial_image_index"] == 0
    assert partial["b64_json"] != completed["b64_json"]
    assert png(completed) == engine_image(6)
    assert {key: completed[key] for key in ("size", "output_format", "seed", "safety")} == {
        "size": "128x128",
        "output_format": "png",
        "seed": 6,
        "safety": "ok",
    }


def test_a_stream_of_several_says_which_image_each_event_is_about(client: TestClient) -> None:
    answer = client.post(ROUTE, json={"prompt": PROMPT, "seed": 6, "stream": True, "n": 3, "size": "64x64", "response_format": "url"})
    found = {data["image_index"]: data for _, data in events(answer.text)}
    assert sorted(found) == [0, 1, 2]
    assert client.get(found[0]["url"]).content == engine_image(6, 64)


def test_a_refusal_before_the_first_event_is_an_http_error(client: TestClient) -> None:
    answer = client.post(ROUTE, json={"prompt": "colourless ideas", "stream": True})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "prompt")


def test_a_url_leads_to_the_bytes(client: TestClient) -> None:
    image = generate(client, seed=7, size="64x64", response_format="url", output_format="webp")["data"][0]
    assert "b64_json" not in image
    found = client.get(image["url"])
    assert (found.status_code, found.headers["content-type"]) == (200, "image/webp")
    assert hashlib.sha256(found.content).hexdigest() == image["sha256"]
    assert found.headers["cache-control"].startswith("private")


def test_urls_start_with_the_configured_address(configure: Callable[..., RunConfig]) -> None:
    config = configure("serving.public_url=https://images.example.org/")
    with TestClient(create_app(LocalBackend(config), None, config)) as client:
        url = generate(client, size="64x64", response_format="url")["data"][0]["url"]
    assert url.startswith("https://images.example.org/v1/files/")


def test_many_images_share_batches_and_batching_changes_none(client: TestClient, backend: LocalBackend) -> None:
    together = generate(client, seed=8, n=8, size="64x64")["data"]
    assert max(backend.batch_sizes) > 1
    alone = [generate(client, seed=image["seed"], size="64x64")["data"][0]["sha256"] for image in together]
    assert alone == [image["sha256"] for image in together]


class Judged(LocalBackend):
    """Gives each image of a request the verdict, or the failure, that the test wants."""

    verdicts: tuple[str | GenerationFailure, ...] = ()

    async def images(self, *args: Any, **kwargs: Any) -> AsyncIterator[ImageEvent]:
        async for event in super().images(*args, **kwargs):
            verdict = self.verdicts[event.index]
            if isinstance(verdict, str) and isinstance(event.result, GeneratedImage):
                yield replace(event, result=replace(event.result, safety=verdict))
            else:
                yield replace(event, result=verdict)


@pytest.fixture
def judged(configure: Callable[..., RunConfig]) -> Iterator[tuple[TestClient, Judged]]:
    backend = Judged(configure())
    with TestClient(create_app(backend, None, backend.config)) as client:
        yield client, backend


def test_an_unsafe_image_is_withheld_and_its_category_told(judged: tuple[TestClient, Judged]) -> None:
    client, backend = judged
    backend.verdicts = ("ok", "violence")
    safe, unsafe = generate(client, n=2, size="64x64")["data"]
    assert safe["safety"] == "ok"
    assert png(safe)
    assert set(unsafe) == {"seed", "safety"}
    assert unsafe["safety"] == "violence"


def test_a_request_whose_images_are_all_unsafe_is_refused(judged: tuple[TestClient, Judged]) -> None:
    client, backend = judged
    backend.verdicts = ("violence",)
    refused = client.post(ROUTE, json={"prompt": PROMPT, "size": "64x64"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "content_policy_violation")


@pytest.mark.parametrize(
    ("failure", "status", "code", "param"),
    [
        (GenerationFailure("out of memory", retryable=True), 503, "engine_failed", None),
        (GenerationFailure("prompt: too odd", retryable=False), 400, "unreadable_prompt", "prompt"),
        (GenerationFailure("width: 33 is odd", retryable=False), 400, "invalid_value", "size"),
    ],
)
def test_a_failed_image_fails_its_request(
    judged: tuple[TestClient, Judged], failure: GenerationFailure, status: int, code: str, param: str | None
) -> None:
    client, backend = judged
    backend.verdicts = (failure, failure)
    error = (answer := client.post(ROUTE, json={"prompt": PROMPT, "n": 2, "size": "64x64"})).json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (status, code, param)


def key_for(config: RunConfig, image_seconds_per_min: float) -> dict[str, str]:
    key = KeyStore(keys_path(config.serving)).add("alice", image_seconds_per_min=image_seconds_per_min)
    return {"authorization": f"Bearer {key}"}


def test_images_under_way_count_against_the_key_s_engine_seconds(configure: Callable[..., RunConfig]) -> None:
    config = configure()
    backend, token = LocalBackend(config), key_for(config, 3.0)

    async def scenario() -> None:
        transport = httpx.ASGITransport(create_app(backend, None, config))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=token) as client:
            backend.gate.close()
            asked = [asyncio.create_task(client.post(ROUTE, json={"prompt": PROMPT, "size": "64x64"})) for _ in range(5)]
            while sum(task.done() for task in asked) < 2:
                await asyncio.sleep(0.01)
            backend.gate.open()
            assert sorted([answer.status_code for answer in await asyncio.gather(*asked)]) == [200, 200, 200, 429, 429]

    asyncio.run(scenario())


@pytest.mark.parametrize(("previews", "left"), [(1, 4.0), (0, 5.0)])
def test_one_who_leaves_pays_for_what_was_shown(configure: Callable[..., RunConfig], previews: int, left: float) -> None:
    """Of 6 s, the second that is reserved for an image while no pace is known is kept, or given back; the last request reserves its own."""
    preview = GeneratedImage(engine_image(1, 64), 64, 64)
    closed = threading.Event()

    class Unfinished(LocalBackend):
        async def images(
            self, requests: Sequence[ImageRequest], *, previews: int, deadline_s: float, tenant: str = ""
        ) -> AsyncIterator[ImageEvent]:
            try:
                if previews:
                    yield ImageEvent(0, preview, final=False)
                await asyncio.Event().wait()
            finally:
                closed.set()

    config = configure("serving.deadline_s=0.3")
    token = key_for(config, 6.0)
    body = {"prompt": PROMPT, "size": "64x64", "stream": True}
    with serve(create_app(Unfinished(config), None, config)) as address, httpx.Client(base_url=address, headers=token) as client:
        if previews:
            with client.stream("POST", ROUTE, json={**body, "partial_images": previews}) as answer:
                assert next(answer.iter_lines()) == "event: image_generation.partial_image"
        else:
            assert client.post(ROUTE, json=body).status_code == 504
        assert closed.wait(10)
        time.sleep(0.1)  # the settlement follows
        last = client.post(ROUTE, json=body)
    assert float(last.headers["x-ratelimit-remaining-image-seconds"]) == pytest.approx(left, abs=0.5)
