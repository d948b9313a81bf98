"""Finding weights without a network: paths, the cache, a mirror."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from huggingface_hub import constants

from synthseg.errors import CorruptData, RunFailure, UsageProblem
from synthseg.machine.hub.cache import RepoCache
from synthseg.machine.hub.catalogue import Weight
from synthseg.machine.hub.fetch import fetch_weights, fill, mirror_to_fill
from synthseg.machine.hub.ids import HubId
from synthseg.machine.hub.manifest import FileRecord, Manifest
from synthseg.machine.hub.mirror import MANIFEST, VARIABLE, Mirror
from synthseg.machine.hub.selection import Selection
from synthseg.machine.hub.snapshot import find_snapshot, local_snapshot

COMMIT = "c" * 40
ID = HubId("acme/model")
WEIGHT = Weight("images.model", ID, Selection("diffusers"))
CONTENT = {"model_index.json": b"{}", "unet/diffusion_pytorch_model.safetensors": b"weights" * 100}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv(VARIABLE, raising=False)
    return tmp_path / "hub"


def manifest(commit: str = COMMIT) -> Manifest:
    files = {name: FileRecord(len(content), hashlib.sha256(content).hexdigest()) for name, content in CONTENT.items()}
    return Manifest(ID.repo, commit, files, frozenset({"diffusers"}), "Apache-2.0")


def put_into_cache(revision: str = "main") -> Path:
    cache = RepoCache(ID.repo)
    folder = cache.snapshot(COMMIT)
    for name, content in CONTENT.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    cache.publish(manifest(), revision)
    return folder


def fill_mirror(root: str) -> Mirror:
    mirror = Mirror(root)
    for name, content in CONTENT.items():
        mirror.files.write(f"{ID.repo}/main/{name}", content)
    mirror.publish(ID, manifest())
    return mirror


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    assert local_snapshot(str(tmp_path), "images.model") == tmp_path
    with pytest.raises(UsageProblem, match=r"^images.model: \./nowhere does not exist"):
        local_snapshot("./nowhere", "images.model")


def test_what_was_fetched_is_found_by_branch_commit_and_file() -> None:
    folder = put_into_cache()
    assert local_snapshot("acme/model", "images.model") == folder
    assert local_snapshot(f"acme/model@{COMMIT}", "images.model") == folder
    assert local_snapshot("acme/model", "images.model", COMMIT) == folder
    assert local_snapshot("acme/model/model_index.json", "images.model") == folder / "model_index.json"
    with pytest.raises(UsageProblem, match=r"other\.gguf.*synthseg fetch"):
        local_snapshot("acme/model/other.gguf", "images.model")
    with pytest.raises(UsageProblem, match="'acme/model@v2' are not on this machine; run: synthseg fetch"):
        local_snapshot("acme/model", "images.model", "v2")


def test_a_file_that_is_gone_or_cut_short_makes_the_snapshot_count_for_nothing() -> None:
    weights = put_into_cache() / "unet/diffusion_pytorch_model.safetensors"
    assert find_snapshot(ID, "diffusers") is not None
    assert find_snapshot(ID, "transformers") is None
    weights.write_bytes(b"short")
    assert find_snapshot(ID) is None
    weights.unlink()
    assert find_snapshot(ID) is None


def test_a_mirror_folder_is_used_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill_mirror(str(tmp_path / "mirror"))
    assert find_snapshot(ID) is None
    monkeypatch.setenv(VARIABLE, str(tmp_path / "mirror"))
    folder = tmp_path / "mirror/acme/model/main"
    assert local_snapshot("acme/model", "images.model") == folder
    (folder / MANIFEST).unlink()
    assert find_snapshot(ID) is None


def test_a_mirror_behind_a_uri_is_fetched_from_and_filled(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    fill_mirror("memory://weights-source")
    monkeypatch.setenv(VARIABLE, "memory://weights-source")
    (one,) = fetch_weights([WEIGHT])
    assert (one.source, one.manifest.licence) == ("mirror", "Apache-2.0")
    assert {name: (one.folder / name).read_bytes() for name in CONTENT} == CONTENT
    assert (home / "models--acme--model/refs/main").read_text(encoding="utf-8") == COMMIT

    target = mirror_to_fill("memory://weights-target")
    assert fill([one], target) == len(CONTENT)
    assert fill([one], target) == 0
    assert target.manifest(ID) == manifest()
    with pytest.raises(UsageProblem, match=r"^--to: .*filled from itself"):
        mirror_to_fill("memory://weights-source")


def test_a_mirror_with_another_commit_is_refused_until_updated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_into_cache()
    mirror = fill_mirror(str(tmp_path / "mirror"))
    mirror.publish(ID, manifest("d" * 40))
    monkeypatch.setenv(VARIABLE, mirror.root)
    assert fetch_weights([WEIGHT])[0].source == "here"
    other = Weight("images.model", ID, Selection("diffusers", variant="fp16"))
    mirror.publish(ID, manifest("d" * 40).with_files({}, frozenset({other.selection.key}), ""))
    with pytest.raises(UsageProblem, match=f"^images.model: the mirror has commit d+ of acme/model, this machine is held to {COMMIT}"):
        fetch_weights([other])
    assert fetch_weights([other], update=True)[0].manifest.commit == "d" * 40


def test_a_mirror_that_lacks_a_file_or_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = fill_mirror(str(tmp_path / "mirror"))
    monkeypatch.setenv(VARIABLE, mirror.root)
    (tmp_path / "mirror/acme/model/main/model_index.json").unlink()
    with pytest.raises(CorruptData, match=r"model_index\.json: is missing in the mirror"):
        fetch_weights([WEIGHT])
    (tmp_path / "mirror/acme/model/main" / MANIFEST).write_bytes(b"no manifest")
    with pytest.raises(CorruptData, match="is no manifest"):
        fetch_weights([WEIGHT])
    monkeypatch.setattr(mirror.files, "exists", lambda name: (_ for _ in ()).throw(OSError("denied")))
    with pytest.raises(RunFailure, match=f"^{VARIABLE}: .*cannot be read"):
        mirror.manifest(ID)
    monkeypatch.setenv(VARIABLE, "nosuchstore://x")
    with pytest.raises(UsageProblem, match=f"^{VARIABLE}: "):
        find_snapshot(ID)
