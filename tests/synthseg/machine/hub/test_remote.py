from __future__ import annotations

import httpx
import httpx2
import pytest

from synthseg.errors import RunFailure
from synthseg.machine.hub.ids import HubId
from synthseg.machine.hub.remote import hub_errors_named


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["client 1.x", "client 2.x"])
def test_no_network_is_one_line_whatever_the_hub_s_client_speaks_through(monkeypatch: pytest.MonkeyPatch, library: object) -> None:
    monkeypatch.setattr("huggingface_hub.utils.httpx", library)
    with pytest.raises(RunFailure, match=r"^f: acme/tiny cannot be had from .* \(refused\)"), hub_errors_named(HubId("acme/tiny"), "f"):
        raise library.ConnectError("refused")  # type: ignore[attr-defined]
