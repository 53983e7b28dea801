"""The fixed split of every pose source into train, validation and test.

Whole groups go to one side (see sources.py), ranked by a hash of a named seed, the source and the group:
the split never depends on order, machine or library version, and each source gives up the same share.
"""

import hashlib

import numpy as np

from .sources import GAP

SEED = "hhmr-split-1"
TEST_SHARE = 0.2
VALIDATION_SHARE = 0.1  # of what is left after the test groups
TRAIN, VALIDATION, TEST = "train", "validation", "test"


def split_groups(source: str, groups: np.ndarray) -> np.ndarray:
    """Split of every frame, [N] str of "train" | "validation" | "test" | "gap", from its group [N] str.

    Groups are taken in the order of their hashes until a split holds its share of the frames; a group is
    taken only if that brings the share nearer. Frames of the group GAP stay "gap": nobody uses them.
    """
    names, counts = np.unique(groups[groups != GAP], return_counts=True)
    size = dict(zip(names.tolist(), counts.tolist(), strict=True))
    ranked = sorted(size, key=lambda group: _rank(source, group))
    test = _take(ranked, size, TEST_SHARE)
    rest = [group for group in ranked if group not in test]
    validation = _take(rest, size, VALIDATION_SHARE)
    split = np.full(len(groups), TRAIN, dtype="<U10")
    split[np.isin(groups, sorted(test))] = TEST
    split[np.isin(groups, sorted(validation))] = VALIDATION
    split[groups == GAP] = GAP
    return split


def _rank(source: str, group: str) -> str:
    return hashlib.sha256(f"{SEED}/{source}/{group}".encode()).hexdigest()


def _take(ranked: list[str], size: dict[str, int], share: float) -> set[str]:
    """The first groups of `ranked` that together come nearest to `share` of all frames."""
    wanted = share * sum(size[group] for group in ranked)
    taken: set[str] = set()
    total = 0
    for group in ranked:
        if abs(total + size[group] - wanted) < abs(total - wanted):
            taken.add(group)
            total += size[group]
    return taken
