"""The texts the embedded CLIP learns from besides captions: class words in many wordings, negations, words for places."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from synthseg.embedded.scenes.places import INDOOR_PLACES
from synthseg.embedded.scenes.vocabulary import CLASS_WORDS, PLACE_WORDS
from synthseg.taxonomy import Taxonomy

CONTEXT_LENGTH = 48

TEMPLATES = (
    "{}", "a {}", "the {}", "a photo of a {}", "a photo of the {}.", "a picture of a {}", "an image of a {}", "a clean origami {}.",
    "a photo of a {}.", "a bad photo of the {}.", "a close-up photo of a {}", "a photo of a small {}", "a photo of a large {}",
    "a scene with a {}", "there is a {} here", "a realistic {}", "itap of a {}.", "one {} outdoors", "a {} in the background",
    "a {} next to something else", "several {}s", "two {}s in a photo",
)  # fmt: skip
NEGATIONS = ("no {}", "without a {}", "there is no {}", "a photo without any {}", "a place with no {} in it", "an empty scene, no {}")

PLACE_TEMPLATES = (
    "{}",
    "a {}",
    "the {}",
    "a photo of a {}",
    "a photo of the {}.",
    "a scene with {}",
    "an image of {}",
    "a clean origami {}.",
)

OUTDOORS = (
    "meadow", "farm", "forest", "mountain", "desert", "snow", "garden", "park", "street", "city", "railway", "airport", "parking", "market",
    "sea", "lake", "river", "beach", "harbor", "sky",
)  # fmt: skip
BACKGROUND_PLACES: dict[str, tuple[str, ...]] = {
    "ground": ("farm", "desert", "street", "parking", "market", "meadow"),
    "land": ("meadow", "farm", "desert", "mountain"),
    "grass": ("meadow", "farm", "garden", "park"),
    "tree": ("forest", "park", "garden"),
    "building": ("street", "city", "market"),
    "wall": INDOOR_PLACES,
    "sky": tuple(p for p in OUTDOORS if p not in ("forest", "market")),
    "lake": ("lake",),
    "water": ("sea", "lake", "river", "beach", "harbor"),
    "river": ("river",),
    "sea": ("sea", "beach", "harbor"),
    "railway": ("railway",),
    "railroad": ("railway",),
    "keyboard": (),
    "helmet": (),
    "cloud": ("sky",),
    "house": ("farm", "street"),
    "mountain": ("mountain",),
    "ocean": ("sea", "beach"),
    "road": ("street", "city", "parking"),
    "rock": ("mountain",),
    "street": ("street", "city"),
    "valley": ("meadow", "mountain"),
    "bridge": (),
    "sign": (),
}
"""Where a background word is surely seen. Outdoors it may be seen elsewhere too; indoors it is not, unless said here."""


class PlaceTexts:
    """Words for places and for the background, and what is known of them in each place: 1 seen, 0 not seen, -1 nobody knows."""

    def __init__(self, taxonomy: Taxonomy) -> None:
        self.places = list(PLACE_WORDS)
        self._background = list(taxonomy.background_words)
        rows = []
        for place in self.places:
            own = [int(place == other) for other in self.places]
            rows.append(own + [self._background_label(word, place) for word in self._background])
        unknown = [-1] * len(rows[0])
        self.labels = np.array([*rows, unknown], np.int8)
        """(P + 1, W): one row a place, the last for images without a known place."""

    @staticmethod
    def _background_label(word: str, place: str) -> int:
        seen = BACKGROUND_PLACES.get(word, ())
        if place in seen:
            return 1
        return -1 if seen and place in OUTDOORS else 0

    def varied(self, rng: np.random.Generator) -> list[str]:
        """A random wording of each place (names the vocabulary shares between place and weather included), then of each background word."""
        words = [w[0] if rng.random() < 0.6 else w[int(rng.integers(min(5, len(w))))] for w in PLACE_WORDS.values()]
        return [PLACE_TEMPLATES[int(rng.integers(len(PLACE_TEMPLATES)))].format(word) for word in [*words, *self._background]]


class Tokens:
    """BPE token ids of texts, with the option to strew random English words between them.

    Strewn words teach the text tower to stay where it is when it meets a word that no caption ever had.
    """

    def __init__(self) -> None:
        from open_clip.tokenizer import SimpleTokenizer

        self._tokenizer = SimpleTokenizer(context_length=CONTEXT_LENGTH)
        self._known: dict[str, list[int]] = {}
        self._fillers = np.array(
            [
                i
                for token, i in self._tokenizer.encoder.items()
                if token.endswith("</w>") and len(token) > 6 and token[:-4].isascii() and token[:-4].isalpha()
            ]
        )

    def encode(self, text: str) -> list[int]:
        """Ids without start and end."""
        if text not in self._known:
            self._known[text] = self._tokenizer.encode(text)
        return self._known[text]

    def strew(self, ids: Sequence[int], num_words: int, rng: np.random.Generator) -> list[int]:
        """`ids` with `num_words` random words at random places."""
        mixed = list(ids)
        for word in rng.choice(self._fillers, num_words):
            mixed.insert(int(rng.integers(0, len(mixed) + 1)), int(word))
        return mixed

    def pack(self, texts: Sequence[Sequence[int]]) -> NDArray[np.int64]:
        """(N, L) ids between start and end marks, zero padded, L the longest of them and at most 48."""
        kept = [list(ids[: CONTEXT_LENGTH - 2]) for ids in texts]
        packed = np.zeros((len(kept), max(len(ids) for ids in kept) + 2), np.int64)
        for row, ids in zip(packed, kept, strict=True):
            row[: len(ids) + 2] = [self._tokenizer.sot_token_id, *ids, self._tokenizer.eot_token_id]
        return packed


class ClassTexts:
    """Wordings of each class of a taxonomy."""

    def __init__(self, taxonomy: Taxonomy) -> None:
        self._plain = [c.display for c in taxonomy.classes]
        self._names = [
            list(
                dict.fromkeys(
                    [c.display, c.display, c.display, c.name, c.prompt_text, c.clip_text or c.display, *CLASS_WORDS.get(c.name, ())]
                )
            )
            for c in taxonomy.classes
        ]

    def plain(self) -> list[str]:
        """The photo template on the display name of each class."""
        return [f"a photo of a {name}" for name in self._plain]

    def varied(self, rng: np.random.Generator) -> list[str]:
        """A random wording of each class."""
        return [TEMPLATES[int(rng.integers(len(TEMPLATES)))].format(self._pick(names, rng)) for names in self._names]

    def negated(self, rng: np.random.Generator) -> list[str]:
        """A random negation of each class."""
        return [NEGATIONS[int(rng.integers(len(NEGATIONS)))].format(self._pick(names, rng)) for names in self._names]

    @staticmethod
    def _pick(names: Sequence[str], rng: np.random.Generator) -> str:
        return names[0] if rng.random() < 0.5 else names[int(rng.integers(len(names)))]
