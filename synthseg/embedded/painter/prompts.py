"""Which prompts the painter can paint, told by its own reading of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from synthseg.embedded.scenes.grammar import SceneWish, read_prompt
from synthseg.engines.image import PromptRefusal

_UNPAINTABLE: Final = PromptRefusal("unpaintable", "The caption named no place that can be painted.")


def can_paint(wish: SceneWish) -> bool:
    """Whether `synthseg.embedded.scenes.painter.paint` makes a picture of it: it takes an object or a place."""
    return bool(wish.objects) or wish.place is not None


@dataclass(frozen=True, slots=True)
class PainterPromptCheck:
    """Refuses what the painter would refuse. It reads a prompt of any length."""

    negative_prompt: str = ""
    """Of every image of the run: the classes in it are taken out of each prompt."""
    max_words: int | None = None

    def refusal(self, prompt: str, /) -> PromptRefusal | None:
        """As `PromptCheck`."""
        return None if can_paint(read_prompt(prompt, self.negative_prompt)) else _UNPAINTABLE
