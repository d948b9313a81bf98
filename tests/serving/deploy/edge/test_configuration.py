"""The front's configuration, made out of what the installed Ray Serve writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving.deploy.edge.bounds import Bounds
from serving.deploy.edge.configuration import Place, Section, admin_socket, front_configuration, knows_gateways, parse
from tests.serving.deploy.edge.serve_configuration import serve_configuration

BOUNDS = Bounds(connections=5000, source_connections=20, source_rate=40, request_s=2.5, silence_s=180)
PLACE = Place(7, Path("/folder/front.sock"), {503: Path("/folder/503.http")})


def sections(text: str) -> dict[str, list[str]]:
    return {section.heading: section.lines for section in parse(text)}


def test_only_the_inherited_socket_listens(tmp_path: Path) -> None:
    made = sections(front_configuration(serve_configuration(tmp_path, 9001, fallback=9002), PLACE, BOUNDS))
    assert [line for lines in made.values() for line in lines if line.startswith("bind")] == ["bind fd@7"]
    assert [line for line in made["global"] if line.startswith("stats socket")] == ["stats socket /folder/front.sock mode 600 level admin"]


def test_times_and_connections_are_bounded(tmp_path: Path) -> None:
    made = sections(front_configuration(serve_configuration(tmp_path, 9001), PLACE, BOUNDS))
    assert [line for line in made["defaults"] if line.startswith("timeout")] == [
        "timeout connect 5s",
        "timeout http-keep-alive 75s",
        "timeout http-request 2500ms",
        "timeout client 180000ms",
        "timeout server 180000ms",
        "timeout queue 180000ms",
    ]
    assert [line for line in made["global"] if line.startswith(("maxconn", "hard-stop"))] == ["maxconn 5000", "hard-stop-after 1h"]
    assert [line for line in made["defaults"] if line.startswith("errorfile")] == ["errorfile 503 /folder/503.http"]
    assert "tcp-request connection reject if { sc0_conn_cur gt 20 }" in made["frontend http_frontend"]
    assert "tcp-request connection reject if { sc0_conn_rate gt 40 }" in made["frontend http_frontend"]


def test_the_gateways_stay_as_serve_has_them(tmp_path: Path) -> None:
    given = serve_configuration(tmp_path, 9001, 9003, fallback=9002)
    assert sections(front_configuration(given, PLACE, BOUNDS))["backend http-synthseg"] == sections(given)["backend http-synthseg"]


def test_whether_gateways_are_known(tmp_path: Path) -> None:
    assert knows_gateways(serve_configuration(tmp_path, 9001))
    assert not knows_gateways(serve_configuration(tmp_path))
    assert not knows_gateways(serve_configuration(tmp_path, fallback=9002))


def test_serves_admin_socket_is_found(tmp_path: Path) -> None:
    assert admin_socket(serve_configuration(tmp_path)) == tmp_path / "node" / "admin.sock"


@pytest.mark.parametrize("heading", ["global", "defaults", "frontend http_frontend", "backend default_backend"])
def test_a_configuration_of_another_shape_is_refused(tmp_path: Path, heading: str) -> None:
    """A later Ray Serve that calls a section otherwise must not lose its bounds without a word."""
    with pytest.raises(ValueError, match=heading):
        front_configuration(serve_configuration(tmp_path, 9001).replace(heading, f"{heading}_2"), PLACE, BOUNDS)


def test_a_line_before_any_section_is_refused() -> None:
    with pytest.raises(ValueError, match="maxconn 5"):
        parse("    maxconn 5\nglobal\n")


def test_setting_a_keyword_of_two_words_keeps_the_others() -> None:
    section = Section("defaults", ["timeout client 3600s", "timeout connect 5s", "timeout client-fin 1s"])
    section.set("timeout client", "9s")
    assert section.lines == ["timeout connect 5s", "timeout client-fin 1s", "timeout client 9s"]
