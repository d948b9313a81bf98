"""HTTP over the diffusers engine: sizes, settings and verdicts as clients meet them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from serving.http.app import create_app
from synthseg.config.schema import RunConfig
from synthseg.engines.image import GeneratedImage, ImageRequest
from synthseg.engines.registry import build_image_engine
from tests.serving.http.local_backend import LocalBackend

pytest.importorskip("diffusers", reason="needs the extra 'diffusion'")

from tests.tiny_diffusers import flux, stable_diffusion

ROUTE = "/v1/images/generations"
BODY = {"prompt": "a red bus on a city street", "size": "64x64", "seed": 5}


@contextmanager
def client_of(configure: Callable[..., RunConfig], folder: Path, *more: str) -> Iterator[tuple[TestClient, RunConfig]]:
    settings = ("images.engine=diffusers", f"images.model={folder}", "images.dtype=fp32", "images.width=64", "images.height=64")
    config = configure(*settings, "images.parameters={steps=3}", *more)
    backend = LocalBackend(config)
    with TestClient(create_app(backend, None, config)) as client:
        yield client, config


def refused(client: TestClient, **changes: Any) -> tuple[int, str, str]:
    answer = client.post(ROUTE, json={**BODY, **changes})
    error = answer.json()["error"]
    return answer.status_code, error["param"], error["message"]


def test_http_gives_the_engine_s_own_bytes_with_its_settings_mixed_in(configure: Callable[..., RunConfig], tmp_path: Path) -> None:
    with client_of(configure, stable_diffusion(tmp_path / "sd")) as (client, config):
        engine = build_image_engine(config)
        for asked, parameters in (
            ({}, {"steps": 3}),
            ({"guidance_scale": 2.5}, {"steps": 3, "guidance_scale": 2.5}),
            ({"steps": 2}, {"steps": 2}),
        ):
            reply = client.post(ROUTE, json={**BODY, **asked}).json()
            (expected,) = engine.generate([ImageRequest(BODY["prompt"], 5, 64, 64, "", parameters)])  # type: ignore[arg-type]
            assert isinstance(expected, GeneratedImage)
            assert base64.b64decode(reply["data"][0]["b64_json"]) == expected.encoded
            assert (reply["data"][0]["safety"], reply["ignored_parameters"]) == ("unchecked", [])


def test_a_stream_shows_previews(configure: Callable[..., RunConfig], tmp_path: Path) -> None:
    with client_of(configure, stable_diffusion(tmp_path / "sd")) as (client, _):
        text = client.post(ROUTE, json={**BODY, "steps": 6, "stream": True, "partial_images": 2}).text
        assert text.count("event: image_generation.partial_image") == 2
        assert text.count("event: image_generation.completed") == 1


def test_what_a_pipeline_cannot_do_names_the_field_of_the_request(configure: Callable[..., RunConfig], tmp_path: Path) -> None:
    with client_of(configure, flux(tmp_path / "flux")) as (client, _):
        assert refused(client, size="72x64")[:2] == (400, "size")
        assert "multiple of 16" in refused(client, size="72x64")[2]
        assert refused(client, negative_prompt="ugly")[:2] == (400, "negative_prompt")
        assert client.post(ROUTE, json=BODY).status_code == 200


def test_what_a_pipeline_would_pass_over_in_silence_is_refused(configure: Callable[..., RunConfig], tmp_path: Path) -> None:
    with client_of(configure, stable_diffusion(tmp_path / "sd")) as (client, _):
        for scale in (0.5, 1.0):
            status, param, message = refused(client, negative_prompt="ugly", guidance_scale=scale)
            assert (status, param) == (400, "negative_prompt")
            assert f"guidance_scale = {scale}" in message
        assert client.post(ROUTE, json={**BODY, "negative_prompt": "ugly", "guidance_scale": 1.5}).status_code == 200
        assert refused(client, size="60x64")[:2] == (400, "size")


def test_a_prompt_longer_than_the_encoder_reads_is_told_of(configure: Callable[..., RunConfig], tmp_path: Path) -> None:
    with client_of(configure, stable_diffusion(tmp_path / "sd")) as (client, _):
        whole, cut = (client.post(ROUTE, json={**BODY, "prompt": " ".join("x" * number)}).json()["data"][0] for number in (75, 80))
        assert "cut_tokens" not in whole
        assert cut["cut_tokens"] == 5


def test_an_unsafe_image_is_withheld_with_its_category(configure: Callable[..., RunConfig], tmp_path: Path) -> None:
    with client_of(configure, stable_diffusion(tmp_path / "sd", safety_threshold=-2.0)) as (client, _):
        status, param, message = refused(client, n=2)
        assert (status, param) == (400, "prompt")
        assert "withheld as nsfw" in message
