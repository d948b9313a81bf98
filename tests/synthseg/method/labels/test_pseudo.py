from __future__ import annotations

import numpy as np
import pytest

from synthseg.config.schema import ScoringConfig
from synthseg.method.labels.pseudo import pseudo_labels

CONFIG = ScoringConfig(model="embedded", present_threshold=0.6, absent_threshold=0.2, refute_threshold=0.05)


@pytest.mark.parametrize(
    ("image", "prompt", "asked", "label"),
    [
        (0.9, 0.9, False, 1),  # both spaces agree
        (0.9, 0.1, False, -1),  # the image shows what nobody asked for
        (0.1, 0.9, False, -1),  # the prompt speaks of it, the image does not show it
        (0.1, 0.1, False, 0),
        (0.4, 0.1, False, -1),
        (0.1, 0.1, True, 1),  # asked for and not refuted
        (0.04, 0.9, True, -1),  # asked for and refuted
        (0.6, 0.6, False, 1),
        (0.2, 0.1, False, -1),
    ],
)
def test_rule(image, prompt, asked, label):
    found = pseudo_labels(np.array([[image]]), np.array([[prompt]]), np.array([[asked]]), CONFIG)
    assert found.dtype == np.int8
    assert found.tolist() == [[label]]
