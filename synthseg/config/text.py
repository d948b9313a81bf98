"""How text engines are carried out: vLLM's resources, and the calls of an endpoint. What decides the text stands in [prompts]."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic import Field

from synthseg.config.section import Section


class VllmConfig(Section):
    """One vLLM replica of Ray Serve LLM: the devices it takes and how it uses their memory."""

    tensor_parallel_size: int = Field(default=1, gt=0)
    """Devices that hold one copy of the model between them."""
    accelerator_type: str = ""
    """Only on nodes with such a device, by Ray's name: L4, A100, H100. Empty takes any."""
    bundles: tuple[dict[str, float], ...] = ()
    """Resources of each worker, such as [{GPU = 1, CPU = 1}]; empty means `execution.num_gpus_per_replica` of a GPU (0: a whole one) for
    each of tensor_parallel_size. [{CPU = 1}] runs vLLM's CPU build."""
    placement: str = Field(default="PACK", pattern="^(STRICT_)?(PACK|SPREAD)$")
    """Ray's placement strategy for the workers."""
    max_model_len: int = Field(default=4096, gt=0)
    """Longest prompt and answer together, in tokens."""
    max_num_seqs: int = Field(default=256, gt=0)
    """Most requests decoded at once."""
    gpu_memory_utilization: float = Field(default=0.0, ge=0, le=1)
    """Share of the device's memory for weights and KV cache; on CPUs, of the machine's. 0 takes the share of the GPU, 0.9 at most."""
    enable_prefix_caching: bool = True
    """Keep the KV cache of beginnings that prompts share, such as the agent's worked example."""
    enforce_eager: bool = False
    """No CUDA graphs and no compilation: a faster start, slower tokens."""
    num_cpus: float = Field(default=1.0, ge=0)
    """Logical CPUs of the replica itself, besides those of its workers."""


SCHEMA_KEYWORDS: Final = ("minItems", "maxItems", "minLength", "maxLength", "minimum", "maximum", "pattern", "additionalProperties")
"""Keywords of the requests' JSON schemas that some endpoints refuse."""
ENDPOINT_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "max_tokens": ("max_tokens", "max_completion_tokens"),
    **{name: (name, "") for name in ("temperature", "top_p", "seed", "response_format", "stream_options", "strict", *SCHEMA_KEYWORDS)},
}
"""Fields of a request that may be renamed or left out, each with what it may be sent as; empty leaves it out."""


class EndpointConfig(Section):
    """Calls of the endpoint of engine `openai`."""

    api_key_env: str = Field(default="OPENAI_API_KEY", pattern="^[A-Za-z_][A-Za-z0-9_]*$")
    """Environment variable that holds the key, on every node that asks the endpoint. Unset or empty sends none."""
    max_concurrent: int = Field(default=16, gt=0)
    """Requests one text replica keeps open."""
    timeout_s: float = Field(default=120.0, gt=0)
    """The endpoint may be silent this long."""
    max_retries: int = Field(default=6, ge=0)
    """Tries after the first one, with growing pauses, for 408, 409, 429, 5xx, time-outs and broken connections."""
    max_retry_wait_s: float = Field(default=120.0, gt=0)
    """Longest pause before a retry; an endpoint that asks for more by Retry-After ends the run."""
    fields: dict[str, str] = Field(default_factory=dict)
    """What a field of the requests is sent as, such as {max_tokens = "max_completion_tokens", seed = ""}: empty leaves it out, its own name
    keeps it. A field that is not named here is renamed or left out by itself where the endpoint refuses it."""
    min_tokens: int = Field(default=1, gt=0, le=4096)
    """Fewest tokens that a request may ask for; an endpoint that wants more is heard by itself."""
