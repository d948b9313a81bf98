from __future__ import annotations

import errno
import uuid
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from pipelines import run as module
from pipelines.context import RunContext
from pipelines.stages.prompts import shard_name
from synthseg.config import RunConfig, load_config
from synthseg.errors import DiskFull, UsageProblem
from synthseg.machine import precision
from synthseg.progress import SilentProgress
from synthseg.stages import Stage
from synthseg.store.run_folder import RunFolder
from tests.rows import candidate_table

CONFIG = load_config("embedded", classes=["cat", "dog"])


def start(out: str) -> RunContext:
    return RunContext(CONFIG, RunFolder.create(out, CONFIG), SilentProgress())


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunContext:
    """A start of a run in an object store, on a machine with an empty scratch folder."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return start(f"memory://{uuid.uuid4().hex}/run")


def test_a_local_run_trains_in_its_own_folder(tmp_path: Path) -> None:
    with start(str(tmp_path)).training_folder("classifier") as folder:
        assert folder == tmp_path / "classifier"


def test_a_remote_run_brings_its_training_back_and_finds_it_again(remote: RunContext, tmp_path: Path) -> None:
    files = remote.folder.files
    with remote.training_folder("classifier") as folder:
        (folder / "fold-0.safetensors").write_bytes(b"zero")
        (folder / "fold-1.safetensors").write_bytes(b"one")
    assert not folder.exists()
    assert [files.read(f"classifier/{name}") for name in files.names("classifier")] == [b"zero", b"one"]
    with remote.training_folder("classifier") as folder:
        assert (folder / "fold-0.safetensors").read_bytes() == b"zero"
        (folder / "fold-1.safetensors").write_bytes(b"new")
    assert files.read("classifier/fold-1.safetensors") == b"new"


def test_what_did_not_change_is_not_written_again(remote: RunContext, monkeypatch: pytest.MonkeyPatch) -> None:
    files = remote.folder.files
    files.write("segmenter/state.pt", b"state")
    written: list[str] = []
    monkeypatch.setattr(files, "write", lambda name, content: written.append(name))
    with remote.training_folder("segmenter") as folder:
        (folder / "curves.jsonl").write_bytes(b"{}")
    assert written == ["segmenter/curves.jsonl"]


def test_a_killed_training_goes_on_from_what_it_left_on_this_machine(remote: RunContext) -> None:
    def killed() -> None:
        with remote.training_folder("segmenter") as folder:
            (folder / "state.pt").write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    assert remote.folder.files.names("segmenter") == []
    with remote.training_folder("segmenter") as folder:
        assert (folder / "state.pt").read_bytes() == b"half"


def test_other_clip_weights_are_refused_before_ray_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start(str(tmp_path)).folder.hold_to_weights({"segmenter.clip_model": "old"})
    monkeypatch.setattr(module, "weights_digests", lambda config: {"segmenter.clip_model": "new"})
    monkeypatch.setattr(module, "ray_session", lambda *args, **kwargs: pytest.fail("Ray was started"))
    with pytest.raises(UsageProblem, match=r"other weights \(old\) than segmenter.clip_model"):
        module.run_pipeline(CONFIG, str(tmp_path), verbose=False, progress=SilentProgress())


def test_an_endpoint_that_does_not_answer_is_found_out_before_anything_is_made(tmp_path: Path) -> None:
    config = load_config("embedded", ["prompts.engine=openai", "prompts.model=m", "prompts.base_url=http://127.0.0.1:9/v1"])
    out = tmp_path / "out"
    with pytest.raises(UsageProblem, match=r"^prompts\.base_url: nothing answers at http://127\.0\.0\.1:9/v1 "):
        module.run_pipeline(config, str(out), verbose=False, progress=SilentProgress())
    assert not out.exists()


def test_an_endpoint_is_not_asked_once_all_prompts_are_there(tmp_path: Path) -> None:
    settings = ["prompts.engine=openai", "prompts.model=m", "prompts.base_url=http://127.0.0.1:9/v1"]
    config = load_config("embedded", settings, classes=["cat"])
    folder = RunFolder.create(str(tmp_path), config)
    assert module._needs_prompts(config, str(tmp_path))
    table = candidate_table([])
    folder.shards.publish("prompts", shard_name(config.class_infos()[0]), table, {})
    assert not module._needs_prompts(config, str(tmp_path))


def test_evaluation_with_other_weights_is_refused_before_ray_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = start(str(tmp_path)).folder
    folder.files.write("segmenter/decoder.safetensors", b"")
    folder.hold_to_weights({"scoring.model": "old"})
    monkeypatch.setattr(module, "ray_session", lambda *args, **kwargs: pytest.fail("Ray was started"))
    with pytest.raises(UsageProblem, match=r"other weights \(old\) than scoring.model"):
        module.evaluate_pipeline(str(tmp_path), verbose=False, progress=SilentProgress())


@pytest.fixture
def split(tmp_path: Path) -> RunConfig:
    """Settings whose evaluation split holds an image and a mask of another size."""
    for folder, image in (("images", Image.new("RGB", (6, 4))), ("masks", Image.new("L", (4, 6)))):
        (tmp_path / folder).mkdir()
        image.save(tmp_path / folder / "a.png")
    return load_config("embedded", [f"evaluation.dataset=folder:{tmp_path}"], classes=["cat", "dog"])


UNREADABLE = r"^evaluation\.dataset: .*/images/a\.png: is 4 x 6 .*/masks/a\.png is 6 x 4"


def test_a_split_that_cannot_be_read_is_found_out_before_anything_is_made(split: RunConfig, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UsageProblem, match=UNREADABLE):
        module.run_pipeline(split, str(out), verbose=False, progress=SilentProgress())
    assert not out.exists()


@pytest.mark.parametrize("evaluates", [False, True])
def test_it_is_found_out_before_a_run_goes_on(evaluates: bool, split: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = str(tmp_path / "out")
    RunFolder.create(out, split).files.write("segmenter/decoder.safetensors", b"")
    for late in ("ray_session", "weights_digests"):
        monkeypatch.setattr(module, late, lambda *args, late=late, **kwargs: pytest.fail(f"{late} came first"))
    begin = module.evaluate_pipeline if evaluates else partial(module.run_pipeline, split)
    with pytest.raises(UsageProblem, match=UNREADABLE):
        begin(out, verbose=False, progress=SilentProgress())


def test_a_full_disk_in_the_driver_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(context: RunContext) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/tmp/ray/session")

    monkeypatch.setattr(module, "weights_digests", lambda config: {"scoring.model": "the same"})
    monkeypatch.setattr(module, "ray_session", lambda *args, **kwargs: nullcontext())
    monkeypatch.setattr(module, "_STAGES", {Stage.prompts: full})
    with pytest.raises(DiskFull, match=r"^out: no space left to write '/tmp/ray/session'; free some and run the same command again$"):
        module.run_pipeline(CONFIG, str(tmp_path), verbose=False, progress=SilentProgress())


class _Said(SilentProgress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        self.lines.append(text)


@pytest.mark.parametrize(("setting", "flags", "num_lines"), [("bf16", "avx2", 1), ("bf16", "avx2 amx_bf16", 0), ("auto", "avx2", 0)])
def test_bf16_on_a_cpu_without_it_is_one_warning(
    setting: str, flags: str, num_lines: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(f"flags\t: {flags}\n", encoding="utf-8")
    monkeypatch.setattr(precision, "CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(module, "gpus", lambda: ())
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    said = _Said()
    settings = [f"{section}.precision={setting}" for section in ("classifier", "segmenter")]
    module._warn(load_config("embedded", settings), said)
    assert len(said.lines) == num_lines
    assert all("classifier.precision, segmenter.precision = bf16" in line for line in said.lines)
