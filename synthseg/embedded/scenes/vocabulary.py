"""Words and what they mean to the painter. Plain tuples and dicts, shared by the grammar, the captions and prompt engines."""

from __future__ import annotations

CLASS_WORDS: dict[str, tuple[str, ...]] = {
    "aeroplane": ("airplane", "aeroplane", "plane", "jet", "aircraft", "jetliner", "airliner", "jumbo jet", "biplane", "passenger plane",
        "propeller plane"),
    "bicycle": ("bicycle", "bike", "mountain bike", "cycle", "racing bike", "pushbike"),
    "bird": ("bird", "seagull", "gull", "parrot", "pigeon", "duck", "eagle", "sparrow", "hawk", "crow", "owl", "swan", "robin"),
    "boat": ("boat", "sailboat", "ship", "fishing boat", "sailing boat", "yacht", "rowing boat", "rowboat", "ferry", "canoe",
        "motorboat", "speedboat"),
    "bottle": ("bottle", "wine bottle", "glass bottle", "beer bottle", "water bottle", "bottle of wine", "bottle of water",
        "bottle of beer"),
    "bus": ("bus", "coach", "city bus", "school bus", "double decker", "double-decker bus", "minibus"),
    "car": ("car", "sedan", "automobile", "hatchback", "taxi", "sports car", "convertible", "suv", "station wagon", "cab", "police car"),
    "cat": ("cat", "kitten", "tabby", "kitty", "house cat", "tabby cat"),
    "chair": ("chair", "armchair", "wooden chair", "office chair", "dining chair", "stool"),
    "cow": ("cow", "calf", "bull", "dairy cow", "ox", "cattle"),
    "diningtable": ("dining table", "table", "kitchen table", "wooden table", "diningtable"),
    "dog": ("dog", "puppy", "hound", "terrier", "labrador", "retriever", "golden retriever", "poodle", "shepherd dog"),
    "horse": ("horse", "pony", "foal", "stallion", "mare", "colt"),
    "motorbike": ("motorcycle", "motorbike", "scooter", "moped", "motor bike", "motor scooter"),
    "person": ("person", "man", "woman", "child", "boy", "girl", "human", "pedestrian", "rider", "farmer", "tourist", "lady", "guy",
        "adult", "kid",
               "traveler", "cyclist", "passenger", "worker", "hiker", "fisherman", "shepherd", "chef"),
    "pottedplant": ("potted plant", "plant in a pot", "houseplant", "house plant", "pot plant", "indoor plant", "pottedplant",
        "flower pot", "flowerpot",
                    "potted flower", "potted fern", "bonsai"),
    "sheep": ("sheep", "lamb", "ram", "ewe"),
    "sofa": ("sofa", "couch", "settee", "loveseat"),
    "train": ("train", "locomotive", "steam train", "passenger train", "tram", "freight train", "high-speed train", "railway train",
        "steam locomotive"),
    "tvmonitor": ("television", "tv", "monitor", "tv monitor", "tvmonitor", "tv set", "television set", "computer monitor",
        "flat screen tv", "computer screen",
                  "flatscreen"),
}  # fmt: skip
"""Names of each VOC class in the singular, the usual one first."""

IRREGULAR_PLURALS: dict[str, str] = {
    "people": "person", "persons": "person", "men": "man", "women": "woman", "children": "child", "kids": "kid", "humans": "human",
        "ladies": "lady",
    "aircraft": "aircraft", "sheep": "sheep", "cattle": "cattle", "puppies": "puppy", "ponies": "pony", "calves": "calf", "oxen": "ox",
        "buses": "bus",
    "busses": "bus", "coaches": "coach", "couches": "couch", "ferries": "ferry", "tabbies": "tabby", "fishermen": "fisherman",
        "taxis": "taxi",
    "crowd": "person", "family": "person", "couple": "person", "bonsai": "bonsai", "kitties": "kitty",
}  # fmt: skip
"""Plurals (and collective nouns) that adding -s does not make."""

COMPOUNDS: tuple[str, ...] = (
    "dog house", "doghouse", "horse stable", "horse stables", "car park", "train station", "bird house", "birdhouse", "cat tree",
    "bus stop", "bus station",
    "bird cage", "birdcage", "boat house", "boathouse", "dog bowl", "cat bowl", "dog bed", "cat bed", "dog collar", "car wash",
    "train track", "train tracks", "bike path",
    "bike lane", "bicycle lane", "bike rack", "bottle opener", "bottle cap", "chair lift", "sheep pen", "cow shed", "cow bell",
    "horse trailer", "horse saddle",
    "plane ticket", "tv stand", "tv remote", "sofa cushion", "sofa cushions", "table lamp", "table cloth", "tablecloth", "horse shoe",
    "horseshoe",
    "hot dog", "bird bath", "birdbath", "bird feeder", "bird nest", "boat dock", "car door", "car key", "car keys", "train ticket",
    "table tennis",
    "person's house", "hay ride", "horse carriage", "car tire", "bus lane", "ship yard", "shipyard", "man made", "man-made", "cat door",
    "sheep dog barn", "plane wing", "bird's eye view", "bird's-eye view", "birds eye view", "bird's eye", "dog park", "duck pond",
    "cow barn", "dog bed",
)  # fmt: skip
"""Phrases that hold a class's name and do not mean the class; some name a place, see `PLACE_WORDS`."""

COUNT_WORDS: dict[str, int] = {
    "a": 1, "an": 1, "one": 1, "single": 1, "lone": 1, "solitary": 1, "another": 1, "two": 2, "pair": 2, "couple": 2, "both": 2,
        "three": 3, "trio": 3,
    "few": 3, "several": 3, "some": 2, "group": 3, "four": 4, "many": 4, "herd": 4, "flock": 4, "crowd": 4, "row": 3, "pack": 3,
        "line": 3, "five": 5,
    "six": 6, "fleet": 3, "bunch": 3, "dozens": 5, "multiple": 3, "various": 3, "1": 1, "2": 2, "3": 3, "4": 4, "5": 5, "6": 6,
}  # fmt: skip
GROUP_WORDS: tuple[str, ...] = (
    "pair",
    "couple",
    "trio",
    "group",
    "herd",
    "flock",
    "crowd",
    "row",
    "pack",
    "line",
    "fleet",
    "bunch",
    "dozens",
)
"""Counting nouns that take 'of'."""

COLOR_WORDS: dict[str, str] = {
    "red": "red", "crimson": "red", "scarlet": "red", "orange": "orange", "ginger": "orange", "yellow": "yellow", "green": "green",
        "emerald": "green",
    "blue": "blue", "azure": "blue", "turquoise": "teal", "teal": "teal", "cyan": "teal", "purple": "purple", "violet": "purple",
        "pink": "pink",
    "brown": "brown", "chestnut": "brown", "chocolate": "brown", "tan": "beige", "black": "black", "dark": "black", "white": "white",
        "gray": "gray",
    "grey": "gray", "golden": "golden", "gold": "golden", "blond": "golden", "silver": "silver", "metallic": "silver", "beige": "beige",
        "maroon": "maroon",
    "burgundy": "maroon", "navy": "navy", "cream": "cream", "ivory": "cream",
}  # fmt: skip

SIZE_WORDS: dict[str, str] = {
    "tiny": "tiny", "miniature": "tiny", "little": "small", "small": "small", "big": "large", "large": "large", "tall": "large",
        "huge": "huge",
    "giant": "huge", "enormous": "huge", "massive": "huge", "distant": "far", "far": "far", "faraway": "far", "far away": "far",
        "in the distance": "far",
    "close-up": "close", "close up": "close", "closeup": "close", "macro": "close", "portrait": "close",
}  # fmt: skip

POSITION_WORDS: dict[str, str] = {
    "on the left": "left", "to the left": "left", "left side": "left", "on the right": "right", "to the right": "right",
        "right side": "right",
    "in the center": "center", "in the centre": "center", "in the middle": "center", "centered": "center",
        "in the foreground": "foreground",
    "foreground": "foreground", "in the background": "background", "background": "background", "left": "left", "right": "right",
        "center": "center",
    "centre": "center",
}  # fmt: skip

POSE_WORDS: dict[str, str] = {
    "standing": "standing", "stands": "standing", "walking": "walking", "walks": "walking", "strolling": "walking", "running": "running",
        "runs": "running",
    "galloping": "running", "jumping": "running", "playing": "running", "trotting": "walking", "sitting": "sitting", "sits": "sitting",
        "seated": "sitting",
    "lying": "lying", "lies": "lying", "sleeping": "lying", "resting": "lying", "curled": "lying", "grazing": "grazing",
        "grazes": "grazing",
    "eating": "grazing", "flying": "flying", "flies": "flying", "soaring": "flying", "gliding": "flying", "landing": "flying",
        "perched": "perched",
    "perching": "perched", "parked": "parked", "driving": "driving", "riding": "riding", "rides": "riding", "sailing": "sailing",
        "moored": "moored",
    "anchored": "moored", "docked": "moored", "floating": "swimming", "swimming": "swimming", "jogging": "running", "leaping": "running",
    "taking off": "flying", "in flight": "flying", "crouching": "sitting", "drifting": "swimming", "waving": "standing",
}  # fmt: skip

VIEW_WORDS: dict[str, str] = {
    "side view": "side", "from the side": "side", "in profile": "side", "profile": "side", "front view": "front", "from the front": "front",
    "head-on": "front", "facing the camera": "front", "facing the viewer": "front", "rear view": "back", "from behind": "back",
        "back view": "back",
    "from the back": "back", "three-quarter view": "three_quarter", "three quarter view": "three_quarter", "at an angle": "three_quarter",
    "top view": "top", "from above": "top", "overhead view": "top", "top-down view": "top", "aerial view": "top",
    "bird's eye view": "top", "bird's-eye view": "top", "birds eye view": "top", "bird's eye": "top",
}  # fmt: skip

CAMERA_WORDS: dict[str, str] = {
    "from below": "low angle", "low angle": "low angle", "low-angle": "low angle", "wide shot": "wide", "wide angle": "wide",
        "wide-angle": "wide",
    "panoramic": "wide", "panorama": "wide", "shallow depth of field": "bokeh", "bokeh": "bokeh", "blurred background": "bokeh",
        "out of focus": "bokeh",
    "telephoto": "bokeh", "close-up": "close", "close up": "close", "closeup": "close", "macro": "close", "portrait": "close",
        "eye level": "eye level",
    "eye-level": "eye level", "high angle": "high angle", "high-angle": "high angle",
}  # fmt: skip

PLACE_WORDS: dict[str, tuple[str, ...]] = {
    "meadow": ("meadow", "grassland", "grass", "field", "pasture", "prairie", "countryside", "hillside", "hill", "hills", "plain",
        "lawn", "grassy", "valley", "outdoors"),
    "farm": ("farm", "farmyard", "barn", "barnyard", "ranch", "stable", "horse stable", "horse stables", "paddock", "village",
        "cow shed", "sheep pen", "cow barn"),
    "forest": ("forest", "woods", "woodland", "jungle", "trees", "grove", "rainforest"),
    "mountain": ("mountain", "mountains", "alpine", "peak", "peaks", "alps", "cliff", "canyon"),
    "desert": ("desert", "dunes", "dune", "savanna", "savannah", "wasteland"),
    "snow": ("snow", "snowy", "snowfield", "winter", "ice", "icy", "glacier", "tundra"),
    "garden": ("garden", "backyard", "yard", "patio", "terrace", "courtyard", "porch", "dog house", "doghouse", "bird house",
        "birdhouse", "bird bath", "bird feeder", "balcony"),
    "park": ("park", "playground", "city park", "dog park", "duck pond"),
    "street": ("street", "road", "avenue", "town", "suburb", "sidewalk", "highway", "bus stop", "bus station", "crossroads",
        "intersection", "alley", "lane", "neighborhood",
               "bike lane", "bike path", "driveway", "crosswalk", "boulevard"),
    "city": ("city", "downtown", "night city", "city at night", "skyline", "urban", "metropolis", "neon city"),
    "railway": ("railway", "railway station", "train station", "railroad", "station", "platform", "tracks", "train tracks",
        "train track", "rail", "rails"),
    "airport": ("airport", "runway", "airfield", "tarmac", "hangar"),
    "parking": ("parking lot", "car park", "parking", "garage", "gas station"),
    "market": ("market", "square", "marketplace", "plaza", "bazaar", "fair"),
    "sea": ("sea", "ocean", "open water", "waves", "bay", "water"),
    "lake": ("lake", "pond", "lakeside", "lagoon", "reservoir"),
    "river": ("river", "stream", "canal", "riverbank", "riverside", "creek"),
    "beach": ("beach", "shore", "seaside", "coast", "sand", "sandy", "island"),
    "harbor": ("harbor", "harbour", "port", "marina", "dock", "pier", "quay", "boat dock", "shipyard", "jetty", "boat house", "boathouse"),
    "sky": ("sky", "blue sky", "clouds", "mid-air", "midair", "in the air", "skies"),
    "living room": ("living room", "lounge", "apartment", "room", "indoors", "interior", "home", "sitting room", "fireplace", "cat tree",
        "parlor", "den", "floor", "window sill", "windowsill"),
    "bedroom": ("bedroom", "bed", "hotel room", "dormitory"),
    "kitchen": ("kitchen", "counter", "countertop", "kitchenette", "pantry"),
    "dining room": ("dining room", "dining hall"),
    "office": ("office", "desk", "workplace", "study", "classroom", "library", "meeting room", "school", "computer lab"),
    "cafe": ("cafe", "restaurant", "bar", "coffee shop", "shop", "store", "bistro", "diner", "pub", "bakery"),
    "studio": ("studio", "plain background", "white background", "neutral background", "gallery", "museum", "plain backdrop"),
}  # fmt: skip
"""Names of each place, the usual one first. Earlier wins where a prompt names several."""

_WEAK_PLACES = """
grass grassy hill hills hillside plain lawn trees tree water waves sand sandy room home interior indoors outdoors floor lane sky
clouds rails tracks platform counter countertop desk bed mountain mountains peak peaks cliff snow snowy winter ice icy valley yard
garage school urban island square port bar store shop countryside town village woods jungle stream bay station coast porch
"""
WEAK_PLACE_WORDS: frozenset[str] = frozenset(_WEAK_PLACES.split()) | {
    "bird house", "blue sky", "cat tree", "dog house", "in the air", "neutral background", "plain backdrop", "plain background",
    "white background", "window sill"
}  # fmt: skip
"""Place names that only say what else is in the picture when a plainer one is there ("a street under a blue sky")."""

LIGHT_WORDS: dict[str, tuple[str, ...]] = {
    "noon": ("noon", "midday", "bright sunlight", "sunlight", "sunny", "daylight", "bright light", "harsh light", "sunshine",
        "afternoon", "bright day", "daytime", "sun"),
    "soft light": ("soft light", "soft lighting", "diffused light", "gentle light", "natural light", "soft natural light",
        "morning light", "window light"),
    "overcast": ("overcast", "gloomy", "dull light", "overcast sky", "gray sky"),
    "sunrise": ("sunrise", "dawn", "early morning", "morning", "morning sun"),
    "golden hour": ("golden hour", "sunset", "warm light", "late afternoon", "golden light", "evening sun", "warm sunlight"),
    "dusk": ("dusk", "twilight", "evening", "blue hour", "nightfall"),
    "night": ("night", "midnight", "moonlight", "at night", "nighttime", "moonlit", "street lights", "streetlights", "neon lights",
        "darkness", "dark night"),
    "backlit": ("backlit", "backlight", "silhouette", "against the light", "backlighting", "back light"),
    "studio light": ("studio light", "studio lighting", "flash", "even lighting", "lamp light", "lamplight"),
}  # fmt: skip

WEATHER_WORDS: dict[str, tuple[str, ...]] = {
    "clear": ("clear", "clear sky", "cloudless", "clear day", "fair weather"),
    "cloudy": ("cloudy", "clouds in the sky", "cloudy sky", "cloudy day"),
    "fog": ("fog", "foggy", "mist", "misty", "haze", "hazy", "smoke"),
    "rain": ("rain", "rainy", "raining", "drizzle", "storm", "stormy", "thunderstorm", "downpour", "wet"),
    "snow": ("snowfall", "snowing", "snowstorm", "blizzard", "snowflakes", "falling snow"),
    "wind": ("wind", "windy", "breeze", "breezy"),
}  # fmt: skip

_FILLERS = """
the of in on at by near with and or to from its his her their is are was it that this there very photo photograph picture image
shot view scene style high quality detailed realistic photorealistic sharp focus resolution natural beautiful lovely nice next
beside behind front under over above below between through into along across against around as while for up down out off where
which who has have be being full full-body whole clearly visible showing shows show depicting featuring featured captured seen
taken camera lens color colors colour light lighting lit background foreground side angle perspective frame composition subject
day time weather moment setting bright professional high-resolution 4k 8k dslr hd ultra detail details depth main during under
beneath inside outside within toward towards each other some other own all together middle open quiet calm peaceful busy typical
ordinary every only just also no without not empty deserted surrounded filled rests positioned placed located set appears looking
looks close level eye medium-sized medium long mm 35mm 50mm 85mm
"""
FILLER_WORDS: frozenset[str] = frozenset(_FILLERS.split())
"""Words that carry no wish; the grammar never reports them as not understood."""

NEGATIONS: tuple[str, ...] = (
    "without any",
    "without a",
    "without an",
    "without the",
    "without",
    "no",
    "not a",
    "not any",
    "empty of",
    "free of",
    "devoid of",
    "instead of",
)

HOME_PLACES: dict[str, tuple[str, ...]] = {
    "aeroplane": ("airport", "sky", "airport", "sky", "mountain"),
    "bicycle": ("street", "park", "forest", "city", "beach", "garden", "parking"),
    "bird": ("sky", "lake", "forest", "garden", "beach", "meadow", "park", "sea"),
    "boat": ("sea", "lake", "harbor", "river", "beach"),
    "bottle": ("kitchen", "dining room", "cafe", "living room", "studio", "garden"),
    "bus": ("street", "city", "parking", "mountain", "market"),
    "car": ("street", "parking", "city", "desert", "mountain", "meadow"),
    "cat": ("living room", "garden", "kitchen", "bedroom", "street", "studio"),
    "chair": ("living room", "kitchen", "office", "dining room", "garden", "cafe", "studio"),
    "cow": ("meadow", "farm", "mountain", "river"),
    "diningtable": ("dining room", "kitchen", "cafe", "living room", "garden"),
    "dog": ("park", "garden", "beach", "living room", "street", "snow", "meadow"),
    "horse": ("meadow", "farm", "forest", "desert", "beach", "mountain"),
    "motorbike": ("street", "parking", "desert", "city", "mountain"),
    "person": ("street", "park", "beach", "office", "market", "forest", "living room", "snow", "railway"),
    "pottedplant": ("living room", "garden", "office", "cafe", "kitchen", "studio"),
    "sheep": ("meadow", "farm", "mountain", "snow"),
    "sofa": ("living room", "office", "cafe", "studio"),
    "train": ("railway", "mountain", "railway", "snow"),
    "tvmonitor": ("living room", "office", "bedroom", "cafe"),
}  # fmt: skip
"""Where each class is at home, likeliest first."""

COMPANIONS: dict[str, tuple[str, ...]] = {
    "aeroplane": ("person", "bus"), "bicycle": ("person", "car"), "bird": ("person", "boat"), "boat": ("person", "bird"),
        "bottle": ("diningtable", "chair"),
    "bus": ("car", "person"), "car": ("person", "bus"), "cat": ("sofa", "pottedplant"), "chair": ("diningtable", "pottedplant"),
        "cow": ("person", "sheep"),
    "diningtable": ("chair", "bottle"), "dog": ("person", "cat"), "horse": ("person", "dog"), "motorbike": ("person", "car"),
        "person": ("dog", "bicycle", "car"),
    "pottedplant": ("chair", "sofa"), "sheep": ("dog", "person"), "sofa": ("tvmonitor", "pottedplant"), "train": ("person", "car"),
        "tvmonitor": ("sofa", "chair"),
}  # fmt: skip
"""Classes that come along unasked, as they do in a generator's training pictures."""
