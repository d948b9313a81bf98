"""Engine `vllm` as a deployment of Ray Serve LLM. Importing this needs vLLM."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import replace
from typing import Any, Final

import vllm
from ray.serve import Application
from ray.serve.llm import LLMConfig, build_llm_deployment
from ray.serve.llm.deployment import LLMServer
from ray.serve.llm.openai_api_models import ChatCompletionRequest, CompletionRequest
from vllm.entrypoints.openai.models.protocol import LoRAModulePath

from serving.engines.concurrent_text import WARM_UP, ConcurrentText, Lanes
from serving.engines.health import EngineDead, exit_process
from serving.engines.replicas import TEXT_ENGINE
from serving.engines.stats import EngineStats
from serving.engines.vllm_settings import llm_arguments, request_model
from synthseg.config.schema import RunConfig
from synthseg.engines.openai.protocol import CompletionStream, Refused, completion_body, completion_reply, streamed
from synthseg.engines.text import RequestRefused, TextReply, TextRequest
from synthseg.engines.vllm.weights import LocalModel, local_model, weights_digest
from synthseg.errors import RunFailure

_CANARY_DEADLINE_S: Final = 20.0


class VllmReplica(ConcurrentText, LLMServer):
    """Ray Serve LLM's server with the interface of `TextReplica`, so that pipelines, prompt agent and gateway call it like any other.

    It goes through vLLM's own OpenAI layer, which knows the chat template and holds decoding to the schema.
    """

    async def __init__(  # type: ignore[misc] # Serve awaits it
        self, llm_config: LLMConfig, *, config: RunConfig, max_held: int = 0
    ) -> None:
        """Load the weights that lie on this node. UsageProblem when there are none."""
        model = local_model(config)
        # The driver may run on a machine without the weights, so they are named here.
        await LLMServer.__init__(self, _with_weights(llm_config, config, model))
        self._stall_s = config.execution.stall_timeout_s
        self._model = request_model(config)
        self.lanes = Lanes(config.execution.vllm.max_num_seqs, max_held)
        self.engine_digest = weights_digest(config, model, vllm.__version__)
        await self.complete_one(WARM_UP)

    async def complete_one(self, request: TextRequest) -> TextReply:
        """The reply of vLLM. RequestRefused when it refuses the request, RunFailure when it fails."""
        async with aclosing(await self._ask(request, completion_body(request, self._model))) as answers:
            async for answer in answers:
                with _problems():
                    return completion_reply(answer.model_dump())
        raise RunFailure("prompts.engine: vLLM ended a request without an answer")

    async def tell_one(self, request: TextRequest) -> AsyncGenerator[str | TextReply, None]:
        """The stream of vLLM; the errors of `complete_one`."""
        telling = CompletionStream()
        async with aclosing(await self._ask(request, streamed(completion_body(request, self._model)))) as answers:
            async for answer in answers:
                for part in answer if isinstance(answer, list) else [answer]:
                    for piece in _pieces(telling, part):
                        yield piece
        with _problems():
            reply = telling.reply()
        yield reply

    async def check_health(self) -> None:
        """Serve calls this every few seconds. A dead engine, or a silent one that does not give one token, ends the process: vLLM's own
        /health has been seen to lie.
        """
        try:
            await LLMServer.check_health(self)
        except Exception as error:  # noqa: BLE001 (whatever it is, the engine is dead)
            exit_process(EngineDead(f"{type(error).__name__}: {error}"))
        if (silent_s := self.lanes.silent_s()) > self._stall_s:
            try:
                async with asyncio.timeout(_CANARY_DEADLINE_S):
                    await self.complete_one(WARM_UP)
            except Exception:  # noqa: BLE001 (whatever it is, the engine is dead)
                exit_process(EngineDead(f"vLLM has had requests and said nothing for {silent_s:.0f} s"))
            self.lanes.progress()

    async def stats(self) -> EngineStats:
        """As any text replica's, with what is wrong with vLLM."""
        silent = self.lanes.silent_s() > self._stall_s
        return replace(await super().stats(), fault="the engine gives no sign of life" if silent else "")

    async def _ask(self, request: TextRequest, body: dict[str, Any]) -> Any:
        # Ray would give all requests of one call of `generate` its request id, which vLLM takes for one request sent again.
        body = {**body, "request_id": uuid.uuid4().hex}
        if request.prompt is None:
            return await self.chat(ChatCompletionRequest(**body))
        return await self.completions(CompletionRequest(**body))


def vllm_application(config: RunConfig, options: dict[str, Any], max_held: int = 0) -> Application:
    """The deployment of `config`'s language model under Serve's `options` (replicas, queues, autoscaling)."""
    return build_llm_deployment(
        LLMConfig(**llm_arguments(config, options)),
        deployment_cls=VllmReplica,
        override_serve_options={"name": TEXT_ENGINE},
        bind_kwargs={"config": config, "max_held": max_held},
    )


def _with_weights(llm_config: LLMConfig, config: RunConfig, model: LocalModel) -> LLMConfig:
    arguments = llm_arguments(config, llm_config.deployment_config, model)
    if model.lora is not None:
        adapter = LoRAModulePath(name=request_model(config), path=str(model.lora))
        arguments["engine_kwargs"]["lora_modules"] = [adapter]
    return LLMConfig(**arguments)


def _pieces(telling: CompletionStream, part: Any) -> Iterator[str]:
    """Pieces of text in what vLLM streams: events as text, or an error."""
    with _problems():
        if not isinstance(part, str):
            completion_reply(part.model_dump())
        for line in part.splitlines():
            if piece := telling.take(line):
                yield piece


@contextmanager
def _problems() -> Iterator[None]:
    """What vLLM refuses is the caller's problem where its status says so."""
    try:
        yield
    except Refused as refused:
        kind = RequestRefused if refused.status < 500 else RunFailure
        raise kind(f"prompts.engine: vLLM refused a request: {refused.message}") from None
