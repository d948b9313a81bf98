from __future__ import annotations

import numpy as np

from synthseg.method.prompts.exploration import Coverage
from synthseg.method.prompts.profiles import profile
from synthseg.taxonomy import taxonomy

HORSE = profile(taxonomy("voc").by_id(13))


def test_asks_for_the_scene_the_memory_lacks() -> None:
    texts = [f"A horse by a {scene}" for scene in ("meadow", "farm", "mountain", "snowy hill", "pond")]
    assert Coverage(HORSE, texts).least("scene", np.random.default_rng(0)) == "forest"


def test_a_round_spreads_its_requests() -> None:
    coverage = Coverage(HORSE, [])
    rng = np.random.default_rng(0)
    asked = [coverage.propose("target", rng).scene for _ in range(2 * len(HORSE.scenes))]
    assert {asked.count(scene) for scene in HORSE.scenes} == {2}


def test_bare_proposals_leave_the_usual_scenes() -> None:
    coverage = Coverage(HORSE, [])
    proposals = [coverage.propose("bare", np.random.default_rng(seed)) for seed in range(10)]
    assert {p.scene for p in proposals} <= set(HORSE.unusual_scenes)
    assert not any(p.companion for p in proposals)
