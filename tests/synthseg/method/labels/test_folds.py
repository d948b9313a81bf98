from __future__ import annotations

import numpy as np

from synthseg.method.labels.folds import fold_of


def test_folds_are_fixed_by_content_and_even():
    folds = [fold_of(f"prompt-{i}", 3) for i in range(3000)]
    assert folds == [fold_of(f"prompt-{i}", 3) for i in range(3000)]
    assert folds[:8] == [2, 0, 1, 1, 2, 0, 0, 0]
    counts = np.bincount(folds)
    assert len(counts) == 3
    assert counts.min() > 900
