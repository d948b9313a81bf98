"""Preset `voc` with its own settings and its models' full shapes, on random weights in files of the real formats."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import open_clip
import pytest
import ray
import timm
import torch
from safetensors.torch import save_file

from synthseg.config import load_config
from synthseg.config.schema import RunConfig
from synthseg.engines.registry import build_scorer
from synthseg.image_codec import encode_png
from synthseg.method.labels.probabilities import ClassHead
from synthseg.method.networks.classifier import new_classifier, to_batch
from synthseg.method.networks.frozen import FrozenParts, load_frozen
from synthseg.method.networks.segmenter import Segmenter
from synthseg.taxonomy import taxonomy
from training.data import HeldSamples
from training.segmenter import train_segmenter

pytestmark = [pytest.mark.slow, pytest.mark.engines]

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    models = {
        "clip": open_clip.create_model("ViT-B-16-quickgelu"),
        "dino": timm.create_model("vit_base_patch14_dinov2"),
        "classifier": timm.create_model("vit_base_patch16_224", num_classes=0),
    }
    for name, model in models.items():
        save_file({key: t.half() if t.is_floating_point() else t for key, t in model.state_dict().items()}, folder / f"{name}.safetensors")
    settings = {
        "scoring.weights": "clip",
        "segmenter.clip_weights": "clip",
        "segmenter.dino_weights": "dino",
        "classifier.weights": "classifier",
    }
    files = [f"{setting}={folder / name}.safetensors" for setting, name in settings.items()]
    short = ["segmenter.iterations=2", "segmenter.batch_size=2", "segmenter.warmup_iterations=1", "evaluation.scales=[1.0]"]
    return load_config("voc", files + short, classes=["cat", "dog", "horse"])


@pytest.fixture(scope="module")
def parts(config: RunConfig) -> FrozenParts:
    return load_frozen(config, CPU)


@pytest.fixture
def cluster() -> Iterator[None]:
    environment = {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1", "SYNTHSEG_CACHE": os.environ["SYNTHSEG_CACHE"]}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": environment})
    yield
    ray.shutdown()


def image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (320, 400, 3), dtype=np.uint8)


def test_scoring_at_224_px(config: RunConfig) -> None:
    scorer = build_scorer(config)
    assert config.scoring.precision == "auto"
    assert scorer.logit_bias is None
    embeddings = scorer.embed_images([image(i) for i in range(3)])
    assert embeddings.shape == (3, 512)
    found = ClassHead(scorer, config.class_infos(), taxonomy("voc").background_words).probabilities(embeddings)
    assert found.shape == (3, 3)
    assert ((found > 0) & (found < 1)).all()


def test_seeds_and_affinity_of_a_320_px_crop(config: RunConfig, parts: FrozenParts) -> None:
    crop = image(0)[:, :320]
    layers, grid = parts.layers(torch.from_numpy(crop).permute(2, 0, 1)[None] / 255)
    assert grid == (20, 20)
    assert [len(tokens) for tokens in layers] == [13, 13]
    assert parts.layer_widths() == [[768] * 13, [768] * 13]
    mask = parts.masker(config.segmenter).masks([crop], np.array([[1, 0, -1]], np.int8))[0]
    assert mask.shape == (320, 320)
    assert set(np.unique(mask)) <= {0, 1, 255}


def test_the_classifier_learns_at_384_px(config: RunConfig) -> None:
    classifier = new_classifier(config)
    loss = classifier.losses(to_batch([image(0)], config.classifier.image_size, CPU), torch.tensor([[1, 0, -1]])).sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in classifier.parameters() if p.grad is not None)
    assert classifier.trunk.patch_embed.grid_size == (24, 24)


def test_the_segmenter_trains_and_predicts(config: RunConfig, parts: FrozenParts, cluster: None, tmp_path: Path) -> None:
    labels = np.array([(1, 0, -1), (0, 1, 0)], np.int8)
    masks = [encode_png(mask) for mask in parts.masker(config.segmenter).masks([image(0), image(1)], labels)]
    samples = HeldSamples([encode_png(image(i)) for i in range(2)], labels, [["0"], ["1"]], masks)
    trained = train_segmenter(config, samples, tmp_path, 1)
    assert trained.curves[-1]["iteration"] == 2
    assert np.isfinite(trained.curves[-1]["total"])
    mask = Segmenter.load(trained.checkpoint, config, CPU, parts).predict([image(9)])[0]
    assert mask.shape == (320, 400)
    assert mask.max() <= 3
