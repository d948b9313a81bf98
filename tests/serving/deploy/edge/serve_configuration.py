"""HAProxy configurations as the installed Ray Serve writes them."""

from __future__ import annotations

from pathlib import Path

from ray.serve._private.haproxy import BackendConfig, HAProxyApi, HAProxyConfig, ServerConfig
from ray.serve.config import HTTPOptions


def serve_configuration(folder: Path, *ports: int, fallback: int = 0) -> str:
    """That of a proxy actor which knows gateways at `ports` of loopback, and a proxy in Python to fall back to."""
    cfg = HAProxyConfig(
        http_options=HTTPOptions(host="127.0.0.1", port=8000, keep_alive_timeout_s=75),
        socket_path=str(folder / "node" / "admin.sock"),
        server_state_base=str(folder),
        server_state_file=str(folder / "server-state"),
        metrics_socket_path=str(folder / "metrics.sock"),
        log_target=str(folder / "log.sock"),
        is_head=True,
        has_received_routes=True,
    )
    path = folder / "serve" / "haproxy.cfg"
    api = HAProxyApi(cfg, config_file_path=str(path))
    if ports or fallback:
        servers = [ServerConfig(name=f"replica-{port}", host="127.0.0.1", port=port) for port in ports]
        spare = ServerConfig(name="proxy", host="127.0.0.1", port=fallback) if fallback else None
        api.set_backend_configs(
            {
                "http-synthseg": BackendConfig(
                    name="http-synthseg", path_prefix="/", app_name="synthseg", servers=servers, fallback_server=spare
                )
            }
        )
    api._generate_config_file_internal()
    return path.read_text(encoding="utf-8")
