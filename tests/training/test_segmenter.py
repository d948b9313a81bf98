from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import ray
import torch

from synthseg.config.schema import RunConfig
from synthseg.errors import UsageProblem
from synthseg.models.clip_loading import LoadedClip
from synthseg.models.frozen import FrozenParts, load_frozen
from synthseg.models.segmenter import Segmenter
from training.segmenter import CHECKPOINT, STATE, Share, TrainingSample, check_samples, train_segmenter, training_fingerprint

CLASSES = ("cat", "dog")


def run_config(iterations: int = 8) -> RunConfig:
    return RunConfig.model_validate(
        {
            "preset": "test",
            "taxonomy": "voc",
            "classes": CLASSES,
            "prompts": {"engine": "template", "prompts_per_class": 1},
            "images": {"engine": "painter", "width": 32, "height": 32},
            "scoring": {"model": "embedded"},
            "classifier": {"model": "embedded", "image_size": 32, "epochs": 1, "batch_size": 4, "learning_rate": 1e-3},
            "relabel": {},
            "segmenter": {
                "mode": "clip_only",
                "clip_model": "test",
                "crop_size": 32,
                "iterations": iterations,
                "batch_size": 4,
                "learning_rate": 3e-3,
                "warmup_iterations": 1,
                "decoder_width": 16,
                "decoder_blocks": 1,
                "par_iterations": 2,
                "affinity_radius": 2,
                "precision": "fp32",
            },
            "evaluation": {"dataset": "field"},
            "execution": {},
        }
    )


def random_parts(config: RunConfig, device: torch.device) -> FrozenParts:
    """Frozen parts around a small random tower, the same in every process; imports stay inside, for the workers."""
    import open_clip
    from open_clip.model import CLIPTextCfg, CLIPVisionCfg

    torch.manual_seed(0)
    vision = CLIPVisionCfg(layers=2, width=32, head_width=8, patch_size=8, image_size=32)
    model = open_clip.CLIP(16, vision, CLIPTextCfg(context_length=16, vocab_size=49408, width=16, heads=2, layers=1)).eval()
    tokenizer = open_clip.get_tokenizer("ViT-B-32", context_length=16)
    return load_frozen(config, device, LoadedClip(model, tokenizer, (0.5,) * 3, (0.25,) * 3, (32, 32), "test"))


def sample(seed: int, with_mask: bool = True) -> TrainingSample:
    """A dark 32 px image with a bright red (cat) or green (dog) square, and where it is."""
    rng = np.random.default_rng(seed)
    image, mask = rng.integers(0, 40, (32, 32, 3), dtype=np.uint8), np.zeros((32, 32), np.uint8)
    top, left, value = *rng.integers(0, 16, 2), seed % 2
    mask[top : top + 16, left : left + 16] = value + 1
    image[mask > 0, 2 - value] = 255
    return TrainingSample(cv2.imencode(".png", image)[1].tobytes(), (1 - value, value), mask if with_mask else None)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    root = str(Path(__file__).parents[2])
    environment = {"PYTHONPATH": os.pathsep.join([root, str(Path(__file__).parent)]), "OMP_NUM_THREADS": "1"}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": environment})
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def trained(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training of two workers."""
    out = tmp_path_factory.mktemp("segmenter")
    train_segmenter(run_config(30), SAMPLES, out, 2, checkpoint_every=20, load_parts=random_parts)
    return out


SAMPLES = [sample(i) for i in range(12)]


def test_two_workers_learn_given_masks(trained: Path) -> None:
    config = run_config(30)
    assert not (trained / "ray").exists()
    segmenter = Segmenter.load(trained / CHECKPOINT, config, torch.device("cpu"), random_parts(config, torch.device("cpu")))
    images = [cv2.cvtColor(cv2.imdecode(np.frombuffer(s.encoded, np.uint8), 1), cv2.COLOR_BGR2RGB) for s in SAMPLES]
    right = [(p == s.mask).mean() for p, s in zip(segmenter.predict(images), SAMPLES, strict=True)]
    assert np.mean(right) > 0.6


def test_a_finished_training_does_not_start_again(trained: Path) -> None:
    before = (trained / CHECKPOINT).read_bytes()
    result = train_segmenter(run_config(30), SAMPLES, trained, 2, load_parts=random_parts)
    assert result.seconds == 0
    assert (trained / CHECKPOINT).read_bytes() == before
    assert result.curves[-1]["iteration"] == 30
    assert [line["iteration"] for line in result.curves] == [10, 20, 30]


def test_share_cuts_batches_that_depend_on_the_iteration_alone() -> None:
    config = run_config()
    parts = random_parts(config, torch.device("cpu"))
    share = Share(SAMPLES, parts, config)
    first, again = share.batch(3, 4, 0, torch.device("cpu")), Share(SAMPLES, parts, config).batch(3, 4, 0, torch.device("cpu"))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], share.batch(4, 4, 0, torch.device("cpu"))[0])
    images, target, allowed = first
    assert images.shape == (4, 3, 32, 32)
    assert target.shape == (4, 32, 32)
    assert allowed[:, 0].all()
    assert all(allowed[i][v] for i in range(4) for v in target[i].unique() if v not in (0, 255))


def test_given_masks_are_used_and_missing_ones_made() -> None:
    config = run_config()
    parts = random_parts(config, torch.device("cpu"))
    mixed = [SAMPLES[0], replace(SAMPLES[1], mask=None)]
    share = Share(mixed, parts, config)
    np.testing.assert_array_equal(share._pair(0)[1], SAMPLES[0].mask)
    made = parts.masker(config.segmenter).masks([share._pair(1)[0]], np.array([SAMPLES[1].label], np.int8))[0]
    np.testing.assert_array_equal(share._pair(1)[1], made)


def test_fingerprint_changes_with_settings_labels_and_masks() -> None:
    base = training_fingerprint(run_config(), SAMPLES, 2)
    assert base == training_fingerprint(run_config(), SAMPLES, 2)
    relabelled = [replace(SAMPLES[0], label=(-1, 0)), *SAMPLES[1:]]
    unmasked = [replace(SAMPLES[0], mask=None), *SAMPLES[1:]]
    others = {
        training_fingerprint(run_config(9), SAMPLES, 2),
        training_fingerprint(run_config(), relabelled, 2),
        training_fingerprint(run_config(), unmasked, 2),
        training_fingerprint(run_config(), SAMPLES, 1),
    }
    assert len(others | {base}) == 5


@pytest.mark.parametrize(
    ("samples", "message"),
    [([], "no kept images"), ([replace(SAMPLES[0], label=(1,))], "1 values for 2"), ([replace(SAMPLES[0], label=(0, -1))], "no image has")],
)
def test_samples_that_cannot_be_trained_on_are_refused(samples: list[TrainingSample], message: str) -> None:
    with pytest.raises(UsageProblem, match=message):
        check_samples(run_config(), samples)


def test_resume_equals_an_uninterrupted_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from training import segmenter as module

    config = run_config(8)
    device = torch.device("cpu")
    parts = random_parts(config, device)
    share = Share(SAMPLES, parts, config)
    monkeypatch.setattr(module, "prepare_model", lambda model: model)

    def steps(out: Path, until: int) -> module._Trainer:
        trainer = module._Trainer(config, parts, device, "same", out)
        while trainer.iteration < until:
            torch.manual_seed(trainer.iteration)
            trainer.step(*share.batch(trainer.iteration, 4, 0, device))
        trainer.save()
        return trainer

    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    steps(tmp_path / "whole", 8).export()
    steps(tmp_path / "cut", 5)
    resumed = steps(tmp_path / "cut", 8)
    resumed.export()
    assert (tmp_path / "whole" / CHECKPOINT).read_bytes() == (tmp_path / "cut" / CHECKPOINT).read_bytes()
    assert (tmp_path / "cut" / STATE).exists()
