from dataclasses import asdict

import numpy as np
import pytest
import torch
from safetensors import safe_open

from synthseg.taxonomy import taxonomy
from training import clip_data
from training.clip import ClipTrainingConfig, new_clip, train_worker
from training.clip_augment import AugmentStrength, degrade, recolor, reframe
from training.clip_data import ClipData, ClipSampler, render_shard
from training.clip_objective import ClipObjective, LossWeights, encode_short, sigmoid_loss
from training.clip_texts import ClassTexts, PlaceTexts, Tokens


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    size, clip_data.SHARD_SIZE = clip_data.SHARD_SIZE, 8
    render_shard(folder, 0, 5)
    yield ClipData(folder)
    clip_data.SHARD_SIZE = size


def test_shards_hold_what_was_painted_and_captioned(data):
    assert len(data) == 8
    assert data.image(3).shape == (128, 128, 3)
    assert sum(bool(row["visible"]) for row in data.rows) > 3
    assert all(len(row["captions"]) == len(row["named"]) == clip_data.NUM_CAPTIONS for row in data.rows)
    assert any(row["named"][0] for row in data.rows)


def test_a_batch_depends_on_its_number_alone(data):
    first, again, other = (ClipSampler(data, 1).batch(n, 8, 96) for n in (3, 3, 4))
    for name in ("images", "regions", "labels", "class_texts", "captions"):
        assert torch.equal(getattr(first, name), getattr(again, name))
    assert not torch.equal(first.images, other.images)


def test_mosaics_give_each_quarter_its_own_labels(data):
    batch = ClipSampler(data, 1, mosaic_share=0.5).batch(0, 8, 96)
    assert batch.num_regions.tolist() == [1] * 4 + [4] * 4
    assert (batch.regions[:4] == 0).all()
    quarters = batch.regions[4].reshape(12, 12)
    assert sorted(quarters.unique().tolist()) == [0, 1, 2, 3]
    assert quarters[[0, 0, -1, -1], [0, -1, 0, -1]].tolist() == [0, 1, 2, 3]
    assert (batch.caption_images < 4).all()


def test_augmentation_keeps_size_and_says_when_colors_changed():
    rng = np.random.default_rng(0)
    image = np.zeros((128, 128, 3), np.uint8)
    image[..., 0] = 200
    image[40:80, 40:80] = (20, 40, 220)
    held = [recolor(reframe(image, 96, 64, AugmentStrength(), rng), AugmentStrength(), rng) for _ in range(40)]
    assert {framed.shape for framed, _ in held} == {(64, 96, 3)}
    assert 0 < sum(not holds for _, holds in held) < 30
    assert degrade(image, AugmentStrength(), rng).shape == image.shape
    still, holds = recolor(image, AugmentStrength(odd_color_probability=0.0), rng)
    assert holds
    assert still[5, 5, 0] > still[5, 5, 2]


def test_texts_cover_all_classes_and_know_what_a_place_holds():
    voc = taxonomy("voc")
    texts = ClassTexts(voc).varied(np.random.default_rng(0))
    assert len(texts) == len(ClassTexts(voc).negated(np.random.default_rng(0))) == 20
    places = PlaceTexts(voc)
    column = len(places.places) + voc.background_words.index("grass")
    assert places.labels[places.places.index("meadow"), column] == 1
    assert places.labels[places.places.index("kitchen"), column] == 0
    assert (places.labels[-1] == -1).all()
    assert len(places.varied(np.random.default_rng(0))) == places.labels.shape[1]


def test_strewn_words_leave_the_text_in_order():
    tokens, rng = Tokens(), np.random.default_rng(0)
    ids = tokens.encode("a brown horse in a meadow")
    mixed = tokens.strew(ids, 3, rng)
    assert len(mixed) == len(ids) + 3
    rest = iter(mixed)
    assert all(token in rest for token in ids)
    assert tokens.pack([ids, mixed]).shape == (2, len(mixed) + 2)


def test_short_encoding_equals_open_clips_own():
    torch.manual_seed(0)
    clip = new_clip().eval()
    tokens = Tokens()
    packed = torch.from_numpy(tokens.pack([tokens.encode("a dog"), tokens.encode("two red cars on a street")]))
    full = torch.nn.functional.pad(packed, (0, 48 - packed.shape[1]))
    with torch.no_grad():
        torch.testing.assert_close(encode_short(clip.text, packed), clip.encode_text(full, normalize=True), atol=1e-5, rtol=1e-4)


def test_unknown_labels_cost_nothing():
    logits = torch.tensor([[3.0, -2.0]])
    known = torch.tensor([[True, False]])
    assert sigmoid_loss(logits, torch.tensor([[1.0, 1.0]]), known) == sigmoid_loss(logits, torch.tensor([[1.0, 0.0]]), known)
    assert sigmoid_loss(logits, torch.tensor([[0.0, 0.0]])) > sigmoid_loss(logits, torch.tensor([[1.0, 0.0]]))


class _Context:
    def get_world_rank(self):
        return 0

    def get_world_size(self):
        return 1


def test_a_few_steps_lower_the_loss_and_a_second_call_resumes(data, tmp_path, monkeypatch):
    monkeypatch.setattr("ray.train.get_context", _Context)
    monkeypatch.setattr("training.clip.ClipData", lambda folder: data)
    settings = {"out": str(tmp_path), "batch_size": 8, "size": 64, "final_size": 64, "warmup_steps": 4, "learning_rate": 5e-4, "seed": 3}
    config = ClipTrainingConfig(**settings, num_samples=8 * 16)
    torch.manual_seed(config.seed)
    objective, batch = ClipObjective(new_clip(), LossWeights()), ClipSampler(data, 99).batch(0, 8, 64)
    with torch.no_grad():
        before = float(objective(batch)[0])
    train_worker(asdict(config))
    samples, weights = stored(tmp_path / "model.safetensors")
    assert samples == "128"
    assert weights["visual.head.proj.weight"].dtype == torch.float16
    objective.clip.load_state_dict(weights)
    with torch.no_grad():
        assert float(objective(batch)[0]) < 0.9 * before
    train_worker(asdict(config) | {"num_samples": 8 * 20})
    more, trained_on = stored(tmp_path / "model.safetensors")
    assert more == "160"
    change = (trained_on["visual.head.proj.weight"].float() - weights["visual.head.proj.weight"].float()).norm()
    assert 0 < change < weights["visual.head.proj.weight"].float().norm()


def stored(path):
    with safe_open(path, "pt") as file:
        return file.metadata()["samples"], {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
