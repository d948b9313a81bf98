"""The bodies that clients of OpenAI's API send, as their sources build them: the table behind docs/serving.md's claim that they work.

Each row is a request with the fields and the values of its client's defaults; a prompt that the painter can read stands in for the
example's own. `reads` is what the client takes out of the answer, as a path of keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

PROMPT: Final = "a cat on a sofa"
ASK: Final = [{"role": "user", "content": "Describe a horse."}]
PERSON: Final = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Call:
    """One request of a client."""

    client: str
    source: str
    """Repository and file that builds the body."""
    body: Mapping[str, Any]
    reads: tuple[str, ...] = ()
    """Paths such as `data.0.url` that the client reads; it fails where one is missing or null."""
    ignored: tuple[str, ...] = ()
    """What the answer names as having no effect."""
    headers: Mapping[str, str] = field(default_factory=dict)
    query: str = ""

    def __str__(self) -> str:
        return self.client


B64, URL = ("data.0.b64_json",), ("data.0.url",)
USAGE: Final = ("usage.input_tokens", "usage.output_tokens", "usage.total_tokens")

IMAGES: Final = (
    Call(
        "Open WebUI, dall-e-2",
        "open-webui/open-webui backend/open_webui/routers/images.py image_generations",
        {"model": "dall-e-2", "prompt": PROMPT, "n": 1, "size": "512x512", "response_format": "b64_json"},
        B64,
    ),
    Call(
        "Open WebUI, gpt-image-1",
        "open-webui/open-webui backend/open_webui/routers/images.py image_generations (no response_format for such models)",
        {"model": "gpt-image-1", "prompt": PROMPT, "n": 1, "size": "auto"},
        B64,
        query="?api-version=2025-04-01",
    ),
    Call(
        "Open WebUI, no model chosen",
        "open-webui/open-webui backend/open_webui/routers/images.py get_image_model",
        {"model": "", "prompt": PROMPT, "n": 1, "size": "512x512", "response_format": "b64_json"},
        B64,
    ),
    Call(
        "LangChain DallEAPIWrapper",
        "langchain-ai/langchain-community libs/community/langchain_community/utilities/dalle_image_generator.py run",
        {"prompt": PROMPT, "n": 1, "size": "1024x1024", "model": "dall-e-2", "quality": "standard"},
        URL,
        ("quality",),
    ),
    Call(
        "LangChain.js DallEAPIWrapper",
        "langchain-ai/langchainjs libs/providers/langchain-openai/src/tools/dalle.ts",
        {
            "model": "dall-e-3", "prompt": PROMPT, "n": 1, "size": "1024x1024", "response_format": "url", "style": "vivid",
            "quality": "standard", "user": "u-1",
        },
        URL,
        ("quality", "style", "user"),
    ),
    Call(
        "LlamaIndex OpenAIImageGenerationToolSpec",
        "run-llama/llama_index llama-index-integrations/tools/llama-index-tools-openai/.../image_generation/base.py",
        {
            "prompt": PROMPT, "n": 1, "model": "dall-e-3", "quality": "standard", "size": "1024x1024", "response_format": "url",
            "style": "vivid",
        },
        URL,
        ("quality", "style"),
    ),
    Call(
        "LiteLLM, gpt-image",
        "BerriAI/litellm litellm/llms/openai/image_generation/gpt_transformation.py get_supported_openai_params",
        {
            "model": "gpt-image-1", "prompt": PROMPT, "background": "auto", "moderation": "low", "n": 1, "output_compression": 100,
            "output_format": "png", "quality": "high", "size": "1024x1024", "user": "u-1",
        },
        (*B64, "created", *USAGE),
        ("quality", "background", "moderation", "user"),
    ),
    Call(
        "LiteLLM, dall-e-3",
        "BerriAI/litellm litellm/llms/openai/image_generation/dall_e_3_transformation.py",
        {
            "model": "dall-e-3", "prompt": PROMPT, "n": 1, "response_format": "b64_json", "quality": "hd", "size": "1024x1024",
            "style": "natural",
        },
        B64,
        ("quality", "style"),
    ),
    Call(
        "Vercel AI SDK, dall-e-3",
        "vercel/ai packages/openai/src/image/openai-image-model.ts doGenerate",
        {"model": "dall-e-3", "prompt": PROMPT, "n": 1, "size": "1024x1024", "style": "vivid", "response_format": "b64_json"},
        (*B64, *USAGE, "created", "size", "background", "output_format"),
        ("style",),
    ),
    Call(
        "Vercel AI SDK, gpt-image-1",
        "vercel/ai packages/openai/src/image/openai-image-model.ts (hasDefaultResponseFormat)",
        {"model": "gpt-image-1", "prompt": PROMPT, "n": 2, "size": "1024x1024", "quality": "high", "background": "transparent"},
        ("data.0.b64_json", "data.1.b64_json", *USAGE),
        ("quality", "background"),
    ),
    Call(
        "openai-node",
        "openai/openai-node examples/images/picture.ts createImage",
        {"model": "gpt-image-2", "prompt": PROMPT, "size": "1024x1024"},
        B64,
    ),
    Call(
        "openai-go",
        "openai/openai-go examples/image-generation/main.go",
        {"prompt": PROMPT, "model": "dall-e-3", "response_format": "url", "n": 1},
        URL,
    ),
    Call(
        "openai-java",
        "openai/openai-java openai-java-example/src/main/java/com/openai/example/ImageGenerationExample.java",
        {"response_format": "url", "prompt": PROMPT, "model": "dall-e-2", "size": "512x512", "n": 1},
        URL,
    ),
)  # fmt: skip
"""Images in one answer."""

IMAGE_STREAMS: Final = tuple(
    Call(client, source, {"model": "gpt-image-1", "prompt": PROMPT, "n": 1, "size": "1024x1024", "stream": True, "partial_images": 3})
    for client, source in (
        ("openai-node", "openai/openai-node examples/images/image-stream.ts"),
        ("openai-go", "openai/openai-go examples/image-streaming/main.go"),
        ("openai-java", "openai/openai-java openai-java-example/.../ImageStreamingExample.java"),
    )
)
"""Images as they form."""

TEXT: Final = ("choices.0.message.content", "choices.0.finish_reason", "id", "created", "model")
TOKENS: Final = ("usage.prompt_tokens", "usage.completion_tokens", "usage.total_tokens")

CHATS: Final = (
    Call(
        "Open WebUI, title of a chat",
        "open-webui/open-webui backend/open_webui/routers/tasks.py generate_title (its metadata stays there: routers/openai.py pops it)",
        {"model": "MODEL", "messages": ASK, "stream": False, "max_completion_tokens": 1000},
        TEXT,
    ),
    Call(
        "LangChain ChatOpenAI.invoke",
        "langchain-ai/langchain libs/partners/openai/langchain_openai/chat_models/base.py _get_request_payload",
        {"messages": [{"content": "Describe a horse.", "role": "user"}], "model": "MODEL", "stream": False, "temperature": 0.7, "n": 1},
        (*TEXT, *TOKENS, "system_fingerprint"),
    ),
    Call(
        "LangChain ChatOpenAI.with_structured_output",
        "langchain-ai/langchain libs/partners/openai/langchain_openai/chat_models/base.py _generate (client.chat.completions.parse)",
        {
            "messages": [{"content": "Describe a person.", "role": "user"}], "model": "MODEL", "parallel_tool_calls": False,
            "response_format": {"type": "json_schema", "json_schema": {"schema": PERSON, "name": "Person", "strict": True}},
        },
        (*TEXT, *TOKENS),
        ("parallel_tool_calls",),
    ),
    Call(
        "LlamaIndex OpenAILike",
        "run-llama/llama_index llama-index-integrations/llms/llama-index-llms-openai/llama_index/llms/openai/base.py _get_model_kwargs",
        {"messages": ASK, "stream": False, "model": "MODEL", "temperature": 0.1, "max_tokens": 24},
        (*TEXT, *TOKENS),
    ),
    Call(
        "LiteLLM",
        "BerriAI/litellm litellm/llms/openai/openai.py completion (model openai/MODEL, extra_body empty)",
        {"model": "MODEL", "messages": ASK, "temperature": 0.2, "top_p": 1.0, "max_tokens": 24, "user": "u-1", "metadata": {"trace": "1"}},
        (*TEXT, *TOKENS),
        ("user", "metadata"),
    ),
    Call(
        "Vercel AI SDK generateText",
        "vercel/ai packages/openai/src/chat/openai-chat-language-model.ts getArgs",
        {
            "model": "MODEL", "max_tokens": 24, "temperature": 0, "messages": [{"role": "system", "content": "Be brief."}, *ASK],
            "store": False, "metadata": {"a": "b"}, "service_tier": "auto", "reasoning_effort": "low", "prompt_cache_key": "k",
        },
        (*TEXT, *TOKENS),
        ("store", "metadata", "service_tier", "reasoning_effort", "prompt_cache_key"),
    ),
    Call(
        "Vercel AI SDK generateObject",
        "vercel/ai packages/openai/src/chat/openai-chat-language-model.ts getArgs (response_format)",
        {
            "model": "MODEL", "messages": [{"role": "user", "content": [{"type": "text", "text": "Describe a person."}]}],
            "response_format": {
                "type": "json_schema",
                "json_schema": {"schema": PERSON, "strict": True, "name": "response", "description": "A person."},
            },
        },
        (*TEXT, *TOKENS),
    ),
    Call(
        "openai-node",
        "openai/openai-node examples/chat-completions/demo.ts",
        {"messages": [{"role": "user", "content": "Say this is a test"}], "model": "MODEL"},
        TEXT,
    ),
    Call(
        "openai-go",
        "openai/openai-go examples/chat-completion/main.go",
        {"messages": ASK, "model": "MODEL", "seed": 1},
        TEXT,
    ),
    Call(
        "openai-java",
        "openai/openai-java openai-java-example/src/main/java/com/openai/example/CompletionsExample.java",
        {"messages": [{"role": "developer", "content": "Be brief."}, *ASK], "model": "MODEL", "max_completion_tokens": 24},
        TEXT,
    ),
)  # fmt: skip
"""Chats in one answer. MODEL is the served model's name, which these clients are configured with."""

CHAT_STREAMS: Final = (
    Call(
        "Open WebUI, chat",
        "open-webui/open-webui backend/open_webui/utils/middleware.py, routers/openai.py generate_chat_completion",
        {"stream": True, "model": "MODEL", "messages": ASK, "stream_options": {"include_usage": True}},
    ),
    Call(
        "LangChain ChatOpenAI.stream",
        "langchain-ai/langchain libs/partners/openai/langchain_openai/chat_models/base.py _stream",
        {"messages": ASK, "model": "MODEL", "stream": True, "temperature": 0.7, "stream_options": {"include_usage": True}},
    ),
    Call(
        "LlamaIndex OpenAILike",
        "run-llama/llama_index .../llama_index/llms/openai/base.py _stream_chat",
        {"messages": ASK, "model": "MODEL", "temperature": 0.1, "stream": True},
    ),
    Call(
        "Vercel AI SDK streamText",
        "vercel/ai packages/openai/src/chat/openai-chat-language-model.ts doStream",
        {"model": "MODEL", "messages": ASK, "temperature": 0, "stream": True, "stream_options": {"include_usage": True}},
    ),
)
"""Chats as they are written."""
