from __future__ import annotations

import numpy as np
import pytest

from synthseg.config.loading import load_config
from synthseg.datasets.base import open_dataset


def test_any_order_of_reading_gives_the_same_samples():
    config = load_config("embedded", ["evaluation.num_images=3"], classes=["cat", "boat"])
    forward, backward = open_dataset("field", config), open_dataset("field", config)
    assert len(forward) == 3
    for i in (2, 0, 1):
        one, other = forward[2 - i], backward[i]
        assert forward[i].name == other.name
        assert (forward[i].mask == other.mask).all()
        assert (forward[i].image == other.image).all()
        assert set(np.unique(one.mask)) <= {0, 4, 8, 255}
        assert (one.mask > 0).any()
    with pytest.raises(IndexError):
        forward[3]


def test_the_whole_split_has_a_size():
    assert len(open_dataset("field", load_config("embedded", ["evaluation.num_images=0"]))) == 200
