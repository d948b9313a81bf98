from __future__ import annotations

import pickle
import subprocess
import sys

from cluster.ray.packed import Packed
from synthseg.method.networks.frozen import load_frozen

_PASS_ON = """
import pickle, sys
packed = pickle.load(sys.stdin.buffer)
assert "torch" not in sys.modules, "passing it on has imported what it refers to"
sys.stdout.buffer.write(pickle.dumps(packed))
"""


def test_what_passes_through_a_process_is_not_imported_there_and_comes_out_whole() -> None:
    sent = pickle.dumps(Packed((load_frozen, {"workers": 2})))
    passed = subprocess.run([sys.executable, "-c", _PASS_ON], input=sent, capture_output=True, check=True, timeout=60)
    function, settings = pickle.loads(passed.stdout).unpack()
    assert function is load_frozen
    assert settings == {"workers": 2}
