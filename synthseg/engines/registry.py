"""Names to engines. The heavy library of a backend is imported only when that backend is chosen."""

from __future__ import annotations

from synthseg.config.schema import RunConfig
from synthseg.engines.image import ImageEngine, PromptCheck
from synthseg.engines.scorer import Scorer
from synthseg.engines.text import TextEngine
from synthseg.errors import UsageProblem


def build_text_engine(config: RunConfig) -> TextEngine:
    """The text engine of `prompts.engine`. UsageProblem when its package or weights are missing."""
    prompts = config.prompts
    if prompts.engine == "llama":
        from synthseg.engines.llama.engine import LlamaEngine

        return LlamaEngine(prompts.model, revision=prompts.revision)
    if prompts.engine == "template":
        from synthseg.embedded.template_text import TemplateEngine

        return TemplateEngine()
    if prompts.engine == "openai":
        from synthseg.engines.openai.engine import OpenAiEngine

        return OpenAiEngine(prompts.base_url, prompts.model, config.execution.endpoint)
    raise UsageProblem(
        f"prompts.engine: '{prompts.engine}' lives in its own Ray Serve deployment; run it with: synthseg run or synthseg serve"
    )


def build_image_engine(config: RunConfig) -> ImageEngine:
    """The image engine of `images.engine`. UsageProblem when its package or weights are missing."""
    images = config.images
    if images.engine == "painter":
        from synthseg.embedded.painter.engine import PainterEngine

        return PainterEngine()
    from synthseg.engines.diffusers.engine import DiffusersEngine

    return DiffusersEngine(images)


def build_prompt_check(config: RunConfig) -> PromptCheck:
    """What the image engine of `images.engine` knows about prompts; its weights are not loaded."""
    if config.images.engine == "painter":
        from synthseg.embedded.painter.prompts import PainterPromptCheck

        return PainterPromptCheck(config.images.negative_prompt)
    from synthseg.engines.diffusers.prompts import prompt_check

    return prompt_check(config.images)


def build_scorer(config: RunConfig) -> Scorer:
    """The frozen CLIP of `scoring.model`. UsageProblem when its weights are missing."""
    from synthseg.engines.open_clip.engine import OpenClipScorer

    return OpenClipScorer(config.scoring.model, config.scoring.weights, precision=config.scoring.precision)
