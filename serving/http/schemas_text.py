"""What the text routes take and give: OpenAI's chat and text completions, as far as one small model can keep their promises."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field, field_validator

from serving.http.schemas import WHOLE, RequestModel

FinishReason = Literal["stop", "length"]
NoPenalty = Annotated[float, Field(ge=0, le=0)]
One = Annotated[int, Field(ge=1, le=1), WHOLE]
NumTokens = Annotated[int, Field(ge=1, le=1 << 16), WHOLE]
StopText = Annotated[str, Field(min_length=1, max_length=200)]


class TextPart(RequestModel):
    """A piece of a message. The model reads text only."""

    type: Literal["text"]
    text: str


class ChatMessage(RequestModel):
    """One turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]
    name: str | None = Field(None, max_length=64, description="Not used.")

    def text(self) -> str:
        """The content as one string."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class PlainFormat(RequestModel):
    """Free text, or any JSON object."""

    type: Literal["text", "json_object"]


class NamedSchema(RequestModel):
    """A JSON schema with its name."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    description: str | None = None
    schema_: dict[str, Any] = Field(alias="schema", description="The answer parses under it, unless max_tokens cuts it short.")
    strict: bool | None = Field(None, description="Decoding is always held to the schema.")


class SchemaFormat(RequestModel):
    """JSON under a schema."""

    type: Literal["json_schema"]
    json_schema: NamedSchema


class StreamOptions(RequestModel):
    """How a stream is told."""

    include_usage: bool | None = Field(False, description="End with a chunk that counts the tokens.")
    include_obfuscation: Literal[False] | None = Field(False, description="Chunks are not padded.")


_IGNORED: Final = (
    "user", "store", "metadata", "service_tier", "reasoning_effort", "verbosity", "parallel_tool_calls", "prediction", "safety_identifier",
    "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options",
)  # fmt: skip
"""What tells OpenAI how to bill, keep, cache or watch a request: no answer depends on it."""


class SamplingRequest(RequestModel):
    """What both kinds of completion have in common. A null is as good as leaving the field out."""

    model: str | None = Field(None, description="A model of kind `text` from /v1/models; the first one by default.")
    temperature: float | None = Field(1.0, ge=0, le=2)
    top_p: float | None = Field(1.0, gt=0, le=1)
    n: One | None = Field(1, description="One completion a request.")
    seed: Annotated[int, Field(gt=-(1 << 53), lt=1 << 53), WHOLE] | None = Field(
        None, description="Equal requests with equal seeds get equal text."
    )
    stop: StopText | list[StopText] | None = Field(None, description="Up to 4 texts before which the completion ends.")
    stream: bool | None = Field(False, description="Answer with server-sent events, ended by [DONE].")
    stream_options: StreamOptions | None = Field(None, description="Only with `stream`.")
    frequency_penalty: NoPenalty | None = Field(0.0, description="Not offered.")
    presence_penalty: NoPenalty | None = Field(0.0, description="Not offered.")
    user: str | None = Field(None, max_length=512, description="The caller's own mark for its user; not used.")

    @field_validator("stop")
    @classmethod
    def _few(cls, stop: str | list[str] | None) -> str | list[str] | None:
        if isinstance(stop, list) and len(stop) > 4:
            raise ValueError("at most 4 texts")
        return stop

    def stops(self) -> tuple[str, ...]:
        """The stop texts as a tuple."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())


class ChatCompletionRequest(SamplingRequest):
    """Body of `POST /v1/chat/completions`."""

    messages: list[ChatMessage] = Field(min_length=1, max_length=256)
    max_tokens: NumTokens | None = Field(None, description="Older name of max_completion_tokens.")
    max_completion_tokens: NumTokens | None = Field(None, description="512 by default.")
    response_format: PlainFormat | SchemaFormat | None = Field(None, description="Free text by default.")
    logprobs: Literal[False] | None = Field(False, description="Not offered.")
    top_logprobs: Annotated[int, Field(ge=0, le=0), WHOLE] | None = Field(None, description="Not offered.")
    modalities: list[Literal["text"]] | None = Field(None, description="Text is all there is.")
    logit_bias: dict[str, float] | None = Field(None, max_length=0, description="Not offered.")
    store: bool | None = Field(None, description="Ignored: nothing is stored.")
    metadata: dict[str, str] | None = Field(None, max_length=16, description="Ignored.")
    service_tier: str | None = Field(None, max_length=64, description="Ignored: there is one tier.")
    reasoning_effort: str | None = Field(None, max_length=64, description="Ignored: no model here reasons by levels.")
    verbosity: Literal["low", "medium", "high"] | None = Field(None, description="Ignored: say it in a message.")
    parallel_tool_calls: bool | None = Field(None, description="Ignored: no tools are called.")
    prediction: dict[str, Any] | None = Field(None, description="Ignored: it would only save time.")
    safety_identifier: str | None = Field(None, max_length=512, description="The newer name of `user`; ignored.")
    prompt_cache_key: str | None = Field(None, max_length=512, description="Ignored.")
    prompt_cache_retention: str | None = Field(None, max_length=64, description="Ignored.")
    prompt_cache_options: dict[str, Any] | None = Field(None, description="Ignored.")

    def ignored(self) -> list[str]:
        """Names of the given parameters that change nothing."""
        return [name for name in _IGNORED if getattr(self, name) is not None]


class CompletionRequest(SamplingRequest):
    """Body of `POST /v1/completions`: text to go on from, without any chat format."""

    prompt: str = Field(min_length=1)
    max_tokens: NumTokens | None = 16
    echo: bool | None = Field(False, description="Begin with the prompt.")
    best_of: One | None = Field(1, description="One completion a request.")
    logprobs: None = Field(None, description="Not offered.")
    suffix: None = Field(None, description="Not offered.")


class Usage(BaseModel):
    """Tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class AssistantMessage(BaseModel):
    """The model's turn."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: str | None = None


class ChatChoice(BaseModel):
    """The one completion."""

    index: int = 0
    message: AssistantMessage
    logprobs: None = None
    finish_reason: FinishReason


class ChatCompletion(BaseModel):
    """Answer of `POST /v1/chat/completions`."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    system_fingerprint: str
    """The model's digest."""
    seed: int
    """The request's, or the one that was drawn."""
    choices: list[ChatChoice]
    usage: Usage
    ignored_parameters: list[str]
    """Parameters of the request that change nothing here."""


class TextChoice(BaseModel):
    """The one completion."""

    index: int = 0
    text: str
    logprobs: None = None
    finish_reason: FinishReason


class TextCompletion(BaseModel):
    """Answer of `POST /v1/completions`."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    system_fingerprint: str
    seed: int
    choices: list[TextChoice]
    usage: Usage
