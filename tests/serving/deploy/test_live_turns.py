"""A real server with two keys: what one of them does must not keep the other waiting, and a revoked one is ended."""

from __future__ import annotations

import asyncio
import concurrent.futures
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.jobs.registry import Record, Registry
from serving.state.database import Database
from serving.state.keys import KeyStore
from tests.serving.deploy.live import LiveServer, live_server
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.server, pytest.mark.timeout(600)]

BATCH = 8
NO_LIMITS = ("serving.requests_per_min=0", "serving.image_seconds_per_min=0")
IMAGES, CHAT = "/v1/images/generations", "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Keyed:
    """A server and the headers of its two keys."""

    server: LiveServer
    alice: dict[str, str]
    bob: dict[str, str]
    state: Path

    def post(self, route: str, headers: dict[str, str], **body: Any) -> httpx.Response:
        return httpx.post(self.server.url + route, json=body, headers=headers, timeout=120)

    def engine(self, deployment: str, name: str) -> float:
        """A number of one deployment's engines, summed over its replicas."""
        lines = httpx.get(f"{self.server.url}/metrics", timeout=30).text.splitlines()
        wanted = f'{name}{{deployment="{deployment}"'
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(wanted))


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    state = tmp_path_factory.mktemp("state")
    store = KeyStore(state / "keys.json")
    alice, bob = ({"authorization": f"Bearer {store.add(name)}"} for name in ("alice", "bob"))
    job_ids = [record.key_id for record in store.records() if record.name == "alice"]
    asyncio.run(watched_job(state, job_ids[0]))
    with live_server(state, *NO_LIMITS, f"serving.image.max_batch_size={BATCH}", "serving.gateway.num_replicas=2") as server:
        yield Keyed(server, alice, bob, state)


async def watched_job(state: Path, tenant: str) -> None:
    """A job of `tenant` that counts as going, for far longer than this test."""
    database = Database(state)
    registry = Registry(database)
    await registry.add(Record(f"job_{'0' * 24}", tenant, {}, str(state / "out"), "queued", time.time()), max_queued=1)
    record = await registry.claim(1)
    assert record is not None
    await Registry(database, lambda: time.time() + 3600).seen(record)
    database.close()


def test_a_lone_request_beside_a_flood_takes_under_three_batches(keyed: Keyed) -> None:
    """40 clients of one key ask for ten pictures each, again and again, in several sizes and through both gateways."""
    statuses: Counter[int] = Counter()
    said: set[str] = set()
    done = threading.Event()

    def flood(number: int) -> None:
        while not done.is_set():
            side = 448 + 32 * (number % 3)
            answer = keyed.post(IMAGES, keyed.alice, prompt="two horses in a meadow", size=f"{side}x{side}", n=10, seed=number)
            statuses[answer.status_code] += 1
            if answer.status_code == 429:
                said.add(answer.json()["error"]["message"].partition(" ")[2].partition(". Try")[0])
                assert int(answer.headers["retry-after"]) >= 1
                done.wait(0.5)

    def lone(seed: int) -> tuple[int, float]:
        started = time.monotonic()
        answer = keyed.post(IMAGES, keyed.bob, prompt="a red car on a street", size="64x64", seed=seed)
        return answer.status_code, time.monotonic() - started

    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        clients = [pool.submit(flood, number) for number in range(40)]
        try:
            deadline = time.monotonic() + 120
            while keyed.engine("ImageEngine", "synthseg_queue_depth") < BATCH and time.monotonic() < deadline:
                time.sleep(0.1)
            before = [keyed.engine("ImageEngine", f"synthseg_engine_{name}_total") for name in ("seconds", "batches")]
            answers = []
            for seed in range(10):
                # A busy replica may leave the question unanswered, and then the queue reads as empty.
                until(lambda: keyed.engine("ImageEngine", "synthseg_queue_depth") > 0, 60)
                answers.append(lone(seed))
            after = [keyed.engine("ImageEngine", f"synthseg_engine_{name}_total") for name in ("seconds", "batches")]
        finally:
            done.set()
        for client in clients:
            client.result()
    # A batch of the flood; the lone one's own, of one small picture, is none of those.
    batch_s = (after[0] - before[0]) / (after[1] - before[1] - len(answers))
    print(f"batches of {batch_s:.2f} s, lone requests {[round(seconds, 2) for _, seconds in answers]}, flood {dict(statuses)}")  # noqa: T201
    assert [status for status, _ in answers] == [200] * len(answers)
    assert max(seconds for _, seconds in answers) < 3 * batch_s
    assert set(statuses) <= {200, 429}
    assert statuses[429] > 0
    assert said == {"requests of this key are queued already, which is its share of the queue"}


def test_a_short_chat_beside_a_flood_waits_for_one_text(keyed: Keyed) -> None:
    question = [{"role": "user", "content": "Tell me about horses."}]

    def long(seed: int) -> float:
        assert keyed.post(CHAT, keyed.alice, messages=question, max_tokens=100, seed=seed, temperature=0).status_code == 200
        return time.monotonic()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        flood = [pool.submit(long, seed) for seed in range(8)]
        deadline = time.monotonic() + 60
        while keyed.engine("TextEngine", "synthseg_queue_depth") < 5 and time.monotonic() < deadline:
            time.sleep(0.05)
        answer = keyed.post(CHAT, keyed.bob, messages=question, max_tokens=2, seed=1)
        answered = time.monotonic()
        assert answer.status_code == 200
        ends = sorted(future.result() for future in flood)
    assert sum(end < answered for end in ends) <= 4, (
        "those that had their answer before: two that were through, one under way, one in doubt"
    )


def test_schemas_that_would_hold_the_model_are_refused_and_it_goes_on(keyed: Keyed) -> None:
    def ask(schema: dict[str, Any], stream: bool) -> httpx.Response:
        form = {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema}}
        question = [{"role": "user", "content": "Hi"}]
        return keyed.post(CHAT, keyed.alice, messages=question, max_tokens=16, seed=1, response_format=form, stream=stream)

    field = "response_format.json_schema.schema"
    for stream in (False, True):
        many = ask({"enum": [f"v{i}" for i in range(8000)]}, stream)
        assert (many.status_code, many.json()["error"]["param"]) == (400, f"{field}.enum")
        nested = ask({"type": "object", "properties": {"a": {"type": "string", "pattern": "^" + "(" * 12 + "a+" + ")+" * 12}}}, stream)
        assert (nested.status_code, nested.json()["error"]["param"]) == (400, f"{field}.properties.a.pattern")
    assert ask({"enum": ["yes", "no"]}, False).status_code == 200


def test_one_who_leaves_a_long_chat_frees_the_model(keyed: Keyed) -> None:
    long = {"messages": [{"role": "user", "content": "a red horse, " * 300}], "max_tokens": 700, "seed": 1}
    for stream in (False, True):
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(keyed.server.url + CHAT, json={**long, "stream": stream}, headers=keyed.alice, timeout=httpx.Timeout(30, read=0.5))
    deadline = time.monotonic() + 90  # the prompts' part under way is read to its end: seconds, and more on a busy machine
    while keyed.engine("TextEngine", "synthseg_engine_running") and time.monotonic() < deadline:
        time.sleep(0.2)
    assert keyed.engine("TextEngine", "synthseg_engine_running") == 0
    assert httpx.get(f"{keyed.server.url}/readyz", timeout=30).status_code == 200


def test_keys_revoke_ends_a_watched_job_within_seconds(keyed: Keyed) -> None:
    """The last test: alice has no key any more."""
    command = [sys.executable, "-m", "synthseg", "keys", "revoke", "alice", "--set", f"serving.state_dir={keyed.state}"]
    with httpx.stream("GET", f"{keyed.server.url}/v1/jobs/job_{'0' * 24}/events", headers=keyed.alice, timeout=60) as events:
        assert events.status_code == 200
        subprocess.run(command, check=True, capture_output=True)
        revoked = time.monotonic()
        told = events.read().decode()
        assert time.monotonic() - revoked < 10
    assert "event: error\n" in told
    assert '"code":"invalid_api_key"' in told
    assert keyed.post(IMAGES, keyed.bob, prompt="a red car", size="64x64").status_code == 200
