from __future__ import annotations

from synthseg.config import load_config
from synthseg.ids import derive_seed
from synthseg.sample_plan import plan_samples, plan_shards
from tests.rows import candidates
from tests.synthseg.store.test_verify import accepted


def test_the_plan_depends_on_content_alone() -> None:
    one = load_config("embedded", ["execution.workers=1", "execution.image_batch_size=4", "execution.shard_size=8"])
    two = load_config("embedded", ["execution.workers=2", "execution.image_batch_size=16", "segmenter.learning_rate=0.5"])
    assert plan_samples(one, candidates(accepted(one)), "e").equals(plan_samples(two, candidates(accepted(two)), "e"))


def test_another_engine_or_seed_makes_other_samples() -> None:
    config, other = load_config("embedded"), load_config("embedded", seed=9)
    ids = [
        set(plan_samples(c, candidates(accepted(c)), e).column("sample_id").to_pylist())
        for c, e in ((config, "a"), (config, "b"), (other, "a"))
    ]
    assert not ids[0] & ids[1]
    assert not ids[0] & ids[2]


def test_seeds_follow_from_ids() -> None:
    config = load_config("embedded")
    assert all(row["seed"] == derive_seed(row["sample_id"]) for row in plan_samples(config, candidates(accepted(config)), "e").to_pylist())


def test_a_shard_never_cuts_a_prompt() -> None:
    config = load_config("embedded")
    plan = plan_samples(config, candidates(accepted(config)), "e")
    per_prompt = config.images.images_per_prompt
    for size in (1, per_prompt, per_prompt + 1, 3 * per_prompt - 1):
        shards = list(plan_shards(plan, per_prompt, size))
        assert sum(table.num_rows for _, table in shards) == plan.num_rows
        assert all(table.num_rows % per_prompt == 0 for _, table in shards)
        prompts = [{row["prompt_id"] for row in table.column("prompt").to_pylist()} for _, table in shards]
        assert sum(len(p) for p in prompts) == len(set.union(*prompts))
