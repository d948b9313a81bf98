"""One contract, two kinds of index."""

from __future__ import annotations

from collections.abc import Callable

import faiss
import numpy as np
import pytest

from synthseg.engines.scorer import Embeddings
from synthseg.method.prompts import indexes
from synthseg.method.prompts.indexes import ClusteredIndex, FlatIndex, Index
from synthseg.method.prompts.memory import PromptMemory

DIM = 64
THRESHOLD = 0.92


def rows(count: int, seed: int) -> Embeddings:
    """Unit rows in 40 clumps."""
    centers = np.random.default_rng(0).standard_normal((40, DIM))
    rng = np.random.default_rng(seed)
    found = centers[rng.integers(40, size=count)] + 0.5 * rng.standard_normal((count, DIM))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def variants(of: Embeddings, seed: int) -> Embeddings:
    """Rows at cosines of 0.85 to 0.99 with the given ones."""
    rng = np.random.default_rng(seed)
    cosine, moved = rng.uniform(0.85, 0.99, (len(of), 1)), rng.standard_normal(of.shape)
    moved -= (moved * of).sum(axis=1, keepdims=True) * of
    found = cosine * of + np.sqrt(1 - cosine**2) * moved / np.linalg.norm(moved, axis=1, keepdims=True)
    return found.astype(np.float32)


def flat(held: Embeddings) -> Index:
    index = FlatIndex(DIM)
    index.add(held)
    return index


def clustered(held: Embeddings) -> Index:
    return ClusteredIndex(held, use_gpu=False)


KINDS = pytest.mark.parametrize("kind", [flat, clustered])
HELD = rows(6_000, 1)


@KINDS
def test_rows_are_kept_in_order_and_found_again(kind: Callable[[Embeddings], Index]) -> None:
    index = kind(HELD[:500])
    for row in HELD[500:1200]:
        index.add(row[None])
    assert len(index) == 1200
    np.testing.assert_array_equal(index.rows(), HELD[:1200])
    np.testing.assert_allclose(index.nearest(HELD[:1200]), 1, atol=1e-5)


@KINDS
def test_the_answer_is_a_held_row_and_no_further_than_the_nearest(kind: Callable[[Embeddings], Index]) -> None:
    queries = np.concatenate([variants(HELD[:500], 2), rows(500, 3)])
    found, exact = kind(HELD).nearest(queries), (queries @ HELD.T).max(axis=1)
    assert (found <= exact + 1e-5).all()
    assert (found >= exact - 1e-5).mean() >= 0.99
    right = (found >= THRESHOLD) == (exact >= THRESHOLD)
    assert right.mean() >= 0.99
    assert 0.1 < (exact >= THRESHOLD).mean() < 0.9


@KINDS
def test_the_same_rows_in_the_same_order_give_the_same_answers(kind: Callable[[Embeddings], Index]) -> None:
    queries = rows(200, 4)
    np.testing.assert_array_equal(kind(HELD[:3000]).nearest(queries), kind(HELD[:3000]).nearest(queries))


def test_cells_grow_with_the_square_root() -> None:
    index = ClusteredIndex(HELD[:1000], use_gpu=False)
    assert index.num_cells == 32
    index.add(HELD[1000:1999])
    assert index.num_cells == 32
    index.add(HELD[1999:4100])
    assert index.num_cells == 64
    np.testing.assert_array_equal(index.rows(), HELD[:4100])


def test_too_few_probes_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexes, "NUM_PROBES", 1)
    queries = rows(500, 3)
    assert (clustered(HELD).nearest(queries) >= flat(HELD).nearest(queries) - 1e-5).mean() < 0.9


def test_training_leaves_the_number_of_threads_as_it_was() -> None:
    before = faiss.omp_get_max_threads()
    clustered(HELD[:100])
    assert faiss.omp_get_max_threads() == before


def decisions(memory: PromptMemory) -> list[bool]:
    """The agent's loop over drafts half of which are near earlier ones."""
    drafts = np.concatenate([rows(600, 5), variants(rows(600, 5), 6)])[np.random.default_rng(7).permutation(1200)]
    accepted = []
    for number, draft in enumerate(drafts):
        accepted.append(memory.nearest(f"text {number}", draft) < THRESHOLD)
        if accepted[-1]:
            memory.add(f"text {number}", draft)
    return accepted


def test_a_memory_that_became_large_accepts_what_an_exact_one_accepts() -> None:
    exact, large = PromptMemory(DIM), PromptMemory(DIM, exact_up_to=200)
    expected, found = np.array(decisions(exact)), np.array(decisions(large))
    assert exact.is_exact
    assert not large.is_exact
    assert (expected == found).mean() >= 0.99
    assert 0.2 < expected.mean() < 0.95


@pytest.mark.parametrize("exact_up_to", [1, 2, 100_000])
def test_the_memorys_contract_holds_for_both_kinds(exact_up_to: int) -> None:
    memory = PromptMemory(2, exact_up_to)
    assert memory.nearest("a", np.array([1, 0], np.float32)) == -1.0
    memory.add("A cat", np.array([1, 0], np.float32))
    memory.add("A dog", np.array([0, 1], np.float32))
    assert memory.nearest("b", np.array([0.6, 0.8], np.float32)) == pytest.approx(0.8)
    assert memory.nearest("a CAT", np.array([0.6, 0.8], np.float32)) == 1.0
    assert memory.nearest("b", np.array([-1, 0], np.float32)) == pytest.approx(0.0)
    assert memory.texts == ("A cat", "A dog")
    np.testing.assert_array_equal(memory.embeddings, np.eye(2))


@pytest.mark.gpu
@pytest.mark.skipif(not indexes.has_gpu(), reason="needs a CUDA GPU and a GPU build of FAISS")
def test_the_gpu_decides_as_the_cpu_does() -> None:
    queries = np.concatenate([variants(HELD[:500], 2), rows(500, 3)])
    index = ClusteredIndex(HELD[:2500], use_gpu=True)
    index.add(HELD[2500:])
    np.testing.assert_array_equal(index.rows(), HELD)
    found, exact = index.nearest(queries), flat(HELD).nearest(queries)
    assert (found <= exact + 1e-4).all()
    assert ((found >= THRESHOLD) == (exact >= THRESHOLD)).mean() >= 0.99
