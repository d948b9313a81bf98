import json
import shutil

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file

import synthseg.method.networks.hybrid_vit  # noqa: F401  registers the tower
from synthseg.engines.open_clip import engine as open_clip_scorer
from synthseg.engines.open_clip.engine import OpenClipScorer
from synthseg.errors import UsageProblem
from synthseg.machine.packaged import EMBEDDED_CLIP
from synthseg.method.networks import clip_loading
from tests.hardware import needs_bf16


def make_folder(path, seed=0, **changes):
    path.mkdir()
    config = json.loads((EMBEDDED_CLIP / "open_clip_config.json").read_text(encoding="utf-8"))
    config["model_cfg"].update(changes)
    config["model_cfg"]["text_cfg"]["layers"] = 1
    (path / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    torch.manual_seed(seed)
    model = open_clip.create_model(f"local-dir:{path}", load_weights=False)
    save_file({name: t.half() if t.is_floating_point() else t for name, t in model.state_dict().items()}, path / "model.safetensors")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("clip") / "model")


def test_embeddings_are_unit_rows_of_one_space(folder):
    scorer = OpenClipScorer(f"local-dir:{folder}")
    images = [np.random.default_rng(i).integers(0, 256, shape, dtype=np.uint8) for i, shape in enumerate([(128, 128, 3), (60, 200, 3)])]
    texts, pictures = scorer.embed_texts(["a dog", "a cat", "a dog"]), scorer.embed_images(images)
    assert texts.shape == (3, 192)
    assert pictures.shape == (2, 192)
    assert texts.dtype == pictures.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(np.vstack([texts, pictures]), axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(texts[0], texts[2], atol=1e-6)
    assert np.abs(texts[0] - texts[1]).max() > 1e-4
    assert scorer.embed_images([]).shape == (0, 192)


def test_an_embedding_does_not_depend_on_its_batch(folder):
    scorer = OpenClipScorer(str(folder))
    images = [np.random.default_rng(i).integers(0, 256, (128, 128, 3), dtype=np.uint8) for i in range(5)]
    np.testing.assert_allclose(scorer.embed_images(images)[3], scorer.embed_images(images[3:4])[0], atol=1e-5)


def test_preprocessing_is_the_models_own(folder):
    scorer = OpenClipScorer(str(folder))
    flat = np.full((128, 128, 3), 191, np.uint8)
    prepared = scorer.prepare([flat])
    np.testing.assert_allclose(prepared.numpy(), (191 / 255 - 0.5) / 0.25, atol=1e-5)


def test_digest_follows_weights_and_preprocessing(folder, tmp_path):
    first = OpenClipScorer(str(folder)).digest
    assert OpenClipScorer(f"local-dir:{folder}").digest == first
    assert OpenClipScorer(str(make_folder(tmp_path / "other", seed=1))).digest != first
    moved = tmp_path / "moved"
    shutil.copytree(folder, moved)
    config = json.loads((moved / "open_clip_config.json").read_text(encoding="utf-8"))
    config["preprocess_cfg"]["mean"] = [0.4, 0.5, 0.5]
    (moved / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    assert OpenClipScorer(str(moved)).digest != first


def test_sigmoid_models_have_a_bias_and_softmax_models_none(folder, tmp_path):
    assert OpenClipScorer(str(folder)).logit_bias == pytest.approx(-4.0, abs=1e-2)
    assert OpenClipScorer(str(make_folder(tmp_path / "softmax", init_logit_bias=None))).logit_bias is None


def test_missing_weights_name_the_file_and_the_way_out(tmp_path, monkeypatch):
    empty = tmp_path / "embedded_clip"
    empty.mkdir()
    shutil.copy(EMBEDDED_CLIP / "open_clip_config.json", empty)
    monkeypatch.setattr(clip_loading, "EMBEDDED_CLIP", empty)
    with pytest.raises(UsageProblem, match=r"model\.safetensors.*make embedded-clip"):
        OpenClipScorer("embedded")


@pytest.mark.parametrize(
    ("model", "weights"), [("no-such-model", ""), ("ViT-B-16", "no-such-tag"), ("embedded", "file.pt"), ("local-dir:/nowhere", "")]
)
def test_unknown_models_and_tags_are_usage_problems(model, weights):
    with pytest.raises(UsageProblem) as caught:
        OpenClipScorer(model, weights)
    assert "\n" not in str(caught.value)


def test_wrong_images_are_refused(folder):
    scorer = OpenClipScorer(str(folder))
    for image in (np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3), np.float32)):
        with pytest.raises(UsageProblem, match="RGB uint8"):
            scorer.embed_images([image])


def test_many_batches_prefetched_are_the_batches_one_by_one(folder, monkeypatch):
    monkeypatch.setattr(open_clip_scorer, "BATCH_SIZE", 3)
    scorer = OpenClipScorer(str(folder))
    images = [np.random.default_rng(i).integers(0, 256, (90 + i, 70, 3), dtype=np.uint8) for i in range(11)]
    expected = np.concatenate([scorer.embed_images(images[start : start + 3]) for start in range(0, 11, 3)])
    np.testing.assert_array_equal(scorer.embed_images(images), expected)


def test_pixels_are_normalised_as_floats_would_be_on_the_host(folder):
    scorer = OpenClipScorer(str(folder))
    image = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    mean, std = np.asarray(scorer.loaded.mean, np.float32), np.asarray(scorer.loaded.std, np.float32)
    expected = (image.astype(np.float32) / np.float32(255) - mean) / std
    np.testing.assert_array_equal(scorer.prepare([image])[0].permute(1, 2, 0).numpy(), expected)


@needs_bf16
def test_bf16_moves_images_a_little_and_texts_not_at_all(folder):
    exact, fast = OpenClipScorer(str(folder)), OpenClipScorer(str(folder), precision="bf16")
    images = [np.random.default_rng(i).integers(0, 256, (128, 128, 3), dtype=np.uint8) for i in range(3)]
    a, b = exact.embed_images(images), fast.embed_images(images)
    assert (a != b).any()
    assert b.dtype == np.float32
    assert ((a * b).sum(axis=1) > 0.995).all()
    np.testing.assert_array_equal(exact.embed_texts(["a dog"]), fast.embed_texts(["a dog"]))
    assert exact.digest == fast.digest


def test_fixed_texts_are_embedded_once_a_machine(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHSEG_CACHE", str(tmp_path))
    first = OpenClipScorer(str(folder)).embed_fixed_texts(["a dog", "a cat"])
    again = OpenClipScorer(str(folder))
    np.testing.assert_array_equal(first, again.embed_texts(["a dog", "a cat"]))
    monkeypatch.setattr(again, "embed_texts", lambda texts: pytest.fail("embedded again"))
    np.testing.assert_array_equal(again.embed_fixed_texts(["a dog", "a cat"]), first)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_gpu_scores_as_a_cpu_does(folder):
    images = [np.random.default_rng(i).integers(0, 256, (100, 140, 3), dtype=np.uint8) for i in range(200)]
    cpu, gpu = OpenClipScorer(str(folder), device="cpu"), OpenClipScorer(str(folder))
    assert gpu.digest == cpu.digest
    np.testing.assert_allclose(gpu.embed_images(images), cpu.embed_images(images), atol=2e-3)
    np.testing.assert_allclose(gpu.embed_texts(["a dog"]), cpu.embed_texts(["a dog"]), atol=1e-4)
    fast = OpenClipScorer(str(folder), precision="bf16")
    assert ((fast.embed_images(images) * cpu.embed_images(images)).sum(axis=1) > 0.99).all()
