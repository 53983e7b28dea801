"""The tree of a skeleton: chains of bones under one bone, without helpers and twists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .joints import Array
from .names import HELPER_WORDS, LEAF_WORDS, says

Chain = list[str]

FEWEST, MOST = 4, 6
"""Chains under a wrist: four or five fingers, and perhaps one that is none."""


@dataclass(frozen=True)
class Skeleton:
    """Bones without helpers and twists, their ends at rest, and how many bones hang below each in a row."""

    heads: Mapping[str, Array]
    tails: Mapping[str, Array]
    parents: Mapping[str, str | None]
    children: dict[str, list[str]]
    depth: dict[str, int]


def ancestors(bone: str, parents: Mapping[str, str | None]) -> list[str]:
    """Bones above a bone, nearest first."""
    line = []
    above = parents[bone]
    while above is not None:
        line.append(above)
        above = parents[above]
    return line


def skeleton_of(
    parents: Mapping[str, str | None], heads: Mapping[str, Array], tails: Mapping[str, Array]
) -> Skeleton:
    kept = dict.fromkeys(bone for bone in parents if not says(bone, HELPER_WORDS))
    above = {bone: next((one for one in ancestors(bone, parents) if one in kept), None) for bone in kept}
    children: dict[str, list[str]] = {bone: [] for bone in kept}
    for bone, parent in above.items():
        if parent is not None:
            children[parent].append(bone)
    depth: dict[str, int] = {}
    for bone in sorted(kept, key=lambda one: -len(ancestors(one, above))):  # leaves first
        depth[bone] = 1 + max((depth[child] for child in children[bone]), default=0)
    return Skeleton(heads, tails, above, children, depth)


def fingers_under(skeleton: Skeleton, wrist: str) -> list[Chain]:
    """Chains of two and more bones below a bone; none unless it is the one that they branch off from."""
    roots = [child for child in skeleton.children[wrist] if skeleton.depth[child] >= 2]
    if len(roots) < 2:
        return []
    found: list[Chain] = []
    for root in roots:
        found += _chains(skeleton, root)
        if len(found) > MOST:
            return []
    return [chain for chain in (_distinct(skeleton, chain) for chain in found) if len(chain) >= 2]


def _chains(skeleton: Skeleton, root: str) -> list[Chain]:
    """The chain that begins at a bone; where it branches (a palm bone under two fingers), those above it."""
    chain = [root]
    while children := skeleton.children[chain[-1]]:
        deep = [child for child in children if skeleton.depth[child] >= 2]
        if len(deep) >= 2:
            return [one for child in deep for one in _chains(skeleton, child)]
        chain.append(deep[0] if deep else _straightest(skeleton, chain, children))
    return [chain]


def _straightest(skeleton: Skeleton, chain: Chain, children: list[str]) -> str:
    """Of several last bones the one that goes on: named as a tip, else the farthest out."""
    start = skeleton.heads[chain[0]]
    return max(
        children,
        key=lambda bone: (says(bone, LEAF_WORDS), float(np.linalg.norm(skeleton.heads[bone] - start))),
    )


def _distinct(skeleton: Skeleton, chain: Chain) -> Chain:
    """A chain without the bones that only hold another one in the same place."""
    heads = np.array([skeleton.heads[bone] for bone in chain])
    steps = np.linalg.norm(np.diff(heads, axis=0), axis=1)
    short = 0.02 * float(steps.sum())
    return [bone for bone, step in zip(chain, [*steps, np.inf]) if step > short]
