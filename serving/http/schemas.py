"""What the image routes take and give: OpenAI's Images API with SynthSeg's own fields added."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from synthseg.ids import SEED_BITS

OutputFormat = Literal["png", "webp", "jpeg"]


def _whole(value: object) -> object:
    """In JSON 3.0 is a whole number too."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)
"""Last in the annotation of every integer of a request body: `Annotated[int, Field(ge=1), WHOLE]`."""

Seed = Annotated[int, Field(ge=0, lt=1 << SEED_BITS), WHOLE]


class RequestModel(BaseModel):
    """Base of all request bodies: no conversion, no unknown field, no NaN. What cannot be done is refused, never bent."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class ImageGenerationRequest(RequestModel):
    """Body of `POST /v1/images/generations`. A null is as good as leaving the field out."""

    prompt: str = Field(min_length=1, description="What to paint; at most serving.max_prompt_chars characters.")
    model: str | None = Field(None, description="A model of kind `image` from /v1/models; the first one by default.")
    n: Annotated[int, Field(ge=1, le=10), WHOLE] | None = Field(1, description="Number of images.")
    size: str | None = Field(
        "auto",
        pattern=r"^(auto|[1-9][0-9]{0,4}x[1-9][0-9]{0,4})$",
        description="WIDTHxHEIGHT in pixels, or auto for the preset size.",
    )
    response_format: Literal["b64_json", "url"] | None = Field(
        None, description="Bytes in the answer (the default), or a URL that needs the same key; both for a model called dall-e-*."
    )
    output_format: OutputFormat | None = Field("png", description="png is the engine's own bytes; webp is lossless unless compressed.")
    output_compression: Annotated[int, Field(ge=0, le=100), WHOLE] | None = Field(
        None, description="Quality of webp and jpeg; 100 keeps webp lossless. For png, which loses nothing, 100 only."
    )
    stream: bool | None = Field(False, description="Answer with server-sent events.")
    partial_images: Annotated[int, Field(ge=0, le=3), WHOLE] | None = Field(
        0, description="Previews of each image in a stream, where the engine has them."
    )
    user: str | None = Field(None, max_length=512, description="The caller's own mark for its user; ignored.")
    safety_identifier: str | None = Field(None, max_length=512, description="The newer name of `user`; ignored.")
    quality: Literal["auto", "low", "medium", "high", "xhigh", "max", "standard", "hd"] | None = Field(
        None, description="Ignored: there is one quality, which `steps` may change."
    )
    style: Literal["vivid", "natural"] | None = Field(None, description="Ignored: say it in the prompt.")
    complexity: Literal["low", "medium", "high"] | None = Field(None, description="Ignored.")
    background: Literal["auto", "opaque", "transparent"] | None = Field(None, description="Ignored: images are opaque.")
    moderation: Literal["auto", "low"] | None = Field(None, description="Ignored: the safety check, where the engine has one, always runs.")
    seed: Seed | None = Field(None, description="Of the first image; drawn, and returned, when not given. Equal requests give equal bytes.")
    steps: Annotated[int, Field(ge=1, le=1000), WHOLE] | None = Field(None, description="Denoising steps.")
    guidance_scale: float | None = Field(None, ge=0, le=100, description="Weight of the prompt.")
    negative_prompt: str | None = Field(None, description="What must not be in the picture.")
    class_names: list[str] | None = Field(None, max_length=100, description="Classes of the taxonomy that the picture must show.")
    refine: bool | None = Field(False, description="Let the prompt agent rewrite the prompt first.")
    score: bool | None = Field(False, description="Give each picture's CLIP score as well.")


class ImageData(BaseModel):
    """One image of an answer."""

    b64_json: str | None = None
    url: str | None = None
    revised_prompt: str | None = None
    """The agent's wording, with `refine`."""
    seed: int
    """This image alone: the same request with this seed and n = 1."""
    sha256: str | None = None
    """Of the bytes given here; for png it is the image hash of a batch run. Absent when the image is withheld."""
    clip_score: float | None = None
    """With `score`: cosine of the picture and the prompt that it was painted from, as a run's samples have it. Absent when the scorer did
    not answer in time."""
    safety: str
    """`ok`, `unchecked` where the engine has no safety checker, or the category for which the image is withheld."""
    cut_tokens: int | None = None
    """Tokens of prompt and negative prompt that the model's text encoders did not read; absent where they read all."""


class InputTokens(BaseModel):
    """What the input tokens are made of."""

    image_tokens: int = 0
    text_tokens: int


class OutputTokens(BaseModel):
    """What the output tokens are made of."""

    image_tokens: int
    text_tokens: int = 0


class ImageUsage(BaseModel):
    """OpenAI's usage block, in units that every engine shares: `serving.http.image_usage` says what a token is."""

    input_tokens: int
    input_tokens_details: InputTokens
    output_tokens: int
    output_tokens_details: OutputTokens
    total_tokens: int


class ImageGenerationReply(BaseModel):
    """Answer of `POST /v1/images/generations`."""

    created: int
    model: str
    size: str
    output_format: OutputFormat
    background: Literal["opaque"] = "opaque"
    seed: int
    class_names: list[str] | None = None
    """Canonical names."""
    ignored_parameters: list[str]
    """Parameters of the request that change nothing here."""
    refine_note: str | None = None
    """Why the agent kept the prompt as it was."""
    usage: ImageUsage
    data: list[ImageData]
