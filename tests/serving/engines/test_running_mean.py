from __future__ import annotations

import pytest

from serving.engines.running_mean import RunningMean


def test_the_first_value_counts_whole_and_later_ones_by_their_share() -> None:
    mean = RunningMean(0.2)
    assert mean.value == 0
    mean.add(10.0)
    assert mean.value == 10
    mean.add(20.0)
    assert mean.value == pytest.approx(12.0)
