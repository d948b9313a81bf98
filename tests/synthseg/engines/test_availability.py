from __future__ import annotations

from pathlib import Path

import pytest

from synthseg.config.loading import load_config
from synthseg.engines import availability
from synthseg.engines.availability import check_endpoint, check_requirements, missing_requirements
from synthseg.errors import UsageProblem
from tests.synthseg.engines.endpoint import endpoint


def test_weights_that_vllm_lacks_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "find_spec", lambda name: object())
    settings = ["prompts.engine=vllm", f"prompts.model={tmp_path}"]
    assert missing_requirements(load_config("embedded", settings)) == []
    gone = load_config("embedded", ["prompts.engine=vllm", f"prompts.model={tmp_path}/gone", f"prompts.lora={tmp_path}/none"])
    assert missing_requirements(gone) == [f"prompts.model: {tmp_path}/gone does not exist"]
    gone = load_config("embedded", ["prompts.engine=vllm", f"prompts.model={tmp_path}", f"prompts.lora={tmp_path}/none"])
    assert missing_requirements(gone) == [f"prompts.lora: {tmp_path}/none does not exist"]
    with pytest.raises(UsageProblem, match=r"^embedded: not ready to run: prompts\.lora"):
        check_requirements(gone, "run")


def test_a_revision_that_is_not_here_is_named_with_its_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "find_spec", lambda name: object())
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    settings = ["prompts.engine=vllm", "prompts.model=some/model", f"prompts.revision={'a' * 40}"]
    (line,) = missing_requirements(load_config("embedded", settings))
    assert "some/model" in line
    assert "prompts.revision" in line


def test_a_cluster_that_is_joined_has_the_weights_on_its_own_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "find_spec", lambda name: object())
    settings = ["prompts.engine=vllm", "prompts.model=/elsewhere/model", "execution.address=auto"]
    assert missing_requirements(load_config("embedded", settings)) == []


def test_only_an_endpoint_is_asked() -> None:
    check_endpoint(load_config("embedded"))
    with endpoint(lambda body: "Hi") as server:
        check_endpoint(load_config("embedded", ["prompts.engine=openai", "prompts.model=m", f"prompts.base_url={server.url}"]))
        assert len(server.seen) == 1
