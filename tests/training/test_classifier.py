from __future__ import annotations

import cv2
import numpy as np
import pytest
import ray
import timm
import torch
from safetensors.torch import load_file, save_file

from synthseg.config.loading import load_config
from synthseg.errors import UsageProblem
from synthseg.ids import digest, image_sha256
from synthseg.machine.whole_file import TEMPORARY
from synthseg.method.labels.folds import fold_of
from synthseg.method.networks.classifier import load_classifier, new_classifier
from training.classifier import augmented, batch, checkpoint_path, sample_folds, train_classifier, training_fingerprints
from training.data import HeldSamples

SIZE = 32


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "trunk.safetensors"
    save_file(timm.create_model("test_vit", num_classes=0).state_dict(), path)
    loaded = load_config("embedded", classes=["cat", "dog"])
    section = {
        "model": "test_vit", "weights": str(path), "image_size": SIZE, "epochs": 4, "batch_size": 8, "learning_rate": 1e-3,
        "precision": "fp32", "folds": 2, "top_k": 2, "freeze_stem": False,
    }  # fmt: skip
    return loaded.model_copy(update={"classifier": loaded.classifier.model_copy(update=section)})


def held(count: int, num_labels: int = 2) -> tuple[HeldSamples, list[str]]:
    """Red squares are cats, blue ones dogs, four images a prompt; and the prompt of each."""
    rng = np.random.default_rng(0)
    images, labels = [], []
    for i in range(count):
        is_dog = (i // 4) % 2
        image = rng.integers(80, 130, (SIZE, SIZE, 3)).astype(np.uint8)
        image[8:24, 8:24, 0 if is_dog else 2] = 250  # OpenCV's order: blue first
        images.append(cv2.imencode(".png", image)[1].tobytes())
        labels.append(([0, 1] if is_dog else [1, 0])[:num_labels])
    samples = HeldSamples(images, np.array(labels, np.int8), [[image_sha256(image)] for image in images])
    return samples, [f"prompt-{i // 4}" for i in range(count)]


def fingerprints(config, samples: HeldSamples, prompts: list[str]) -> list[str]:
    return training_fingerprints(config, samples, sample_folds(config, samples.labels, prompts))


def test_global_batches_do_not_depend_on_the_number_of_workers(config):
    samples, prompts = held(40)
    members = np.flatnonzero(sample_folds(config, samples.labels, prompts) != 0)
    whole = batch(config, samples, members, 0, 3, 0, 1)
    parts = [batch(config, samples, members, 0, 3, rank, 3) for rank in range(3)]
    assert [len(images) for images, _ in parts] == [3, 3, 2]
    for rank, (images, labels) in enumerate(parts):
        assert torch.equal(images, whole[0][rank::3])
        assert torch.equal(labels, whole[1][rank::3])


def test_folds_never_share_a_prompt(config):
    samples, prompts = held(40)
    folds = sample_folds(config, samples.labels, prompts)
    assert set(folds) == {0, 1}
    assert folds.tolist() == [fold_of(f"prompt-{i // 4}", 2) for i in range(40)]


def test_augmented_keeps_size_and_follows_its_generator():
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    first = augmented(image, np.random.default_rng(5))
    assert first.shape == image.shape
    assert first.dtype == np.uint8
    assert (first == augmented(image, np.random.default_rng(5))).all()
    assert (first != augmented(image, np.random.default_rng(6))).any()


def test_nothing_to_learn_from_is_said_before_training(config, tmp_path):
    with pytest.raises(UsageProblem, match=r"classifier\.folds"):
        train_classifier(config, *held(4), tmp_path, 1)
    with pytest.raises(UsageProblem, match="labels have 1 values for 2 classes"):
        train_classifier(config, *held(40, num_labels=1), tmp_path, 1)


def test_an_interrupted_training_goes_on_out_of_fold_on_two_workers(config, tmp_path):
    samples, prompts = held(64)
    fingerprint, before_bf16, before_fp32 = fingerprints(config, samples, prompts)
    # What a kill leaves: fold 0 finished, fold 1 half written, Ray's own files.
    finished = new_classifier(config).state_dict()
    save_file(finished, checkpoint_path(tmp_path, 0), metadata={"fingerprint": fingerprint})
    before = checkpoint_path(tmp_path, 0).read_bytes()
    (tmp_path / f"{TEMPORARY}0").write_bytes(b"torn")
    (tmp_path / "ray" / "classifier").mkdir(parents=True)
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        found = train_classifier(config, samples, prompts, tmp_path, 2)
    finally:
        ray.shutdown()
    assert found.checkpoints == [checkpoint_path(tmp_path, 0), checkpoint_path(tmp_path, 1)]
    assert found.checkpoints[0].read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fold-0.safetensors", "fold-1.jsonl", "fold-1.safetensors"]
    assert {line["fold"] for line in found.curve} == {1}
    assert found.curve[-1]["loss"] < found.curve[0]["loss"]

    model = load_classifier(found.checkpoints[1], config, torch.device("cpu"))
    unseen = np.flatnonzero(sample_folds(config, samples.labels, prompts) == 1)
    decoded = [cv2.imdecode(np.frombuffer(samples.image(i), np.uint8), cv2.IMREAD_COLOR_RGB) for i in unseen]
    assert (model.probabilities(decoded).argmax(axis=1) == samples.labels[unseen].argmax(axis=1)).mean() > 0.9

    assert found.precision == ("fp32 on cpu",)

    # A fold of an earlier version, which counted the precision in, is finished all the same.
    for fold, earlier in enumerate((before_bf16, before_fp32)):
        save_file(load_file(checkpoint_path(tmp_path, fold)), checkpoint_path(tmp_path, fold), metadata={"fingerprint": earlier})
    # Nothing left to do: no training starts, even without any cluster. Other labels are another training.
    assert train_classifier(config, samples, prompts, tmp_path, 2).curve == found.curve
    assert fingerprints(config, *held(60))[0] != fingerprint


def test_a_frozen_stem_stays_as_it_was_while_the_rest_learns(config, tmp_path):
    frozen = config.model_copy(update={"classifier": config.classifier.model_copy(update={"freeze_stem": True, "epochs": 1})})
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        trained = load_file(train_classifier(frozen, *held(40), tmp_path, 1).checkpoints[0])
    finally:
        ray.shutdown()
    start = new_classifier(frozen).state_dict()
    changed = {name for name, tensor in trained.items() if name.startswith("trunk.") and not torch.equal(tensor, start[name])}
    assert changed == {name for name in start if name.startswith("trunk.") and not name.startswith("trunk.patch_embed.")}


def test_a_stem_that_learns_is_the_training_of_versions_that_froze_none(config):
    samples, prompts = held(40)
    before = config.classifier.model_dump(mode="json", exclude={"freeze_stem", "precision"})
    images = [image_sha256(encoded) for encoded in samples.images]
    folds = sample_folds(config, samples.labels, prompts)
    earlier = digest("classifier", before, list(config.classes), config.seed, images, samples.labels.tolist(), folds.tolist())
    assert fingerprints(config, samples, prompts)[0] == earlier
    frozen = config.model_copy(update={"classifier": config.classifier.model_copy(update={"freeze_stem": True})})
    assert fingerprints(frozen, samples, prompts)[0] != earlier
