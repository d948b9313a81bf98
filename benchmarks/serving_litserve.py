"""The LitServe server of `benchmarks.serving`, in a module of its own: LitServe starts its workers anew and imports their class."""

from __future__ import annotations

from typing import Any

import litserve

from benchmarks.serving import BATCH, WINDOW_S, build_engine, reply_of, request_of


class EngineApi(litserve.LitAPI):  # type: ignore[misc]
    """The steps of a request, as LitServe names them."""

    def __init__(self, engine: str) -> None:
        super().__init__(max_batch_size=BATCH, batch_timeout=WINDOW_S, api_path="/v1/images/generations")
        self._name = engine

    def setup(self, _: str) -> None:
        """Build the engine, in the worker."""
        self._engine = build_engine(self._name)

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # an annotation would become the schema of the body
        """Body to engine request."""
        return request_of(request)

    def predict(self, x: list[Any]) -> list[Any]:
        """One batch."""
        return self._engine.generate(x)

    def unbatch(self, output: list[Any]) -> list[Any]:
        """A result for each request."""
        return output

    def encode_response(self, output: Any) -> dict[str, Any]:
        """Engine result to answer."""
        return reply_of(output)


def run(engine: str, port: int) -> None:
    """Serve until the process is ended."""
    server = litserve.LitServer(EngineApi(engine), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=port, num_api_servers=1, log_level="warning", generate_client_file=False)
