"""The embedded image engine: the procedural painter behind the diffusion protocol."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np

import synthseg.embedded.scenes
from synthseg.embedded.painter.preview import paint_empty_scene
from synthseg.embedded.scenes.painter import paint
from synthseg.engines.image import UNWANTED, GeneratedImage, GenerationFailure, ImageRequest, IsWanted, ShowPreview
from synthseg.errors import UsageProblem
from synthseg.image_codec import encode_png


class PainterEngine:
    """Paints each prompt from (prompt, seed, size, negative prompt); PNG bytes."""

    def __init__(self) -> None:
        cv2.setNumThreads(1)
        self.digest = painter_digest()

    def generate(self, requests: Sequence[ImageRequest]) -> list[GeneratedImage | GenerationFailure]:
        """One PNG a request; a prompt the painter cannot read fails alone and for good."""
        return [self._paint(request) for request in requests]

    def generate_with_previews(
        self,
        requests: Sequence[ImageRequest],
        num_previews: Sequence[int],
        show: ShowPreview,
        is_wanted: IsWanted = lambda _: True,
    ) -> list[GeneratedImage | GenerationFailure]:
        """As `generate`; one preview of each picture is its scene before anything stands in it. What nobody wants is not begun."""
        results: list[GeneratedImage | GenerationFailure] = []
        for index, (request, shows) in enumerate(zip(requests, num_previews, strict=True)):
            if not is_wanted(index):
                results.append(UNWANTED)
                continue
            scene = paint_empty_scene(request) if shows else None
            if scene is not None:
                show(index, GeneratedImage(encode_png(scene), request.width, request.height))
            results.append(self._paint(request))
        return results

    def _paint(self, request: ImageRequest) -> GeneratedImage | GenerationFailure:
        try:
            painting = paint(
                request.prompt,
                request.seed,
                width=request.width,
                height=request.height,
                negative_prompt=request.negative_prompt,
            )
        except UsageProblem as problem:
            return GenerationFailure(str(problem), retryable=False)
        return GeneratedImage(encode_png(painting.image), request.width, request.height)


@cache
def painter_digest() -> str:
    """Hash of the painter's own source and of the libraries that rasterise, so that a changed brush changes every sample id."""
    state = hashlib.blake2b(f"opencv {cv2.__version__} numpy {np.__version__}".encode(), digest_size=8)
    for root in synthseg.embedded.scenes.__path__:
        for path in sorted(Path(root).rglob("*.py")):
            state.update(path.name.encode() + path.read_bytes())
    return f"painter:{state.hexdigest()}"
