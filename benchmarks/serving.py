"""How much of an engine's speed reaches HTTP clients: `synthseg serve`'s application beside other ways to serve the same engine.

    OMP_NUM_THREADS=1 python -m benchmarks.serving --repeats 5 --seconds 10 --json runs/serving.json

Engines: `timed` answers up to 8 requests in 100 ms, whatever they are (its ceiling is 80 a second); `painter` is the embedded one.
Servers, one at a time, each in processes of its own on loopback, all with that one engine, one call at a time:

synthseg    the whole application of `synthseg serve`: gateway with access control, limits, metrics and logs, and drained batches
uvicorn     FastAPI with one engine thread and no batching
litserve    LitServe, batches of 8, its batch timeout at the 10 ms that `@serve.batch` has
serve.batch Ray Serve with `@serve.batch`, batches of 8, its own settings otherwise

The CPU time a request is that of all of the server's processes, the engine included; unlike times it hardly depends on what else the
machine does.

Load: closed loops of 1, 4, 16 and 32 clients, and Poisson arrivals at half and at 0.8 of the ceiling.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from cluster.ports import free_port
from synthseg.config.loading import load_config
from synthseg.config.schema import RunConfig
from synthseg.embedded.painter.engine import PainterEngine
from synthseg.engines.image import GeneratedImage, GenerationFailure, ImageEngine, ImageRequest

BATCH = 8
BATCH_S = 0.1
WINDOW_S = 0.01
SIDE = 128
"""Of the images in pixels, unless told: what the preset `embedded` paints."""
CLIENTS = (1, 4, 16, 32)
POISSON_SHARES = (0.5, 0.8)
ENGINES = ("timed", "painter")
SERVERS = ("synthseg", "uvicorn", "litserve", "serve.batch")
PROMPT = "two brown horses grazing in a meadow at dusk"
_READY_S = 240.0
_GONE_S = 4.0
"""By then the last process of a server that was ended is gone."""


class TimedEngine:
    """Takes 100 ms for up to 8 requests, as a GPU that has room does. It computes nothing, so only the way to it is measured."""

    digest = "timed"

    def __init__(self) -> None:
        self._image = PainterEngine().generate([ImageRequest(PROMPT, 0, SIDE, SIDE)])[0]

    def generate(self, requests: Sequence[ImageRequest]) -> list[GeneratedImage | GenerationFailure]:
        """The same picture for all."""
        assert len(requests) <= BATCH
        time.sleep(BATCH_S)
        return [self._image] * len(requests)


def build_engine(name: str) -> ImageEngine:
    """The engine called `name`."""
    return TimedEngine() if name == "timed" else PainterEngine()


# Servers. Each takes the engine's name and a port, and serves POST /v1/images/generations until it is killed.


def serve_synthseg(engine: str, port: int) -> None:
    """The application that `synthseg serve` deploys, with the engine put in its place."""
    from ray import serve

    from cluster.ray.start import start_ray
    from serving.deploy.build import application
    from serving.deploy.edge.front import bound
    from serving.deploy.serve_environment import serve_environment
    from serving.engines.replicas import IMAGE_ENGINE, ImageReplica

    class BenchmarkReplica(ImageReplica.func_or_class):  # type: ignore[misc, name-defined]
        """The replica of the project on this benchmark's engine."""

        @staticmethod
        def build_engine(_: RunConfig) -> ImageEngine:
            return build_engine(engine)

    replica = serve.deployment(name=IMAGE_ENGINE, health_check_period_s=5)(BenchmarkReplica)
    settings = [
        "prompts.engine=template",
        f"serving.state_dir={tempfile.mkdtemp()}",
        "serving.jobs=false",
        "serving.requests_per_min=0",
        "serving.image_seconds_per_min=0",
    ]
    config = load_config("embedded", settings)
    with bound("127.0.0.1", port) as listener, serve_environment(config, listener) as (environment, front):
        if front is None:
            listener.close()
        start_ray(
            "",
            max(4, os.cpu_count() or 1),
            dashboard=False,
            verbose=False,
            patience_s=config.execution.stall_timeout_s,
            way_out="run the benchmark again",
            actors_environment=environment,
        )
        _start_serve(port)
        serve.run(application(config, replica))
        sleep_forever()


def serve_uvicorn(engine: str, port: int) -> None:
    """One engine thread behind FastAPI, one request a call."""
    from concurrent.futures import ThreadPoolExecutor

    import uvicorn
    from fastapi import FastAPI

    app = FastAPI()
    made, thread = build_engine(engine), ThreadPoolExecutor(1)

    @app.post("/v1/images/generations")
    async def generate(body: dict[str, Any]) -> dict[str, Any]:
        results = await asyncio.get_running_loop().run_in_executor(thread, made.generate, [request_of(body)])
        return reply_of(results[0])

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


def serve_litserve(engine: str, port: int) -> None:
    """LitServe with its own batching."""
    from benchmarks.serving_litserve import run

    run(engine, port)


def serve_serve_batch(engine: str, port: int) -> None:
    """Ray Serve's decorator, as its guide shows it."""
    from fastapi import Body, FastAPI
    from ray import serve

    app = FastAPI()

    @serve.deployment(max_ongoing_requests=256)
    @serve.ingress(app)
    class Batched:
        """Ingress and engine in one replica."""

        def __init__(self) -> None:
            self._engine = build_engine(engine)

        @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=WINDOW_S)
        async def _make(self, requests: list[ImageRequest]) -> list[Any]:
            return await asyncio.to_thread(self._engine.generate, requests)

        @app.post("/v1/images/generations")
        async def generate(self, body: Any = Body()) -> Any:  # noqa: B008 - FastAPI's way; Serve's copy of the class loses its annotations
            return reply_of(await self._make(request_of(body)))

    _start_ray()
    _start_serve(port)
    serve.run(Batched.bind())
    sleep_forever()


def request_of(body: dict[str, Any]) -> ImageRequest:
    """The request of a body of this benchmark."""
    width, height = map(int, body["size"].split("x"))
    return ImageRequest(body["prompt"], body["seed"], width, height)


def reply_of(result: Any) -> dict[str, Any]:
    """OpenAI's answer, as short as it can be."""
    import base64

    return {"created": 0, "data": [{"b64_json": base64.b64encode(result.encoded).decode()}]}


def _start_ray() -> None:
    """Ray as it comes."""
    import logging

    import ray

    os.environ.setdefault("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:9")
    ray.init(
        address="local", num_cpus=max(4, os.cpu_count() or 1), include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False
    )


def _start_serve(port: int) -> None:
    from ray import serve
    from ray.serve.config import HTTPOptions, ProxyLocation

    serve.start(
        proxy_location=ProxyLocation.HeadOnly,
        http_options=HTTPOptions(host="127.0.0.1", port=port),
        logging_config={"log_level": "ERROR", "enable_access_log": False},
    )


def sleep_forever() -> None:
    """Sleep until the process is ended."""
    while True:
        time.sleep(3600)


# Load


Once = Callable[[int], Awaitable[None]]


async def closed_loop(num_clients: int, seconds: float, once: Once) -> None:
    """Each client sends its next request when it has its answer."""
    deadline = time.perf_counter() + seconds

    async def client(number: int) -> None:
        while time.perf_counter() < deadline:
            await once(number)

    await asyncio.gather(*(client(number) for number in range(num_clients)))


async def poisson(rate: float, seconds: float, once: Once) -> None:
    """Requests arrive at random moments, whether or not earlier ones are answered."""
    rng = random.Random(0)
    started = time.perf_counter()
    arrival = 0.0
    tasks = []
    while (arrival := arrival + rng.expovariate(rate)) < seconds:
        await asyncio.sleep(max(0.0, started + arrival - time.perf_counter()))
        tasks.append(asyncio.create_task(once(len(tasks))))
    await asyncio.gather(*tasks)


def cpu_seconds(session: int) -> float:
    """CPU time so far of all living processes of a session, which a server and all it starts are."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        if int(fields[3]) == session:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


async def measure(
    url: str, session_id: int, side_px: int, seconds: float, load: Callable[[float, Once], Awaitable[None]]
) -> dict[str, float]:
    """Requests a second, latencies and CPU time under `load(seconds, once)`, after a warm-up of a fifth of the time."""
    latencies: list[float] = []
    failures = 0
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def once(number: int) -> None:
            nonlocal failures
            started = time.perf_counter()
            async with session.post(f"{url}/v1/images/generations", json=body_of(number, side_px)) as response:
                answer = await response.read()
            if response.status == 200 and b"b64_json" in answer:
                latencies.append(time.perf_counter() - started)
            else:
                failures += 1

        await load(seconds / 5, once)
        latencies.clear()
        started, cpu_before = time.perf_counter(), cpu_seconds(session_id)
        await load(seconds, once)
        took, cpu_s = time.perf_counter() - started, cpu_seconds(session_id) - cpu_before
    latencies.sort()
    return {
        "per_s": len(latencies) / took,
        "p50_ms": 1e3 * latencies[len(latencies) // 2],
        "p95_ms": 1e3 * latencies[int(0.95 * len(latencies))],
        "cpu_ms": 1e3 * cpu_s / len(latencies),
        "failures": failures,
    }


def body_of(seed: int, side_px: int) -> dict[str, Any]:
    """The body of one request."""
    return {"prompt": PROMPT, "seed": seed, "size": f"{side_px}x{side_px}"}


def ceiling_of(engine: str, side_px: int, seconds: float) -> tuple[float, float]:
    """Images a second of the bare engine in full batches, and the milliseconds of a lone request, in this process."""
    made = build_engine(engine)
    batch = [request_of(body_of(seed, side_px)) for seed in range(BATCH)]
    made.generate(batch)
    started, done = time.perf_counter(), 0
    while (took := time.perf_counter() - started) < seconds:
        done += len(made.generate(batch))
    alone = []
    for _ in range(max(5, int(seconds * 5))):
        begun = time.perf_counter()
        made.generate(batch[:1])
        alone.append(time.perf_counter() - begun)
    return done / took, 1e3 * statistics.median(alone)


async def wait_until_ready(url: str, server: str, process: subprocess.Popen[bytes], said: Path) -> None:
    """Until a request is answered, and `synthseg` says that all its parts are up. The process writes what it has to say to `said`."""
    deadline = time.monotonic() + _READY_S
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise SystemExit(f"the server ended with {process.returncode}: {said.read_text(encoding='utf-8')[-2000:]}")
            try:
                async with session.post(f"{url}/v1/images/generations", json=body_of(0, SIDE)) as response:
                    is_ready = response.status == 200
                if is_ready and server == "synthseg":
                    async with session.get(f"{url}/readyz") as response:
                        is_ready = response.status == 200
                if is_ready:
                    return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.5)
    raise SystemExit("the server was not ready in time")


async def measure_server(server: str, engine: str, side_px: int, seconds: float) -> dict[str, dict[str, float]]:
    """Every load on one server, which is started for it and ended after it. The engine alone is measured right before and after, since
    the clock of a shared machine changes within minutes: "share" and "over_ms" compare with the mean of both.
    """
    before = ceiling_of(engine, side_px, seconds)
    found = await _loads(server, engine, side_px, before[0], seconds)
    await asyncio.sleep(_GONE_S)
    after = ceiling_of(engine, side_px, seconds)
    ceiling, alone_ms = ((earlier + later) / 2 for earlier, later in zip(before, after, strict=True))
    for load in found.values():
        load |= {
            "ceiling_per_s": ceiling,
            "alone_ms": alone_ms,
            "share": load["per_s"] / ceiling,
            "over_ms": load["p50_ms"] - alone_ms,
        }
    return {name: {key: round(number, 3) for key, number in load.items()} for name, load in found.items()}


async def _loads(server: str, engine: str, side_px: int, ceiling: float, seconds: float) -> dict[str, dict[str, float]]:
    port = free_port("127.0.0.1")
    command = [sys.executable, "-m", "benchmarks.serving", "--serve", server, "--engine", engine, "--port", str(port)]
    said = Path(tempfile.mkstemp(suffix=".log")[1])
    with said.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    try:
        await wait_until_ready(url, server, process, said)
        found = {}
        for clients in CLIENTS:
            found[f"closed {clients}"] = await measure(
                url, process.pid, side_px, seconds, lambda s, once, n=clients: closed_loop(n, s, once)
            )
        for share in POISSON_SHARES:
            rate = share * ceiling
            found[f"poisson {share}"] = await measure(url, process.pid, side_px, seconds, lambda s, once, r=rate: poisson(r, s, once))
        return found
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
        # LitServe's workers outlive it and would go on polling beside the next server.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def median_of(runs: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """The median of every number over the repeats; failures are added up."""
    return {
        load: {key: (sum if key == "failures" else statistics.median)([run[load][key] for run in runs]) for key in runs[0][load]}
        for load in runs[0]
    }


def print_table(title: str, results: dict[str, dict[str, dict[str, float]]]) -> None:
    """One row a server and load."""
    print(f"\n### {title}\n")
    print(
        "| server | load | requests/s | of ceiling | p50 ms | p95 ms | p50 over engine ms | throughput, synthseg = 1 | CPU ms | failures |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for server, loads in results.items():
        for load, found in loads.items():
            share = found["per_s"] / results["synthseg"][load]["per_s"] if "synthseg" in results else float("nan")
            numbers = (
                f"{found['per_s']:.1f}",
                f"{found['share']:.2f}",
                f"{found['p50_ms']:.0f}",
                f"{found['p95_ms']:.0f}",
                f"{found['over_ms']:+.0f}",
                f"{share:.2f}",
                f"{found['cpu_ms']:.1f}",
                f"{found['failures']:.0f}",
            )
            print("| " + " | ".join((server, load, *numbers)) + " |")


def main() -> None:
    """Measure, print tables and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each load")
    parser.add_argument("--side", type=int, default=SIDE, help="of the images in pixels")
    parser.add_argument("--engines", nargs="+", default=ENGINES, choices=ENGINES)
    parser.add_argument("--servers", nargs="+", default=SERVERS, choices=SERVERS)
    parser.add_argument("--json", type=Path, help="file for all numbers")
    parser.add_argument("--serve", choices=SERVERS, help=argparse.SUPPRESS)
    parser.add_argument("--engine", choices=ENGINES, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        {"synthseg": serve_synthseg, "uvicorn": serve_uvicorn, "litserve": serve_litserve, "serve.batch": serve_serve_batch}[chosen.serve](
            chosen.engine, chosen.port
        )
        return
    print(f"{multiprocessing.cpu_count()} CPUs, load average {os.getloadavg()[0]:.1f}, {chosen.repeats} repeats of {chosen.seconds} s")
    everything: dict[str, Any] = {
        "repeats": chosen.repeats,
        "seconds": chosen.seconds,
        "side_px": chosen.side,
        "load_average": os.getloadavg(),
        "engines": {},
    }
    for engine in chosen.engines:
        runs: dict[str, list[dict[str, dict[str, float]]]] = {server: [] for server in chosen.servers}
        for _ in range(chosen.repeats):
            for server in chosen.servers:
                runs[server].append(asyncio.run(measure_server(server, engine, chosen.side, chosen.seconds)))
        results = {server: median_of(found) for server, found in runs.items()}
        print_table(f"{engine}, {chosen.side} px", results)
        everything["engines"][engine] = {"median": results, "runs": runs}
        if chosen.json:
            chosen.json.parent.mkdir(parents=True, exist_ok=True)
            chosen.json.write_text(json.dumps(everything, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
