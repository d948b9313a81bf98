"""Which weights a configuration's frozen models have on this machine."""

from __future__ import annotations

from synthseg.config.schema import RunConfig
from synthseg.ids import digest
from synthseg.method.networks.clip_loading import load_open_clip, state_hash
from synthseg.method.networks.timm_loading import load_timm


def weights_digests(config: RunConfig) -> dict[str, str]:
    """Digest of the weights of each model that judges images or makes masks, by the setting that names it.

    They follow from the weights' values, not from the files or the device they come from. Models are loaded one after the other into
    host memory and let go. UsageProblem when weights are missing.
    """
    scoring, segmenter = config.scoring, config.segmenter
    found = {"scoring.model": load_open_clip(scoring.model, scoring.weights).digest}
    if (segmenter.clip_model, segmenter.clip_weights) == (scoring.model, scoring.weights):
        found["segmenter.clip_model"] = found["scoring.model"]
    else:
        clip = load_open_clip(segmenter.clip_model, segmenter.clip_weights, field="segmenter.clip_model")
        found["segmenter.clip_model"] = clip.digest
    if segmenter.mode == "clip_dino":
        trunk = load_timm(segmenter.dino_model, segmenter.dino_weights, "segmenter.dino_model")
        found["segmenter.dino_model"] = digest("timm", state_hash(trunk))
    return found
