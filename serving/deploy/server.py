"""`synthseg serve`: a Ray of its own with the HTTP application on it, until a signal ends both without losing a request."""

from __future__ import annotations

import contextlib
import errno
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType

from cluster.ports import free_port
from cluster.ray.auth import refuse_open_ray
from cluster.ray.loopback import ADDRESS as LOOPBACK
from serving.deploy.edge.front import Front, bound
from serving.state.keys import KeyStore, is_loopback, keys_path
from synthseg.config.schema import RunConfig
from synthseg.config.serving import ServingConfig
from synthseg.errors import RunFailure, UsageProblem
from synthseg.machine import interrupt
from synthseg.machine.availability import check_endpoint, check_requirements
from synthseg.machine.sizing.placement import needed, server_shortage, server_wishes

APP_NAME = "synthseg"
_DRAIN_MARGIN_S = 5.0


def preflight(config: RunConfig) -> None:
    """UsageProblem for what cannot work, before Ray or any model starts."""
    check_requirements(config, "serve")
    serving = config.serving
    if not config.execution.address:
        refuse_open_ray()
    if not is_loopback(serving.host) and not KeyStore(keys_path(serving)).any():
        raise UsageProblem(
            f"serving.host: '{serving.host}' is open to others and there are no API keys; make one first: synthseg keys add NAME "
            "(or stay on 127.0.0.1)"
        )
    _bound(serving).close()
    check_endpoint(config)


def serve_until_signal(config: RunConfig, *, verbose: bool, say: Callable[[str], None]) -> None:
    """Serve `config` until SIGTERM or Ctrl-C, then finish what is under way. UsageProblem or RunFailure when it cannot start.

    `say` is given the few lines for the user; it must not print to `sys.stdout` as it is then, which Ray chatters to.
    """
    preflight(config)

    from cluster.ray.start import unheard

    stopping, ready = threading.Event(), threading.Event()
    with nullcontext() if verbose else unheard(), _ray(config, verbose) as front, _signals(stopping, ready):
        port = _deploy(config, verbose, front)
        ready.set()
        say(f"ready  http://{_url_host(config.serving.host)}:{port}")
        while not stopping.wait(1.0):
            pass
        say("draining; once more to stop at once")
        _drain(config)


def _bound(serving: ServingConfig) -> socket.socket:
    """The socket that the server listens at, not listening yet. UsageProblem when it cannot be had."""
    try:
        return bound(serving.host, serving.port)
    except (OSError, OverflowError) as error:
        why = "is in use" if getattr(error, "errno", None) == errno.EADDRINUSE else f"cannot be listened on ({error})"
        raise UsageProblem(f"serving.port: {serving.host}:{serving.port} {why}; choose another with --port or --host") from None


@contextmanager
def _ray(config: RunConfig, verbose: bool) -> Iterator[Front | None]:
    """Ray for the server: the cluster of `execution.address`, or one of its own, which ends with it; and the front before it, if any."""
    from ray import serve

    from cluster.ray.start import muted, start_ray, stop_ray
    from serving.deploy.serve_environment import serve_environment

    address = config.execution.address
    with _bound(config.serving) as listener, serve_environment(config, listener) as (actors_environment, front):
        if front is None:
            listener.close()  # for Serve's own proxy, which makes one of its own
        with _job_agent(config):
            start_ray(
                address,
                _num_cpus(config),
                dashboard=config.serving.jobs,
                verbose=verbose,
                patience_s=config.execution.stall_timeout_s,
                way_out="start the server again",
                actors_environment=actors_environment,
            )
        try:
            yield front
        finally:
            with nullcontext() if verbose else muted():
                if address:
                    with contextlib.suppress(Exception):
                        serve.delete(APP_NAME)
                else:
                    serve.shutdown()
                stop_ray()


@contextmanager
def _job_agent(config: RunConfig) -> Iterator[None]:
    """What a head of our own needs so that it can run jobs."""
    if config.execution.address or not config.serving.jobs:
        yield
        return
    from cluster.ray.compat import any_agent_port

    with any_agent_port():
        yield


def _num_cpus(config: RunConfig) -> int:
    """Logical CPUs that all replicas at their most, the proxy and one job's stages need."""
    replicas = needed(server_wishes(config, at_most=True))["CPU"]
    return round(replicas + (1 if config.serving.jobs else 0) + 0.5)


def _deploy(config: RunConfig, verbose: bool, front: Front | None) -> int:
    """Start every deployment and wait until each has answered its warm-up; the port listened on. UsageProblem when the cluster has no
    room for them, RunFailure with the first cause when one does not start.
    """
    from ray import serve
    from ray.serve.config import HTTPOptions, ProxyLocation

    from cluster.ray.start import cluster_room, muted
    from serving.deploy.build import application

    if problem := server_shortage(config, cluster_room()):
        raise UsageProblem(problem)
    serving = config.serving
    # Behind the front, gateways are reached on loopback only, whatever the front's own address.
    host, port = (LOOPBACK, front.port) if front else (serving.host, serving.port or free_port(serving.host))
    level = "INFO" if verbose else "WARNING"
    for name in ("ray.serve", "ray"):
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.ERROR)
    serve.start(
        proxy_location=ProxyLocation.HeadOnly,
        http_options=HTTPOptions(host=host, port=port, keep_alive_timeout_s=75),
        logging_config={"log_level": level, "enable_access_log": verbose},
    )
    try:
        with nullcontext() if verbose else muted():
            # Port 0 is any: the gateway must know which, for the URLs in its answers.
            served = config.model_copy(update={"serving": serving.model_copy(update={"port": port})})
            serve.run(application(served), name=APP_NAME, route_prefix="/")
    except RuntimeError as error:
        raise RunFailure(f"serve: {_first_cause() or error}") from error
    return port


def _first_cause() -> str:
    """What the first deployment that failed says of itself."""
    from ray import serve

    app = serve.status().applications.get(APP_NAME)
    for name, deployment in (app.deployments if app else {}).items():
        if deployment.message:
            return f"{name}: {deployment.message.strip().splitlines()[-1]}"
    return app.message if app else ""


def _drain(config: RunConfig) -> None:
    """Let every gateway finish what it has; nothing may take longer than the deadline."""
    from ray import serve
    from ray.serve.exceptions import RayServeException

    from serving.deploy.gateway import GATEWAY

    deadline_s = config.serving.deadline_s
    with contextlib.suppress(RayServeException, TimeoutError):
        gateways = serve.get_deployment_handle(GATEWAY, APP_NAME)
        gateways.broadcast("drain", deadline_s).results(timeout_s=deadline_s + _DRAIN_MARGIN_S, return_exceptions=True)
        serve.delete(APP_NAME)  # replicas go when the proxy has their last bytes


@contextmanager
def _signals(stopping: threading.Event, ready: threading.Event) -> Iterator[None]:
    """SIGTERM and Ctrl-C ask a ready server to stop. Before it is ready, and the second time, they end it at once.

    Set after Ray's own handlers, which would end the process.
    """

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stopping.is_set() or not ready.is_set():
            interrupt.on_signal(number, frame)
        stopping.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _url_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
