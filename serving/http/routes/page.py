"""`GET /`: the page to type a prompt, see its images, and start and watch runs; `GET /docs`: the API reference.

Static files, and one JSON of what this server offers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from serving.http.deps import Deps
from serving.http.errors import not_found
from synthseg.config.loading import load_config, preset_names
from synthseg.taxonomy import taxonomy

MAX_IMAGES: Final = 10
"""Most images of one request, as OpenAI's API has it."""
SIZES: Final = ("128x128", "256x256", "384x384", "512x512", "768x512", "512x768", "768x768", "1024x1024")
"""What the page offers, within the server's limits, where every size is accepted."""
PREFERRED_SIZE: Final = "512x512"
EXAMPLES: Final = (
    "a red bus on a city street at dusk",
    "a black cat on a sofa by the window",
    "two sailboats on a calm lake at sunrise",
    "three sheep on a green hill",
)
"""Prompts to begin with; the embedded painter reads them too."""

CAVEATS: Final[Mapping[str, str]] = {
    "painter": "The painter knows some classes, colors, counts and places, and skips other words.",
    "diffusers": "A diffusion model may leave out or miscount things: try another seed or plainer words.",
}
"""Why a picture may lack what was asked, by image engine."""

_TYPES: Final[Mapping[str, str]] = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
REFERENCE_FOLDER: Final = "/docs/"
"""Not the same as /docs to the relative links of the page there."""
_INDEX, _REFERENCE = "index.html", "docs.html"


@dataclass(frozen=True, slots=True)
class _Asset:
    content: bytes
    media_type: str
    etag: str


def router(deps: Deps) -> APIRouter:
    """The page. Its files are read once, here; only their names can be asked for, so that no path reaches the disk."""
    assets = _read_assets()
    offer = page_config(deps)
    routes = APIRouter(include_in_schema=False)

    @routes.get("/")
    async def page(request: Request) -> Response:
        return _answer(request, assets[_INDEX])

    @routes.get("/docs")
    async def reference(request: Request) -> Response:
        return _answer(request, assets[_REFERENCE])

    @routes.get(REFERENCE_FOLDER)
    async def reference_folder() -> Response:
        return RedirectResponse("../docs")

    @routes.get("/page/config.json")
    async def config() -> Response:
        return JSONResponse(offer, headers={"cache-control": "no-store"})

    @routes.get("/page/{name}")
    async def asset(request: Request, name: str) -> Response:
        found = assets.get(name)
        if found is None or name in (_INDEX, _REFERENCE):
            raise not_found(f"The page has no file '{name}'.")
        return _answer(request, found)

    return routes


def page_config(deps: Deps) -> dict[str, Any]:
    """What the page offers to choose from. Nothing in it needs a key to be known."""
    sizes = offered_sizes(deps)
    return {
        "sizes": sizes,
        "default_size": PREFERRED_SIZE if PREFERRED_SIZE in sizes else sizes[0],
        "max_images": MAX_IMAGES,
        "examples": EXAMPLES,
        "caveat": CAVEATS.get(deps.config.images.engine, CAVEATS["diffusers"]),
        "jobs": deps.jobs is not None,
        "classes": [info.name for info in taxonomy(deps.config.taxonomy).classes],
        "presets": [_preset(name) for name in preset_names()],
    }


def _preset(name: str) -> dict[str, Any]:
    """A preset with the classes it takes by itself and those one may choose from."""
    config = load_config(name)
    return {"name": name, "classes": list(config.classes), "choices": [info.name for info in taxonomy(config.taxonomy).classes]}


def offered_sizes(deps: Deps) -> list[str]:
    """Sizes as WIDTHxHEIGHT, smallest first: the configured ones, or those of `SIZES` that the limits allow, or the run's own."""
    serving = deps.serving
    if serving.sizes:
        return list(serving.sizes)

    def allowed(size: str) -> bool:
        width, height = map(int, size.split("x"))
        return (
            serving.min_side_px <= min(width, height) and max(width, height) <= serving.max_side_px and width * height <= serving.max_pixels
        )

    images = deps.config.images
    return [size for size in SIZES if allowed(size)] or [f"{images.width}x{images.height}"]


def _read_assets() -> dict[str, _Asset]:
    folder = resources.files("serving.http").joinpath("page")
    assets = {}
    for file in folder.iterdir():
        media_type = _TYPES.get(file.name[file.name.rfind(".") :])
        if media_type is not None:
            content = file.read_bytes()
            assets[file.name] = _Asset(content, media_type, f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"')
    return assets


def _answer(request: Request, asset: _Asset) -> Response:
    """The file, or 304 where the browser has it. It always asks, so that a new version of the server is a new page at once."""
    headers = {"etag": asset.etag, "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == asset.etag:
        return Response(status_code=304, headers=headers)
    return Response(asset.content, media_type=asset.media_type, headers=headers)
