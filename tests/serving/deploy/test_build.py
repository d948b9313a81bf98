from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.serve.schema import ApplicationStatus, ApplicationStatusOverview, DeploymentStatusOverview, ServeDeploySchema, ServeStatus

from serving.deploy import build as module
from serving.deploy.build import application, build, deploy_engines, image_app
from serving.engines.replicas import TextReplica
from synthseg.config.loading import load_config
from synthseg.errors import RunFailure, UsageProblem

ROOT = Path(__file__).resolve().parents[3]


def deployments(app: Any) -> dict[str, Any]:
    """The deployments of an application by name."""
    found: dict[str, Any] = {}

    def visit(node: Any) -> None:
        deployment = node._bound_deployment
        found[deployment.name] = deployment
        for argument in deployment.init_args:
            if hasattr(argument, "_bound_deployment"):
                visit(argument)

    visit(app)
    return found


def test_the_application_has_the_four_deployments_of_the_configuration() -> None:
    settings = {
        "preset": "embedded",
        "serving.image.num_replicas": 3,
        "serving.text.max_ongoing_requests": "7",
        "serving.gateway.max_queued_requests": 11,
        "serving.prompt_agent.num_cpus": 0.5,
    }
    found = deployments(build(settings))
    assert set(found) == {"Gateway", "PromptAgent", "TextEngine", "ImageEngine"}
    assert found["ImageEngine"].num_replicas == 3
    assert found["TextEngine"].max_ongoing_requests == 7
    assert found["Gateway"].max_queued_requests == 11
    assert found["Gateway"].backpressure_config.status_code == 429
    assert found["PromptAgent"].ray_actor_options["num_cpus"] == 0.5


def test_max_replicas_switches_autoscaling_on() -> None:
    config = load_config("embedded", ["serving.image.max_replicas=4", "serving.image.target_ongoing_requests=3"])
    scaling = deployments(application(config))["ImageEngine"]._deployment_config.autoscaling_config
    assert (scaling.min_replicas, scaling.max_replicas, scaling.get_target_ongoing_requests()) == (1, 4, 3)


@pytest.mark.parametrize("preset", ["voc", "coco"])
def test_diffusion_and_clip_get_the_gpus_that_they_compute_on(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # vLLM, which is not installed here, has its GPUs in its bundles.
    monkeypatch.setattr("serving.deploy.build.text_application", lambda config, options, **_: TextReplica.options(**options).bind(config))
    found = {name: deployment.ray_actor_options["num_gpus"] for name, deployment in deployments(build({"preset": preset})).items()}
    assert found == {"Gateway": 0, "PromptAgent": 0.2, "TextEngine": 0, "ImageEngine": 0.8}


def test_a_run_gives_its_image_replicas_their_share(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr(module.serve, "start", lambda **_: None)
    monkeypatch.setattr(module.serve, "run_many", lambda targets, **_: seen.update((t.name, deployments(t.target)) for t in targets))
    monkeypatch.setattr(module, "_wait_until_running", lambda needs, config: seen.update(needs=needs))
    config = load_config("voc")
    deploy_engines(config, text=False, image=True)
    assert seen[image_app(config)]["ImageEngine"].ray_actor_options["num_gpus"] == 0.8
    assert seen["needs"] == {image_app(config): {"CPU": 0.25, "GPU": 0.8}}


@pytest.mark.parametrize(("engine", "held"), [("llama", 4), ("template", 4 * load_config("embedded").execution.max_in_flight)])
def test_a_run_leaves_the_queue_of_one_that_answers_one_at_a_time_to_the_idle(
    engine: str, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(module.serve, "start", lambda **_: None)
    monkeypatch.setattr(module.serve, "run_many", lambda targets, **_: asked.extend(targets))
    monkeypatch.setattr(module, "_wait_until_running", lambda *_: None)
    deploy_engines(load_config("embedded", [f"prompts.engine={engine}"]), text=True, image=False)
    assert [deployment.max_ongoing_requests for target in asked for deployment in deployments(target.target).values()] == [held]


def test_what_a_constructor_raised_is_the_reason_that_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config("embedded")
    message = "It failed to start 3 times. Error:\nTraceback\n  File x\nsynthseg.errors.UsageProblem: images.lora: no such file"
    engine = DeploymentStatusOverview("DEPLOY_FAILED", "REPLICA_STARTUP_FAILED", {}, message)  # type: ignore[arg-type]
    app = ApplicationStatusOverview(ApplicationStatus.DEPLOY_FAILED, "Failed to update the deployments.", 0.0, {"ImageEngine": engine})
    monkeypatch.setattr(module.serve, "start", lambda **_: None)
    monkeypatch.setattr(module.serve, "run_many", lambda *_, **__: None)
    monkeypatch.setattr(module.serve, "status", lambda: ServeStatus(applications={image_app(config): app}))
    with pytest.raises(RunFailure, match=r"did not start \(images\.lora: no such file\)$"):
        deploy_engines(config, text=False, image=True)


def test_a_wrong_setting_names_itself() -> None:
    with pytest.raises(UsageProblem, match=r"serving\.image\.num_replicas"):
        build({"serving.image.replicas": 2})


@pytest.mark.parametrize("path", sorted((ROOT / "serving" / "deploy").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_deploy_files_are_what_serve_deploy_accepts_and_build_can_build(path: Path) -> None:
    schema = ServeDeploySchema.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    (app,) = schema.applications
    assert app.import_path == "serving.deploy.build:build"
    assert schema.http_options.host == "127.0.0.1"
    built = deployments(build(app.args))
    for deployment in app.deployments:
        assert deployment.name in built


def test_there_is_a_deploy_file() -> None:
    assert (ROOT / "serving" / "deploy" / "embedded.yaml").is_file()
