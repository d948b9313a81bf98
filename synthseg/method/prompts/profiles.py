"""What T(c) knows of a class: its nouns, looks, poses or states, usual and unusual scenes, company, and usual context."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from synthseg.taxonomy import ClassInfo

_ROADS = ("street", "city at night", "mountain", "forest", "desert", "park")
_PASTURES = ("meadow", "farm", "mountain", "snow", "forest", "lake")
_ROOMS = ("kitchen", "living room", "office", "garden")
_COATS = ("brown", "black", "white", "gray", "spotted")
_PAINTS = ("red", "blue", "white", "yellow", "green", "black")
_OPEN = ("desert", "snow", "beach", "meadow", "sky")


@dataclass(frozen=True, slots=True)
class ClassProfile:
    """Word lists of one class. The first noun is what a prompt calls it; the others count as naming it too."""

    nouns: tuple[tuple[str, str], ...]
    """(singular, plural)."""
    looks: tuple[str, ...]
    poses: tuple[str, ...]
    scenes: tuple[str, ...]
    """Usual surroundings."""
    unusual_scenes: tuple[str, ...]
    """Where a bare prompt puts it: plausible, and without its usual context."""
    companions: tuple[str, ...]
    contexts: tuple[str, ...]
    """Its usual surroundings as the subject of a photo without it."""
    context_words: tuple[str, ...]
    """Words of its usual context, which a bare prompt must not hold."""


_PROFILES: Mapping[str, ClassProfile] = {
    "aeroplane": ClassProfile(
        (("airplane", "airplanes"), ("plane", "planes"), ("aeroplane", "aeroplanes"), ("jet", "jets"), ("aircraft", "aircraft")),
        ("white", "silver", "red", "blue"),
        ("flying", "landing", "taking off", "parked", "climbing"),
        ("sky", "airport", "mountain", "sea"),
        ("desert", "meadow", "snow", "beach"),
        ("a person", "another airplane", "a bus"),
        ("an empty airport runway", "a blue sky with white clouds", "an airport terminal"),
        ("runway", "airport", "terminal"),
    ),
    "bicycle": ClassProfile(
        (("bicycle", "bicycles"), ("bike", "bikes")),
        _PAINTS,
        ("leaning on a wall", "parked", "standing", "lying on the ground"),
        ("street", "park", "city at night", "forest", "garden"),
        ("beach", "snow", "desert", "living room"),
        ("a person", "a dog", "a car"),
        ("an empty cycle path", "a quiet street with trees", "a brick wall"),
        ("rider", "cyclist", "person", "path"),
    ),
    "bird": ClassProfile(
        (("bird", "birds"), ("seagull", "seagulls"), ("duck", "ducks"), ("sparrow", "sparrows"), ("pigeon", "pigeons")),
        ("white", "black", "blue", "red", "brown"),
        ("flying", "perched", "standing", "swimming", "with open wings"),
        ("sky", "forest", "lake", "garden", "sea", "beach"),
        ("street", "kitchen", "desert", "snow"),
        ("another bird", "a boat", "a person"),
        ("bare tree branches", "a blue sky over a forest", "a calm pond"),
        ("branch", "branches", "tree", "nest"),
    ),
    "boat": ClassProfile(
        (("boat", "boats"), ("ship", "ships"), ("sailboat", "sailboats"), ("canoe", "canoes")),
        ("white", "red", "blue", "wooden"),
        ("sailing", "anchored", "moored", "drifting"),
        ("sea", "lake", "beach", "mountain"),
        ("meadow", "desert", "street", "garden"),
        ("a person", "a bird", "another boat"),
        ("an empty wooden pier", "calm open water", "a rocky coast with waves"),
        ("water", "sea", "lake", "river", "ocean", "harbor", "waves"),
    ),
    "bottle": ClassProfile(
        (("bottle", "bottles"),),
        ("green", "blue", "brown", "clear", "red"),
        ("standing", "lying on its side", "half full", "empty"),
        ("kitchen", "living room", "office", "garden", "beach"),
        ("snow", "desert", "forest", "street"),
        ("a potted plant", "a person", "a chair"),
        ("an empty kitchen counter", "a bare wooden shelf", "a picnic blanket"),
        ("counter", "shelf", "table"),
    ),
    "bus": ClassProfile(
        (("bus", "buses"), ("coach", "coaches")),
        _PAINTS,
        ("driving", "parked", "turning", "waiting"),
        ("street", "city at night", "mountain", "park"),
        ("desert", "meadow", "beach", "snow"),
        ("a car", "a person", "a bicycle"),
        ("an empty roadside shelter", "a wide city avenue", "a street crossing"),
        ("street", "road", "city", "avenue", "stop"),
    ),
    "car": ClassProfile(
        (("car", "cars"), ("sedan", "sedans"), ("taxi", "taxis")),
        _PAINTS,
        ("driving", "parked", "turning", "speeding"),
        _ROADS,
        ("beach", "meadow", "snow", "lake"),
        ("a bus", "a person", "a motorcycle", "a dog"),
        ("an empty parking lot", "an empty country road", "a street at night"),
        ("street", "road", "parking", "highway", "city"),
    ),
    "cat": ClassProfile(
        (("cat", "cats"), ("kitten", "kittens")),
        ("black", "white", "gray", "orange", "striped"),
        ("sitting", "sleeping", "walking", "jumping", "lying down"),
        ("living room", "garden", "kitchen", "street", "office"),
        ("snow", "beach", "forest", "desert"),
        ("a sofa", "a dog", "a potted plant", "a chair"),
        ("an empty basket on a floor", "a window sill in a living room", "a blanket on a floor"),
        ("sofa", "couch", "bed", "cushion", "room"),
    ),
    "chair": ClassProfile(
        (("chair", "chairs"), ("armchair", "armchairs"), ("stool", "stools")),
        ("wooden", "red", "white", "blue", "black"),
        ("standing", "standing in a corner", "pushed aside", "lying on its side"),
        _ROOMS,
        ("beach", "meadow", "snow", "street"),
        ("a dining table", "a potted plant", "a cat"),
        ("an empty room with a wooden floor", "a bare white wall", "a terrace"),
        ("table", "desk", "room"),
    ),
    "cow": ClassProfile(
        (("cow", "cows"), ("bull", "bulls"), ("calf", "calves"), ("cattle", "cattle")),
        _COATS,
        ("grazing", "standing", "walking", "lying down", "drinking"),
        _PASTURES,
        ("street", "beach", "desert", "snow"),
        ("a person", "another cow", "a sheep"),
        ("an empty green pasture", "a wooden farm fence", "a red barn"),
        ("grass", "meadow", "pasture", "farm", "fence"),
    ),
    "diningtable": ClassProfile(
        (("dining table", "dining tables"), ("table", "tables")),
        ("wooden", "white", "round", "long"),
        ("set for dinner", "empty", "covered with a cloth", "laid for guests"),
        ("kitchen", "living room", "garden", "office"),
        ("beach", "meadow", "forest", "snow"),
        ("four chairs", "a bottle", "a potted plant", "a person"),
        ("an empty dining room floor", "a kitchen wall with shelves", "a bright window"),
        ("chair", "chairs", "kitchen", "plate", "plates"),
    ),
    "dog": ClassProfile(
        (("dog", "dogs"), ("puppy", "puppies")),
        _COATS,
        ("running", "sitting", "sleeping", "jumping", "walking"),
        ("park", "garden", "beach", "living room", "snow", "street"),
        ("desert", "office", "lake", "railway station"),
        ("a person", "a cat", "a sofa", "a bicycle"),
        ("an empty kennel in a yard", "a park lawn", "a wooden floor"),
        ("leash", "owner", "person", "grass"),
    ),
    "horse": ClassProfile(
        (("horse", "horses"), ("pony", "ponies"), ("mare", "mares"), ("foal", "foals")),
        _COATS,
        ("galloping", "grazing", "standing", "walking", "jumping"),
        _PASTURES,
        ("street", "beach", "desert", "snow"),
        ("a person riding", "a person", "another horse", "a dog"),
        ("an empty riding paddock", "a wooden fence on grass", "a farm stable"),
        ("rider", "riding", "person", "fence", "stable", "meadow"),
    ),
    "motorbike": ClassProfile(
        (("motorcycle", "motorcycles"), ("motorbike", "motorbikes"), ("scooter", "scooters")),
        _PAINTS,
        ("parked", "driving", "leaning", "standing"),
        _ROADS,
        ("beach", "meadow", "snow", "garden"),
        ("a person", "a car", "a bicycle"),
        ("an empty winding road", "a garage wall", "a gravel yard"),
        ("rider", "person", "helmet", "road", "street"),
    ),
    "person": ClassProfile(
        (("person", "people"), ("man", "men"), ("woman", "women"), ("child", "children"), ("boy", "boys"), ("girl", "girls")),
        ("young", "old", "tall", "smiling"),
        ("walking", "standing", "sitting", "running", "waving"),
        ("street", "park", "beach", "office", "kitchen", "snow", "mountain"),
        ("desert", "sea", "sky", "meadow"),
        ("a dog", "a bicycle", "a horse", "a sofa", "a car"),
        ("an empty park lawn", "an empty street", "an empty office"),
        ("crowd", "street", "bench"),
    ),
    "pottedplant": ClassProfile(
        (
            ("potted plant", "potted plants"),
            ("houseplant", "houseplants"),
            ("plant in a pot", "plants in pots"),
            ("flower pot", "flower pots"),
        ),
        ("green", "tall", "small", "flowering"),
        ("growing", "standing", "hanging", "blooming"),
        _ROOMS,
        ("beach", "street", "desert", "snow"),
        ("a sofa", "a chair", "a cat"),
        ("an empty window sill", "a bare balcony", "an empty shelf"),
        ("window", "sill", "shelf", "table", "room"),
    ),
    "sheep": ClassProfile(
        (("sheep", "sheep"), ("lamb", "lambs"), ("ram", "rams")),
        ("white", "black", "woolly", "brown"),
        ("grazing", "standing", "walking", "lying down", "running"),
        _PASTURES,
        ("street", "beach", "desert", "snow"),
        ("a dog", "another sheep", "a person", "a cow"),
        ("an empty hillside", "a stone wall on grass", "a shepherd's hut"),
        ("grass", "meadow", "pasture", "farm", "fence"),
    ),
    "sofa": ClassProfile(
        (("sofa", "sofas"), ("couch", "couches")),
        ("red", "blue", "gray", "leather", "green"),
        ("standing by a window", "standing against a wall", "empty", "covered with a blanket"),
        ("living room", "office", "garden", "city at night"),
        ("beach", "meadow", "street", "snow"),
        ("a cat", "a dog", "a person", "a potted plant"),
        ("an empty living room with a carpet", "a fireplace in a room", "a bare wall with a picture"),
        ("room", "cushion", "cushions", "lamp", "carpet"),
    ),
    "train": ClassProfile(
        (("train", "trains"), ("locomotive", "locomotives")),
        _PAINTS,
        ("moving", "standing", "arriving", "curving"),
        ("railway station", "mountain", "forest", "city at night", "meadow", "snow"),
        ("desert", "beach", "sea", "sky"),
        ("a person", "a car", "another train"),
        ("an empty railway track", "an empty station platform", "a railway bridge"),
        ("railway", "railroad", "rail", "rails", "track", "tracks", "station", "platform"),
    ),
    "tvmonitor": ClassProfile(
        (("television", "televisions"), ("tv", "tvs"), ("monitor", "monitors"), ("computer screen", "computer screens")),
        ("large", "small", "black", "old"),
        ("switched on", "switched off", "hanging on a wall", "standing on a shelf"),
        ("living room", "office", "kitchen", "city at night"),
        ("beach", "street", "garden", "forest"),
        ("a sofa", "a person", "a potted plant", "a chair"),
        ("a living room wall with a shelf", "an empty desk by a window", "a wooden cabinet"),
        ("keyboard", "desk", "sofa", "couch", "room"),
    ),
}

_SAME_AS: Mapping[str, str] = {
    "airplane": "aeroplane",
    "motorcycle": "motorbike",
    "dining table": "diningtable",
    "potted plant": "pottedplant",
    "couch": "sofa",
    "tv": "tvmonitor",
    "television": "tvmonitor",
}
_MORE_NOUNS: Mapping[str, tuple[tuple[str, str], ...]] = {"couch": (("couch", "couches"),), "tv": (("tv", "tvs"),)}


def _plural(noun: str) -> str:
    if noun.endswith(("skis", "scissors")):
        return noun
    if noun.endswith("mouse"):
        return noun[: -len("mouse")] + "mice"
    if noun.endswith("knife"):
        return noun[: -len("knife")] + "knives"
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


def profile(class_info: ClassInfo) -> ClassProfile:
    """The profile of a class: written for VOC's classes (and COCO's classes of the same name), generic for the others."""
    known = _PROFILES.get(_SAME_AS.get(class_info.name, class_info.name))
    if known is not None:
        first = _MORE_NOUNS.get(class_info.name, ())
        if not first:
            return known
        return ClassProfile(
            first + tuple(n for n in known.nouns if n not in first),
            known.looks,
            known.poses,
            known.scenes,
            known.unusual_scenes,
            known.companions,
            known.contexts,
            known.context_words,
        )
    noun = class_info.display
    return ClassProfile(
        ((noun, _plural(noun)),),
        ("red", "blue", "white", "black", "small", "large"),
        ("standing", "lying", "in use", "isolated"),
        ("kitchen", "living room", "office", "garden", "street", "park"),
        _OPEN,
        ("a person", "a chair"),
        ("an empty room", "an empty street", "a garden lawn"),
        ("room", "street", "kitchen"),
    )
