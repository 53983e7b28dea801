"""What a bone's name says: its tokens, its character, its side, its finger."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache

_NAMESPACE = re.compile(r"^(?:.*[:|])?(?:mixamorig\d*_?|Bip\d+[ _])?", re.IGNORECASE)
_COPY = re.compile(r"\.\d{3}$")
_TOKEN = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+")
_JAPANESE_SIDE = re.compile("^([右左])|([右左])$")
_SIDES = {"r": ">r", "right": ">r", "右": ">r", "l": ">l", "left": ">l", "左": ">l"}

FINGER_WORDS = (
    ("thumb", "pollex", "親指"),
    ("index", "pointer", "forefinger", "人指", "人差", "人差し"),
    ("mid", "中指"),
    ("ring", "薬指"),
    ("pinky", "pinkie", "little", "小指"),
)
"""Beginnings of tokens that name a finger, thumb to pinky."""
HAND_WORDS = ("hand", "wrist", "palm", "finger", "手", "指")
OTHER_WORDS = (
    "toe", "foot", "feet", "ankle", "leg", "thigh", "shin", "hair", "skirt", "tail", "wing", "feather", "ear",
    "eye", "tongue", "face", "lip", "brow", "head", "neck", "spine", "hips", "cape", "rope",
    "tentacle", "足", "髪",
)  # fmt: skip
"""Tokens of what has chains of bones as well, and is no hand."""
HELPER_WORDS = frozenset(
    (
        "twist",
        "twst",
        "roll",
        "helper",
        "corrective",
        "corr",
        "muscle",
        "tweak",
        "pole",
        "target",
        "ik",
        "socket",
    )
    + ("prop", "weapon", "attach", "grip", "adjust", "share")
)
LEAF_WORDS = frozenset(("tip", "end", "nub", "leaf", "null", "先"))
METACARPAL_WORDS = frozenset(("metacarpal", "meta", "carpal", "palm"))


@cache
def namespace(name: str) -> tuple[str, str]:
    """Which character of several a bone belongs to: prefix up to the last ":" or "|", suffix as ".001"."""
    prefix, copy = _NAMESPACE.match(name), _COPY.search(name)
    return (prefix[0] if prefix else ""), (copy[0] if copy else "")


@cache
def canonical(name: str) -> tuple[str, ...]:
    """Name in tokens: split at separators, digits and humps, lower case, no prefix, the side last."""
    name = _NAMESPACE.sub("", unicodedata.normalize("NFKC", name))
    tokens = [token.lower() for token in _TOKEN.findall(_JAPANESE_SIDE.sub(r" \1\2 ", name))]
    tokens = [_SIDES.get(token, token) for token in tokens]
    return tuple(sorted(tokens, key=lambda token: token in (">r", ">l")))


def side_of(names: Iterable[str]) -> str:
    """Side that most of the names say, "right" or "left"; "" where they say none."""
    votes = {">r": 0, ">l": 0}
    for name in names:
        for token in {">r", ">l"} & set(canonical(name)):
            votes[token] += 1
    if votes[">r"] == votes[">l"]:
        return ""
    return "right" if votes[">r"] > votes[">l"] else "left"


def finger_of(names: Iterable[str]) -> int | None:
    """Finger that the names of a chain say, 0 (thumb) to 4 (pinky)."""
    for name in names:
        for token in canonical(name):
            for finger, words in enumerate(FINGER_WORDS):
                if token.startswith(words):
                    return finger
    return None


def says(name: str, words: Iterable[str]) -> bool:
    """Whether a token of the name is one of the words."""
    return not set(words).isdisjoint(canonical(name))
