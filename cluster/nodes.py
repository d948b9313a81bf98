"""The doctor on every node of a Ray cluster: one task a node, pinned to it, which looks at the machine it runs on."""

from __future__ import annotations

import logging
import socket
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.doctor import Check, checks, nearest_folder, room_check
from synthseg.config import RunConfig
from synthseg.errors import RunFailure
from synthseg.machine.availability import gpu_reason
from synthseg.machine.sizing.placement import total_of

TIMEOUT_S: Final = 120.0
_REACH_S: Final = 5.0
_COMPARED: Final = ("synthseg-agents", "ray", "torch", "numpy", "pyarrow")
_ON_GPU_NODES: Final = (
    "GPU",
    "GPU memory",
    "vllm",
    "diffusers",
    "transformers",
    "accelerate",
    "weights: prompts.model",
    "weights: images.model",
    "weights: images.config",
    "image model",
)
"""What only the nodes need where engine replicas run."""


@dataclass(frozen=True, slots=True)
class NodeReport:
    """What one node answered."""

    node: str
    """Address, and whether it is the head."""
    checks: tuple[Check, ...]


def cluster_checks(config: RunConfig, out: str = "runs", address: str = "") -> list[NodeReport]:
    """Rows of every node of the cluster at `address` (execution.address, else the one on this machine), then those of the whole.

    RunFailure when the cluster cannot be reached.
    """
    where = address or config.execution.address or "auto"
    joined = ray.is_initialized()
    if not joined:
        _reach(where)
        try:
            ray.init(address=where, logging_level=logging.ERROR, log_to_driver=False)
        except (ConnectionError, RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise RunFailure(
                f"--address: no Ray cluster at '{where}' ({reason}); start one with ray start --head, or correct it"
            ) from error
    try:
        return _ask_all(config, out)
    finally:
        if not joined:
            ray.shutdown()


def _reach(where: str) -> None:
    """RunFailure when nobody listens at `where`, HOST:PORT or ray://HOST:PORT; Ray itself would wait for minutes."""
    host, _, port = where.rpartition("://")[2].rpartition(":")
    if not (host and port.isdigit()):
        return
    try:
        socket.create_connection((host, int(port)), timeout=_REACH_S).close()
    except OSError as error:
        raise RunFailure(f"--address: no Ray cluster at '{where}' ({error}); correct it, or run: ray start --head") from error


def _ask_all(config: RunConfig, out: str) -> list[NodeReport]:
    nodes = sorted(
        (node for node in ray.nodes() if node["Alive"]), key=lambda node: (not _is_head(node), node["NodeManagerAddress"], node["NodeID"])
    )
    token = None if "://" in out else _leave_token(Path(out))
    try:
        asked = {node["NodeID"]: _ask(node["NodeID"], config, out, token, _num_gpus(node)) for node in nodes}
        ray.wait(list(asked.values()), num_returns=len(asked), timeout=TIMEOUT_S)
        answers = {identity: _answer(task) for identity, task in asked.items()}
    finally:
        if token is not None:
            token.unlink(missing_ok=True)
    reports = []
    for node in nodes:
        found, _ = answers[node["NodeID"]]
        reports.append(NodeReport(_label(node), tuple(_softened(check) for check in found) if not _num_gpus(node) else tuple(found)))
    versions = {_label(node): answers[node["NodeID"]][1] for node in nodes if answers[node["NodeID"]][1]}
    return [*reports, NodeReport("cluster", tuple(_whole(config, nodes, versions)))]


def _ask(node_id: str, config: RunConfig, out: str, token: Path | None, num_gpus: float) -> Any:
    # num_cpus 0: a node whose cores are all taken must answer too.
    pinned = look.options(num_cpus=0, max_retries=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False))
    return pinned.remote(node_id, config.model_dump_json(), out, str(token) if token else "", num_gpus)


@ray.remote
def look(node_id: str, config_json: str, out: str, token: str, num_gpus: float) -> tuple[list[Check], dict[str, str]]:
    """The checks of the node this task runs on, and the versions of what must agree between nodes."""
    here = ray.get_runtime_context().get_node_id()
    if here != node_id:
        raise RuntimeError(f"asked node {node_id}, but this is node {here}")
    config = RunConfig.model_validate_json(config_json)
    # Its GPUs are neither asked for nor free, so nothing is loaded onto them; each run measures its own replicas.
    found = checks(config, out, alone=False)
    if token:
        seen = Path(token).exists()
        fix = "" if seen else "mount the same folder on every node, or use a URI such as s3://bucket/run"
        found.append(Check("shared folder", "ok" if seen else "fail", f"{out} is {'the' if seen else 'not the'} driver's", fix))
    if num_gpus:
        found.append(_ray_gpus(num_gpus))
    return found, _versions()


def _ray_gpus(num_gpus: float) -> Check:
    """Ray's count of this node's GPUs against what is there: a driver that torch cannot use shows here."""
    import torch

    # What torch counts in a task that asked for no GPU hangs on Ray's settings and CUDA_VISIBLE_DEVICES, so the driver is asked.
    from synthseg.machine.gpus import gpus

    seen = len(gpus())
    if seen < num_gpus:
        return Check("Ray's GPUs", "fail", f"Ray counts {num_gpus:g}, the driver {seen}", "ray start with --num-gpus as many as there are")
    if torch.version.cuda is None:
        return Check("Ray's GPUs", "fail", f"torch {torch.__version__} is built without CUDA", "install torch from its CUDA index")
    return Check("Ray's GPUs", "ok", f"{num_gpus:g}, CUDA {torch.version.cuda}")


def _answer(task: Any) -> tuple[Sequence[Check], Mapping[str, str]]:
    try:
        found, versions = ray.get(task, timeout=0.1)
    except ray.exceptions.GetTimeoutError:
        return [
            Check("node", "fail", f"no answer in {TIMEOUT_S:.0f} s", "look at the node with ray status, or take it out of the cluster")
        ], {}
    except ray.exceptions.RayError as error:
        reason = str(getattr(error, "cause", None) or error).strip().splitlines()[-1][:200]
        return [Check("node", "fail", reason, "install the same synthseg-agents on every node, or mend what it says")], {}
    return found, versions


def _softened(check: Check) -> Check:
    """On a node without GPUs, what only engine replicas need is worth knowing and no fault."""
    return replace(check, status="warn") if check.status == "fail" and check.name in _ON_GPU_NODES else check


def _whole(config: RunConfig, nodes: Sequence[Mapping[str, Any]], versions: Mapping[str, Mapping[str, str]]) -> list[Check]:
    """What is true of the cluster and of no single node."""
    found = []
    for package in _COMPARED:
        by_version: dict[str, list[str]] = {}
        for node, packages in versions.items():
            by_version.setdefault(packages[package], []).append(node)
        if len(by_version) > 1:
            detail = "; ".join(f"{version} on {', '.join(names)}" for version, names in sorted(by_version.items()))
            found.append(Check(f"{package} everywhere", "fail", detail, "install the same version on every node"))
    if not found:
        found.append(Check("versions", "ok", f"the same on {len(versions)} nodes"))
    total, reason = sum(map(_num_gpus, nodes)), gpu_reason(config)
    if reason and not total:
        found.append(Check("GPUs", "fail", f"no node has one, and {reason}", "add a node with GPUs; ray start counts them"))
    else:
        room = total_of(node["Resources"] for node in nodes)
        found.append(room_check("GPUs", config, room, f"{total:g} in the cluster"))
    return found


def _versions() -> dict[str, str]:
    found = {}
    for package in _COMPARED:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "none"
    return found


def _leave_token(out: Path) -> Path:
    """A file beside the runs that nodes with the same folder see."""
    token = nearest_folder(out) / f".synthseg-doctor-{uuid.uuid4().hex}"
    token.touch()
    return token


def _num_gpus(node: Mapping[str, Any]) -> float:
    return float(node["Resources"].get("GPU", 0.0))


def _is_head(node: Mapping[str, Any]) -> bool:
    return "node:__internal_head__" in node["Resources"]


def _label(node: Mapping[str, Any]) -> str:
    return f"{node['NodeManagerAddress']} {node['NodeID'][:6]}" + (" (head)" if _is_head(node) else "")
