from __future__ import annotations

import numpy as np
import pytest

from synthseg.method.prompts.memory import PromptMemory


def test_nearest_is_the_cosine_to_the_closest_text() -> None:
    memory = PromptMemory(2)
    assert memory.nearest("a", np.array([1, 0], np.float32)) == -1.0
    memory.add("A cat", np.array([1, 0], np.float32))
    memory.add("A dog", np.array([0, 1], np.float32))
    assert memory.nearest("b", np.array([0.6, 0.8], np.float32)) == pytest.approx(0.8)
    assert memory.nearest("a CAT", np.array([0.6, 0.8], np.float32)) == 1.0
    assert memory.texts == ("A cat", "A dog")
    np.testing.assert_array_equal(memory.embeddings, np.eye(2))
