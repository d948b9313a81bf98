"""Whether a candidate is good: what it names, how near it is to its class in the scorer's text space, and the LLM's own marks."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from synthseg.engines.scorer import Embeddings, Scorer
from synthseg.method.prompts.profiles import ClassProfile, profile
from synthseg.method.prompts.ratings import TOP_RATING
from synthseg.method.prompts.template import Kind
from synthseg.taxonomy import ClassInfo

_NEGATION = r"\b(?:no|not|without|never|neither)\b(?: \w+){0,2} "
_COLORS = frozenset({"orange"})
_AS_A_NOUN = r"(?=\W*$|[,.]| (?:and|on|in|at|with|by|near|from|beside|under|isolated|[a-z]+ing)\b)"
"""What follows a fruit, and not the color of something."""


class Mentions:
    """Finds the classes a text names, by noun, plural or synonym; the longest name wins, so "dining table" is one class."""

    def __init__(self, classes: Sequence[ClassInfo]) -> None:
        self._owner = {form.lower(): c.class_id for c in reversed(classes) for noun in profile(c).nouns for form in noun}
        forms = sorted(self._owner, key=lambda form: (-len(form), form))
        alternatives = "|".join(re.escape(form) + (_AS_A_NOUN if form in _COLORS else "") for form in forms)
        self._named = re.compile(rf"\b(?:{alternatives})\b")
        self._negated = re.compile(rf"{_NEGATION}({alternatives})\b")

    def of(self, text: str) -> list[int]:
        """Class ids named in `text`, in the order of their first mention."""
        return list(dict.fromkeys(self._owner[name] for name in self._named.findall(text.lower())))

    def fault(self, text: str, class_id: int, kind: Kind, class_profile: ClassProfile) -> str:
        """Why a caption of `kind` for `class_id` is refused for what it names, or an empty string."""
        named = self.of(text)
        if kind == "context":
            return "class_present" if named else ""
        if class_id not in named:
            return "class_missing"
        if any(self._owner[name] == class_id for name in self._negated.findall(text.lower())):
            return "negated"
        if kind == "bare" and re.search(rf"\b(?:{'|'.join(map(re.escape, class_profile.context_words))})\b", text.lower()):
            return "context_present"
        return ""


@dataclass(frozen=True, slots=True)
class ClassSpace:
    """One class among its taxonomy in the scorer's text space."""

    row: int
    prototypes: Embeddings
    """(K, D) unit embeddings of "a photo of CLASS"."""
    reference: float
    """Mean margin of draws of T(c), the unit in which a candidate's margin is judged."""

    @classmethod
    def build(cls, classes: Sequence[ClassInfo], class_info: ClassInfo, prototypes: Embeddings, draws: Embeddings) -> ClassSpace:
        """Space of `class_info`, its reference margin measured on the embedded `draws` (M, D) of T(c)."""
        row = [c.class_id for c in classes].index(class_info.class_id)
        return cls(row, prototypes, float(np.mean(_margins(draws @ prototypes.T, row))))

    def margins(self, embeddings: Embeddings) -> list[float]:
        """Class similarity of unit rows (N, D): cosine to the class less the mean cosine to the other classes."""
        return [float(m) for m in _margins(embeddings @ self.prototypes.T, self.row)]

    def fault(self, embedding: Embeddings, margin: float, min_margin: float, allowed: Collection[int]) -> str:
        """Why a unit embedding (D,) is refused: too small a margin, or nearer to a class whose row is not in `allowed`."""
        if margin < min_margin:
            return "off_class"
        cosines = self.prototypes @ embedding
        strange = [i for i in range(len(cosines)) if i != self.row and i not in allowed]
        return "other_class_dominates" if strange and cosines[strange].max() > cosines[self.row] else ""

    def quality(self, marks: tuple[int, int, int], margin: float, rating_weight: float) -> float:
        """Quality in [0, 1]: the LLM's mean mark and the margin relative to T(c)'s, mixed by `rating_weight`."""
        relative = min(1.0, max(0.0, margin / self.reference)) if self.reference > 0 else 0.0
        return rating_weight * rating_share(marks) + (1 - rating_weight) * relative


def place_fault(text: str, place: str) -> str:
    """Why a context prompt for `place` ("an empty railway track") is refused, or an empty string: it must keep the place's words."""
    words = set(re.findall(r"\w{4,}", place.lower())) - {"empty", "with"}
    return "" if words & set(re.findall(r"\w+", text.lower())) else "off_class"


def rating_share(marks: tuple[int, int, int]) -> float:
    """Mean of the marks as a share in [0, 1]."""
    return (sum(marks) / len(marks) - 1) / (TOP_RATING - 1)


def class_prototypes(classes: Sequence[ClassInfo], scorer: Scorer) -> Embeddings:
    """(K, D) unit embeddings of "a photo of CLASS" for every class of the taxonomy."""
    return scorer.embed_fixed_texts([f"a photo of {'an' if c.display[0] in 'aeio' else 'a'} {c.prompt_text}" for c in classes])


def _margins(cosines: Embeddings, row: int) -> Embeddings:
    others = np.delete(cosines, row, axis=1)
    rest = others.mean(axis=1) if others.shape[1] else np.zeros(len(cosines), np.float32)
    margins: Embeddings = cosines[:, row] - rest
    return margins
