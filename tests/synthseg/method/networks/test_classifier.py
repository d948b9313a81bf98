from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from synthseg.config.loading import load_config
from synthseg.errors import CorruptData, UsageProblem
from synthseg.method.networks.classifier import (
    PatchClassifier,
    _embedded_classifier,
    classification_loss,
    load_classifier,
    new_classifier,
    to_batch,
)

SIZE = 64
CPU = torch.device("cpu")


def config(**changes):
    loaded = load_config("embedded", classes=["cat", "dog", "sheep"])
    section = {"model": "test_vit", "image_size": SIZE, "precision": "fp32", **changes}
    return loaded.model_copy(update={"classifier": loaded.classifier.model_copy(update=section)})


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> str:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "trunk.safetensors"
    save_file(timm.create_model("test_vit", num_classes=0).state_dict(), path)
    return str(path)


def images(*shapes):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*shape, 3)).astype(np.uint8) for shape in shapes]


def test_patches_have_classes_and_the_class_token_is_dropped(weights):
    model = new_classifier(config(weights=weights)).eval()
    tokens, probs = model(to_batch(images((SIZE, SIZE), (SIZE, SIZE)), SIZE, torch.device("cpu")))
    assert tokens.shape == (2, 16, 64)
    assert probs.shape == (2, 16, 3)
    assert ((probs > 0) & (probs < 1)).all()


def test_top_k_and_adaptive_pooling(weights):
    probs = torch.tensor([0.8, 0.6, 0.3, 0.1]).reshape(1, 4, 1)
    assert new_classifier(config(weights=weights, top_k=2)).pool(probs).item() == pytest.approx(0.7)
    assert new_classifier(config(weights=weights, top_k=9)).pool(probs).item() == pytest.approx(0.45)
    adaptive = new_classifier(config(weights=weights, pooling="adaptive_k", adaptive_ratio=0.35))
    assert adaptive.pool(probs).item() == pytest.approx((0.8 + 0.6 + 0.3) / 3)


def test_unknown_labels_change_nothing():
    probs = torch.tensor([[0.2, 0.9, 0.5]], requires_grad=True)
    loss = classification_loss(probs, torch.tensor([[1, -1, 0]], dtype=torch.int8))
    assert loss.item() == pytest.approx(-np.log(0.2) - np.log(0.5))
    loss.sum().backward()
    assert probs.grad[0, 1] == 0
    assert classification_loss(torch.zeros(1, 1), torch.ones(1, 1)).isfinite().all()


def test_probabilities_do_not_depend_on_batch_or_mirror(weights, monkeypatch):
    model = new_classifier(config(weights=weights))
    some = images((SIZE, SIZE), (90, 70), (40, 64))
    found = model.probabilities(some)
    assert found.shape == (3, 3)
    assert found.dtype == np.float32
    monkeypatch.setattr("synthseg.method.networks.classifier.BATCH", 1)
    np.testing.assert_allclose(model.probabilities(some), found, rtol=1e-4)
    np.testing.assert_allclose(model.probabilities([image[:, ::-1] for image in some[:1]]), found[:1], rtol=1e-4)
    assert model.probabilities([]).shape == (0, 3)


@pytest.mark.parametrize("name", ["test_vit", "embedded"])
def test_opinions_are_formed_at_their_own_scale(name, weights, monkeypatch):
    settings = config(model=name, weights=weights, opinion_scale=1.6)
    model = (_embedded_classifier(settings) if name == "embedded" else new_classifier(settings)).eval()
    seen = []
    monkeypatch.setattr(model, "pool", lambda probs: seen.append(probs.shape[1]) or PatchClassifier.pool(model, probs))
    assert model.probabilities(images((SIZE, SIZE), (90, 70))).shape == (2, 3)
    patch = model.trunk.patch_embed.feat_ratio(as_scalar=True)
    assert seen == [round(1.6 * SIZE / patch) ** 2]


def test_learns_from_image_labels_alone(weights):
    torch.manual_seed(0)
    model = new_classifier(config(weights=weights, top_k=2)).train()
    batch = torch.full((8, 3, SIZE, SIZE), 110.0)
    labels = torch.tensor([[1, 0, -1], [0, 1, -1]] * 4)
    batch[::2, 0, 16:48, 16:48] = 250
    batch[1::2, 2, 16:48, 16:48] = 250
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    first = model.losses(batch, labels).mean().item()
    for _ in range(25):
        optimizer.zero_grad()
        loss = model.losses(batch, labels).mean()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.5 * first


def test_round_trip_through_a_file(weights, tmp_path):
    model = new_classifier(config(weights=weights)).eval()
    save_file(model.state_dict(), tmp_path / "fold-0.safetensors")
    loaded = load_classifier(tmp_path / "fold-0.safetensors", config(weights=weights), CPU)
    some = images((SIZE, SIZE))
    np.testing.assert_array_equal(loaded.probabilities(some), model.probabilities(some))


def test_a_trained_classifier_lies_where_it_is_asked_to(weights, tmp_path):
    save_file(new_classifier(config(weights=weights)).state_dict(), tmp_path / "fold-0.safetensors")
    model = load_classifier(tmp_path / "fold-0.safetensors", config(weights=weights), torch.device("meta"))
    # `mean` is where `probabilities` puts the images.
    assert {tensor.device.type for tensor in (model.mean, model.std, *model.parameters())} == {"meta"}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_gpu_has_the_opinions_of_a_cpu(weights, tmp_path):
    save_file(new_classifier(config(weights=weights)).state_dict(), tmp_path / "fold-0.safetensors")
    on_cpu, on_gpu = (load_classifier(tmp_path / "fold-0.safetensors", config(weights=weights), torch.device(d)) for d in ("cpu", "cuda"))
    some = images((SIZE, SIZE), (90, 70))
    np.testing.assert_allclose(on_gpu.probabilities(some), on_cpu.probabilities(some), atol=1e-3)
    assert torch.cuda.max_memory_allocated() > 0


def test_embedded_trunk_is_built_without_its_weights(tmp_path):
    embedded = config(model="embedded")
    model = _embedded_classifier(embedded).eval()
    save_file(model.state_dict(), tmp_path / "fold-0.safetensors")
    assert load_classifier(tmp_path / "fold-0.safetensors", embedded, CPU).probabilities(images((SIZE, SIZE))).shape == (1, 3)
    model.train()
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms
    assert not any(m.training for m in norms)


def test_bad_files_and_names_are_one_line(tmp_path, weights):
    with pytest.raises(UsageProblem, match="is missing"):
        load_classifier(tmp_path / "none.safetensors", config(weights=weights), CPU)
    (tmp_path / "torn.safetensors").write_bytes(b"torn")
    with pytest.raises(CorruptData, match=r"torn\.safetensors"):
        load_classifier(tmp_path / "torn.safetensors", config(weights=weights), CPU)
    with pytest.raises(UsageProblem, match=r"classifier\.model: .*'no_such_vit'"):
        new_classifier(config(model="no_such_vit"))
    with pytest.raises(UsageProblem, match="test_resnet"):
        load_classifier(tmp_path / "torn.safetensors", config(model="test_resnet"), CPU)


def test_embedded_head_starts_as_the_zero_shot_head(monkeypatch):
    import open_clip

    from synthseg.machine.packaged import EMBEDDED_CLIP
    from synthseg.method.networks import classifier as module
    from synthseg.method.networks.clip_loading import LoadedClip

    torch.manual_seed(0)
    clip = open_clip.create_model(f"local-dir:{EMBEDDED_CLIP}", load_weights=False).eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{EMBEDDED_CLIP}")
    loaded = LoadedClip(clip, tokenizer, (0.5,) * 3, (0.25,) * 3, (128, 128), "random")
    monkeypatch.setattr(module, "load_open_clip", lambda *_, **__: loaded)
    model = new_classifier(config(model="embedded")).eval()
    with torch.no_grad():
        tokens = model.trunk.norm(torch.randn(500, model.trunk.embed_dim))
        texts = torch.stack([clip.encode_text(tokenizer([t.format(name) for t in module.TEMPLATES])) for name in ("cat", "dog", "sheep")])
        prototypes = torch.nn.functional.normalize(torch.nn.functional.normalize(texts, dim=-1).mean(dim=1), dim=-1)
        cosines = torch.nn.functional.normalize(clip.visual.head(tokens), dim=-1) @ prototypes.T
        expected = clip.logit_scale.exp() * cosines + clip.logit_bias
        found = model.head(tokens)
    assert (found.argmax(dim=1) == expected.argmax(dim=1)).all()
    torch.testing.assert_close(found, expected, atol=0.2, rtol=0.05)
