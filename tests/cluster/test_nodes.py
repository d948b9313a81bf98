"""The doctor on every node of a real Ray cluster of two nodes on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cluster import nodes
from cluster.doctor import Check
from synthseg.config import load_config

NODE_A = {"NodeManagerAddress": "10.0.0.1", "NodeID": "a" * 56, "Resources": {"node:__internal_head__": 1.0, "CPU": 4.0}}
NODE_B = {"NodeManagerAddress": "10.0.0.2", "NodeID": "b" * 56, "Resources": {"GPU": 1.0, "CPU": 4.0}}
VERSIONS = dict.fromkeys(nodes._COMPARED, "1")


def test_a_node_without_gpus_is_not_blamed_for_what_only_replicas_need() -> None:
    assert nodes._softened(Check("vllm", "fail", "not installed", "install it")).status == "warn"
    assert nodes._softened(Check("dataset", "fail", "gone", "put it there")).status == "fail"


def test_the_whole_cluster_needs_a_gpu_somewhere_and_one_version() -> None:
    config = load_config("voc")
    found = {check.name: check for check in nodes._whole(config, [NODE_A], {"a": VERSIONS})}
    assert (found["GPUs"].status, found["versions"].status) == ("fail", "ok")
    found = {check.name: check for check in nodes._whole(config, [NODE_A, NODE_B], {"a": VERSIONS, "b": VERSIONS | {"ray": "2"}})}
    assert found["GPUs"].status == "ok"
    assert found["ray everywhere"].status == "fail"
    assert "1 on a; 2 on b" in found["ray everywhere"].detail


def test_the_gpus_of_the_cluster_hold_replicas_and_workers_at_once() -> None:
    config = load_config("voc", ["execution.num_gpus_per_replica=1"])
    (found,) = (check for check in nodes._whole(config, [NODE_A, NODE_B], {"a": VERSIONS}) if check.name == "GPUs")
    assert found.status == "fail"
    assert "stage prompts needs 2 GPU at once (1 text replica of 1 + 1 worker of 0.2) and there are 1" in found.detail
    assert "execution.num_gpus_per_replica" in found.fix


def test_a_node_loads_no_model_onto_gpus_that_others_use(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    monkeypatch.setattr(nodes, "checks", lambda config, out, *, alone: seen.append(alone) or [])
    monkeypatch.setattr(nodes.ray, "get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: "n"))
    found, _ = nodes.look._function("n", load_config("laptop").model_dump_json(), "runs", "", 0.0)
    assert (seen, found) == ([False], [])


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[str]:
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    yield cluster.address
    cluster.shutdown()


def doctor(*arguments: str) -> tuple[int, Any, str]:
    command = [sys.executable, "-m", "synthseg", "doctor", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False, timeout=110)
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr


@pytest.mark.slow
@pytest.mark.engines
def test_every_node_answers_for_itself(two_nodes: str, tmp_path: Path) -> None:
    code, answer, errors = doctor("--cluster", "--address", two_nodes, "--out", str(tmp_path))
    assert answer is not None, errors
    by_node: dict[str, dict[str, Any]] = {}
    for row in answer["checks"]:
        by_node.setdefault(row["node"], {})[row["check"]] = row
    assert len(by_node) == 3
    assert sum(name.endswith("(head)") for name in by_node) == 1
    for name, found in by_node.items():
        if name != "cluster":
            assert found["python"]["status"] == "ok"
            assert found["shared folder"]["status"] == "ok"
    assert by_node["cluster"]["versions"]["found"] == "the same on 2 nodes"
    assert list(tmp_path.iterdir()) == []
    assert code == (0 if answer["ok"] else 1)

    code, answer, _ = doctor("--preset", "voc", "--cluster", "--address", two_nodes, "--out", str(tmp_path))
    assert code == 1
    rows = {(row["node"], row["check"]): row for row in answer["checks"]}
    assert rows["cluster", "GPUs"]["status"] == "fail"
    assert all(row["status"] == "warn" for (node, check), row in rows.items() if check == "weights: prompts.model")


def test_no_cluster_is_one_line() -> None:
    code, answer, errors = doctor("--cluster", "--address", "127.0.0.1:1")
    assert (code, answer) == (1, None)
    assert errors.startswith("error: --address: no Ray cluster at '127.0.0.1:1'")
    assert len(errors.splitlines()) == 1
