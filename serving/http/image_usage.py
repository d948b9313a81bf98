"""The `usage` block of OpenAI's images API.

Engines differ in what they read and make: the painter has no tokenizer, a diffusion model two, and their outputs are no tokens. So that
the figures mean the same on every engine, a text token is a word or a mark of the prompt, and an image token is a square of 16 x 16
pixels, begun ones included: what one token of a diffusion transformer stands for (a patch of 2 x 2 latents of 8 x 8 pixels each).
"""

from __future__ import annotations

import re
from typing import Final

from serving.http.schemas import ImageUsage, InputTokens, OutputTokens

PATCH_PX: Final = 16
_TEXT_TOKEN: Final = re.compile(r"\w+|[^\w\s]")


def image_usage(prompt: str, width: int, height: int, *, num_images: int) -> ImageUsage:
    """What `num_images` pictures of `width` x `height` pixels from `prompt` take; each of them reads the prompt."""
    text = len(_TEXT_TOKEN.findall(prompt)) * num_images
    image = -(-width // PATCH_PX) * -(-height // PATCH_PX) * num_images
    return ImageUsage(
        input_tokens=text,
        input_tokens_details=InputTokens(text_tokens=text),
        output_tokens=image,
        output_tokens_details=OutputTokens(image_tokens=image),
        total_tokens=text + image,
    )
