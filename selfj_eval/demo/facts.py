"""Tables of plain facts and words, from which the ladder makes its instructions."""

from __future__ import annotations

from typing import NamedTuple

NAMES = (
    "Anna", "Ben", "Carla", "David", "Emma", "Felix", "Greta", "Hugo", "Ida", "Jonas",
    "Karin", "Leo", "Maria", "Nora", "Oscar", "Paula", "Quentin", "Rosa", "Simon", "Tina",
    "Ursula", "Victor", "Wanda", "Yara",
)  # fmt: skip

WORDS = (
    "anchor", "basket", "candle", "desert", "engine", "forest", "garden", "hammer", "island",
    "jacket", "kettle", "ladder", "market", "needle", "orange", "pencil", "quarry", "ribbon",
    "saddle", "timber", "urchin", "velvet", "walnut", "yellow", "zipper", "acorn", "bridge",
    "castle", "dragon", "eagle", "feather", "glacier", "harvest", "iron", "jungle", "kitchen",
    "lantern", "mirror", "napkin", "ocean", "planet", "quiet", "river", "silver", "thunder",
    "umbrella", "village", "window", "apple", "bottle", "copper", "dinner", "evening", "flower",
    "guitar", "honey", "insect", "journey", "knight", "lemon", "meadow", "nature", "office",
    "paper", "rocket", "summer", "table", "uncle", "valley", "winter", "barrel", "camera",
    "doctor", "family", "ginger", "hunter", "letter", "monkey", "number", "pepper",
)  # fmt: skip

OBJECTS = (
    "door", "letter", "cake", "piano", "fence", "bread", "song", "bicycle", "picture", "garden",
    "kitchen", "book", "lamp", "basket", "window", "boat", "table", "coat", "clock", "floor",
)  # fmt: skip


class Verb(NamedTuple):
    """Forms of a verb."""

    base: str
    present: str
    past: str


VERBS = (
    Verb("paint", "paints", "painted"),
    Verb("clean", "cleans", "cleaned"),
    Verb("see", "sees", "saw"),
    Verb("buy", "buys", "bought"),
    Verb("sell", "sells", "sold"),
    Verb("find", "finds", "found"),
    Verb("lose", "loses", "lost"),
    Verb("draw", "draws", "drew"),
    Verb("repair", "repairs", "repaired"),
    Verb("move", "moves", "moved"),
    Verb("bring", "brings", "brought"),
    Verb("forget", "forgets", "forgot"),
    Verb("choose", "chooses", "chose"),
    Verb("hide", "hides", "hid"),
    Verb("take", "takes", "took"),
    Verb("show", "shows", "showed"),
)

CONTRACTIONS = (
    ("I don't see", "I do not see", "I did not see"),
    ("she can't find", "she cannot find", "she could not find"),
    ("we're at", "we are at", "we were at"),
    ("they've sold", "they have sold", "they had sold"),
    ("he isn't near", "he is not near", "he was not near"),
    ("you won't need", "you will not need", "you would not need"),
    ("I'm behind", "I am behind", "I was behind"),
    ("we'll repair", "we will repair", "we would repair"),
    ("it doesn't touch", "it does not touch", "it did not touch"),
    ("they aren't under", "they are not under", "they were not under"),
)
"""Short form, full form, and a wrong full form."""

UNITS = (
    ("kilometres", "metres", 1000),
    ("metres", "centimetres", 100),
    ("centimetres", "millimetres", 10),
    ("kilograms", "grams", 1000),
    ("tonnes", "kilograms", 1000),
    ("litres", "millilitres", 1000),
    ("hours", "minutes", 60),
    ("minutes", "seconds", 60),
    ("days", "hours", 24),
    ("weeks", "days", 7),
    ("years", "months", 12),
    ("feet", "inches", 12),
    ("yards", "feet", 3),
    ("pounds", "ounces", 16),
    ("decades", "years", 10),
    ("dozens", "pieces", 12),
    ("gallons", "pints", 8),
    ("decimetres", "centimetres", 10),
)
"""Large unit, small unit, and how many of the small make one of the large."""

_CAPITALS = {
    "France": "Paris", "Germany": "Berlin", "Italy": "Rome", "Spain": "Madrid",
    "Portugal": "Lisbon", "Austria": "Vienna", "Poland": "Warsaw", "Norway": "Oslo",
    "Sweden": "Stockholm", "Finland": "Helsinki", "Denmark": "Copenhagen", "Greece": "Athens",
    "Hungary": "Budapest", "Ireland": "Dublin", "Japan": "Tokyo", "China": "Beijing",
    "India": "New Delhi", "Egypt": "Cairo", "Kenya": "Nairobi", "Canada": "Ottawa",
    "Mexico": "Mexico City", "Peru": "Lima", "Chile": "Santiago", "Cuba": "Havana",
    "Turkey": "Ankara", "Russia": "Moscow", "Thailand": "Bangkok", "Vietnam": "Hanoi",
}  # fmt: skip
_CONTINENTS = {
    "France": "Europe", "Japan": "Asia", "Kenya": "Africa", "Peru": "South America",
    "Canada": "North America", "India": "Asia", "Egypt": "Africa", "Chile": "South America",
    "Norway": "Europe", "Mexico": "North America", "Vietnam": "Asia", "Poland": "Europe",
    "Ghana": "Africa", "Brazil": "South America", "Cuba": "North America", "Nepal": "Asia",
}  # fmt: skip
_SYMBOLS = {
    "hydrogen": "H", "helium": "He", "carbon": "C", "nitrogen": "N", "oxygen": "O",
    "sodium": "Na", "iron": "Fe", "copper": "Cu", "silver": "Ag", "gold": "Au", "lead": "Pb",
    "tin": "Sn", "zinc": "Zn", "calcium": "Ca", "potassium": "K", "chlorine": "Cl",
    "sulfur": "S", "mercury": "Hg", "neon": "Ne", "magnesium": "Mg",
}  # fmt: skip
_ATOMIC = {
    "hydrogen": "1", "helium": "2", "lithium": "3", "carbon": "6", "nitrogen": "7",
    "oxygen": "8", "neon": "10", "sodium": "11", "iron": "26", "copper": "29", "silver": "47",
    "gold": "79",
}  # fmt: skip
_YOUNG = {
    "dog": "puppy", "cat": "kitten", "cow": "calf", "horse": "foal", "sheep": "lamb",
    "pig": "piglet", "goat": "kid", "bear": "cub", "duck": "duckling", "goose": "gosling",
    "frog": "tadpole", "kangaroo": "joey", "deer": "fawn", "swan": "cygnet",
}  # fmt: skip
_OPPOSITES = {
    "hot": "cold", "big": "small", "old": "new", "fast": "slow", "high": "low",
    "early": "late", "full": "empty", "light": "dark", "hard": "soft", "rich": "poor",
    "wet": "dry", "loud": "quiet", "wide": "narrow", "thick": "thin", "sharp": "blunt",
}  # fmt: skip
_PLURALS = {
    "mouse": "mice", "foot": "feet", "tooth": "teeth", "child": "children", "man": "men",
    "woman": "women", "ox": "oxen", "goose": "geese", "leaf": "leaves", "wolf": "wolves",
    "knife": "knives", "person": "people", "city": "cities", "potato": "potatoes",
}  # fmt: skip
_AUTHORS = {
    "Hamlet": "Shakespeare", "Faust": "Goethe", "Don Quixote": "Cervantes",
    "War and Peace": "Tolstoy", "Emma": "Austen", "Moby-Dick": "Melville",
    "Oliver Twist": "Dickens", "Frankenstein": "Shelley", "Dracula": "Stoker",
    "Ulysses": "Joyce", "The Trial": "Kafka", "The Odyssey": "Homer",
}  # fmt: skip
_PLACES = {
    "Mercury": "first", "Venus": "second", "Earth": "third", "Mars": "fourth",
    "Jupiter": "fifth", "Saturn": "sixth", "Uranus": "seventh", "Neptune": "eighth",
}  # fmt: skip

FACTS: tuple[tuple[str, dict[str, str]], ...] = (
    ("the capital of {}", _CAPITALS),
    ("the continent of {}", _CONTINENTS),
    ("the symbol for {}", _SYMBOLS),
    ("the atomic number of {}", _ATOMIC),
    ("the young of the {}", _YOUNG),
    ("the opposite of {}", _OPPOSITES),
    ("the plural of {}", _PLURALS),
    ("the author of {}", _AUTHORS),
    ("the place of {} from the sun", _PLACES),
)
"""Question with a gap for the subject, and the answer for each subject."""

CATEGORIES: dict[str, tuple[str, ...]] = {
    "mammals": (
        "dog", "cat", "horse", "cow", "whale", "bat", "lion", "tiger", "bear", "wolf", "rabbit",
        "elephant",
    ),
    "birds": (
        "robin", "eagle", "owl", "sparrow", "duck", "goose", "swan", "crow", "stork", "penguin",
        "parrot", "falcon",
    ),
    "fish": (
        "salmon", "trout", "tuna", "cod", "herring", "shark", "carp", "pike", "eel", "perch",
        "sardine", "plaice",
    ),
    "trees": (
        "oak", "birch", "maple", "willow", "ash", "elm", "pine", "fir", "spruce", "poplar",
        "beech", "cedar",
    ),
    "metals": (
        "iron", "copper", "gold", "silver", "tin", "lead", "zinc", "nickel", "sodium",
        "titanium", "tungsten", "chromium",
    ),
    "fruits": (
        "apple", "pear", "plum", "cherry", "banana", "grape", "lemon", "peach", "mango", "fig",
        "apricot", "kiwi",
    ),
    "vegetables": (
        "carrot", "cabbage", "spinach", "leek", "onion", "radish", "broccoli", "celery",
        "turnip", "lettuce", "parsnip", "beetroot",
    ),
    "countries": (
        "France", "Japan", "Kenya", "Peru", "Canada", "India", "Egypt", "Norway", "Mexico",
        "Poland", "Brazil", "Chile",
    ),
    "instruments": (
        "piano", "violin", "flute", "trumpet", "drum", "harp", "cello", "guitar", "oboe",
        "clarinet", "organ", "tuba",
    ),
    "tools": (
        "hammer", "saw", "drill", "wrench", "chisel", "screwdriver", "pliers", "axe", "spade",
        "rake", "shovel", "file",
    ),
    "colours": (
        "red", "blue", "green", "yellow", "purple", "brown", "black", "white", "grey", "pink",
        "turquoise", "violet",
    ),
    "sports": (
        "tennis", "football", "rowing", "fencing", "boxing", "judo", "cycling", "swimming",
        "skiing", "golf", "hockey", "rugby",
    ),
}  # fmt: skip
"""Members of categories, all in one category only."""
