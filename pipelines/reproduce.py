"""One stored image made again from its record."""

from __future__ import annotations

import json
from dataclasses import dataclass

from synthseg.engines.image import GenerationFailure, ImageRequest
from synthseg.engines.registry import build_image_engine
from synthseg.errors import RunFailure, UsageProblem
from synthseg.ids import image_sha256
from synthseg.records import from_table, present
from synthseg.store.run_folder import RunFolder
from synthseg.store.verify import stage_schema


@dataclass(frozen=True, slots=True)
class Reproduction:
    """Hash of the stored image and of the one made again."""

    expected_sha256: str
    actual_sha256: str

    @property
    def matches(self) -> bool:
        """Whether the bytes are the same."""
        return self.expected_sha256 == self.actual_sha256


def reproduce(out: str, sample_id: str) -> Reproduction:
    """Make the image of `sample_id` again with this installation's engine.

    UsageProblem when the run has no such sample; RunFailure when it has no image or cannot be made.
    """
    folder = RunFolder.open(out)
    config = folder.config()
    for name in folder.shards.markers("images"):
        for sample in from_table(folder.shards.read("images", name, stage_schema("images"))):
            if sample.sample_id != sample_id:
                continue
            if sample.image is None:
                raise RunFailure(f"sample {sample_id} has no image: {present(sample.outcome).error}")
            parameters = json.loads(sample.image.parameters)
            request = ImageRequest(
                prompt=sample.prompt.text,
                seed=sample.seed,
                width=parameters.pop("width"),
                height=parameters.pop("height"),
                negative_prompt=parameters.pop("negative_prompt"),
                parameters=parameters,
            )
            made = build_image_engine(config).generate([request])[0]
            if isinstance(made, GenerationFailure):
                raise RunFailure(f"sample {sample_id} could not be made again: {made.error}")
            return Reproduction(sample.image.sha256, image_sha256(made.encoded))
    raise UsageProblem(f"sample_id: '{sample_id}' is not in {out}; the report and OUT/images list the ids")
