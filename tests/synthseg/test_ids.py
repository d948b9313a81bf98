from __future__ import annotations

import pytest

from synthseg.ids import canonical_json, derive_seed, digest, prompt_id, sample_id


def test_parts_do_not_run_into_each_other() -> None:
    assert digest("ab", "c") != digest("a", "bc")


def test_seed_fits_a_json_number() -> None:
    assert all(0 <= derive_seed("x", i) < 2**48 for i in range(200))


def test_prompt_id_ignores_the_order_of_classes() -> None:
    assert prompt_id([3, 1], "a bird and an airplane") == prompt_id([1, 3], "a bird and an airplane")


def test_every_field_changes_the_sample_id() -> None:
    base = ("f", [1], "a cat", "engine", {"width": 8}, 0)
    variants = [
        ("g", [1], "a cat", "engine", {"width": 8}, 0),
        ("f", [2], "a cat", "engine", {"width": 8}, 0),
        ("f", [1], "a dog", "engine", {"width": 8}, 0),
        ("f", [1], "a cat", "other", {"width": 8}, 0),
        ("f", [1], "a cat", "engine", {"width": 9}, 0),
        ("f", [1], "a cat", "engine", {"width": 8}, 1),
    ]
    assert len({sample_id(*values) for values in (base, *variants)}) == 7


def test_ids_stay_what_they_are() -> None:
    """Golden values: a change here orphans every stored run."""
    assert sample_id("f", [8], "a cat", "engine", {"width": 8}, 0) == "6a61e5cedc4dd1399e23ae81"
    assert prompt_id([8], "a cat") == "56fd8de073f1f8bd7d6082b1"
    assert derive_seed("a") == 84244931900442


def test_nan_has_no_canonical_form() -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(float("nan"))
