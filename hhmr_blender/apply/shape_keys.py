"""Hypotheses as shape keys: hypotheses -> scene, with where they came from beside them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..problems import Problem

BEFORE = "HHMR Before"
"""Key that hypotheses are relative to where others were mixed: what the mesh looked like without them."""
PROVENANCE = "hhmr"
"""Custom property of the mesh's Key (a shape key itself holds none): JSON, see `Provenance`."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Entry:
    """What is known of one hypothesis."""

    name: str
    """Of its shape key; a key that was renamed has become the user's own."""
    score: float
    residual_mm: float
    self_intersection: float
    draw: int
    kept: bool = False


@dataclass(frozen=True)
class Provenance:
    """Where hypotheses came from: the request, the engine, and what is known of each."""

    request: dict[str, Any]
    engine: dict[str, Any]
    hypotheses: tuple[Entry, ...]


def write(
    ob: bpy.types.Object,
    vertices: Floats,
    entries: list[Entry],
    request: dict,
    engine: dict,
    before: Floats | None = None,
) -> None:
    """Append hypotheses [n, V, 3], in the mesh's own vertex order, as shape keys, and show the first.

    Earlier hypotheses that are not kept make room; every other key stays. `entries` name the keys as wanted;
    Blender may number them. `before` [V, 3]: what they are relative to, if that is not the basis. The object
    must not be in Edit Mode. Raises Problem before anything is changed.
    """
    mesh = ob.data
    assert isinstance(mesh, bpy.types.Mesh)
    count = len(mesh.vertices)
    if vertices.shape[1:] != (count, 3):
        raise Problem("target_changed", f"'{ob.name}' has other vertices now than when the request was made.")
    if not np.isfinite(vertices).all():
        raise Problem("internal", "The engine answered with positions that are no numbers (NaN).")
    flat = np.ascontiguousarray(vertices, np.float32).reshape(len(vertices), -1)

    make_room(ob)
    kept = hypotheses(ob)
    if mesh.shape_keys is None:
        ob.shape_key_add(name="Basis", from_mix=False)
    assert mesh.shape_keys is not None
    relative = None if before is None else _add(ob, BEFORE, before.reshape(-1))
    added = []
    for entry, positions in zip(entries, flat):
        key = _add(ob, entry.name, positions)
        if relative is not None:
            key.relative_key = relative
        added.append(_renamed(entry, key.name))
    _store(mesh, Provenance(request, engine, (*kept, *added)))
    show(ob, added[0].name)


def make_room(ob: bpy.types.Object) -> None:
    """Remove the hypotheses that are not kept."""
    remove(ob, [entry.name for entry in hypotheses(ob) if not entry.kept])


def show(ob: bpy.types.Object, name: str) -> None:
    """Show exactly one shape key, and nothing of the others."""
    mesh = ob.data
    assert isinstance(mesh, bpy.types.Mesh) and mesh.shape_keys is not None
    ob.show_only_shape_key = True
    ob.active_shape_key_index = mesh.shape_keys.key_blocks.find(name)


def hide(ob: bpy.types.Object) -> None:
    """Show no hypothesis: the mesh as it is without them."""
    mesh = ob.data
    assert isinstance(mesh, bpy.types.Mesh) and mesh.shape_keys is not None
    names = [entry.name for entry in hypotheses(ob)]
    if ob.active_shape_key is not None and ob.active_shape_key.name in names:
        ob.show_only_shape_key = False
    for name in names:
        mesh.shape_keys.key_blocks[name].value = 0.0


def blend(ob: bpy.types.Object, on: bool) -> None:
    """On: mix the hypotheses by their values, beginning with the one that is shown. Off: show just one."""
    mesh = ob.data
    assert isinstance(mesh, bpy.types.Mesh) and mesh.shape_keys is not None
    shown = ob.active_shape_key
    for entry in hypotheses(ob):
        key = mesh.shape_keys.key_blocks[entry.name]
        key.value = 1.0 if on and shown is not None and key.name == shown.name else 0.0
    ob.show_only_shape_key = not on


def keep(ob: bpy.types.Object, name: str, kept: bool) -> None:
    """Mark a hypothesis so that neither Discard the Rest nor the next request removes it."""
    mesh = ob.data
    assert isinstance(mesh, bpy.types.Mesh)
    known = provenance(mesh)
    assert known is not None
    entries = tuple(
        Entry(**{**vars(entry), "kept": kept}) if entry.name == name else entry for entry in known.hypotheses
    )
    _store(mesh, Provenance(known.request, known.engine, entries))


def discard_rest(ob: bpy.types.Object) -> int:
    """Remove every hypothesis that is neither kept nor, where none is kept, shown; return how many."""
    found = hypotheses(ob)
    shown = ob.active_shape_key
    staying = {entry.name for entry in found if entry.kept}
    if not staying and shown is not None and any(entry.name == shown.name for entry in found):
        staying = {shown.name}
    gone = [entry.name for entry in found if entry.name not in staying]
    if not staying or not gone:
        return 0
    remove(ob, gone)
    if shown is None or ob.active_shape_key is None or ob.active_shape_key.name not in staying:
        show(ob, next(entry.name for entry in found if entry.name in staying))
    return len(gone)


def remove(ob: bpy.types.Object, names: list[str]) -> None:
    """Remove hypotheses by name; the active key stays the active one where it is not among them."""
    mesh = ob.data
    assert isinstance(mesh, bpy.types.Mesh)
    if mesh.shape_keys is None or not names:
        return
    active = ob.active_shape_key.name if ob.active_shape_key else ""
    for name in [*names, *_left_over(mesh.shape_keys, names)]:
        ob.shape_key_remove(mesh.shape_keys.key_blocks[name])
    known = provenance(mesh)
    if known is not None:
        entries = tuple(entry for entry in known.hypotheses if entry.name not in names)
        _store(mesh, Provenance(known.request, known.engine, entries))
    ob.active_shape_key_index = max(0, mesh.shape_keys.key_blocks.find(active))


def hypotheses(ob: bpy.types.Object) -> list[Entry]:
    """Hypotheses that are still among an object's shape keys."""
    if not isinstance(ob.data, bpy.types.Mesh) or ob.data.shape_keys is None:
        return []
    known = provenance(ob.data)
    blocks = ob.data.shape_keys.key_blocks
    return [entry for entry in known.hypotheses if entry.name in blocks] if known else []


def provenance(mesh: bpy.types.Mesh) -> Provenance | None:
    """Where a mesh's hypotheses came from, or None where it has none."""
    text = mesh.shape_keys.get(PROVENANCE) if mesh.shape_keys is not None else None
    return _parse(text) if isinstance(text, str) else None


@lru_cache(maxsize=16)
def _parse(text: str) -> Provenance | None:
    try:
        stored = json.loads(text)
        entries = tuple(Entry(**entry) for entry in stored["hypotheses"])
        return Provenance(stored["request"], stored["engine"], entries)
    except (
        ValueError,
        KeyError,
        TypeError,
    ):  # edited by hand, or of another version: then they are plain keys
        return None


def _add(ob: bpy.types.Object, name: str, positions: NDArray) -> bpy.types.ShapeKey:
    """New key with positions [3 V], which shows nothing yet."""
    key = ob.shape_key_add(name=name, from_mix=False)
    key.points.foreach_set("co", np.ascontiguousarray(positions, np.float32))
    key.slider_min, key.slider_max, key.value = 0.0, 1.0, 0.0
    return key


def _left_over(keys: bpy.types.Key, names: list[str]) -> list[str]:
    """Names of our own keys that nothing is relative to any more when these keys are gone."""
    staying = [key for key in keys.key_blocks if key.name not in names]
    used = {key.relative_key.name for key in staying if key.relative_key != key}
    ours = [key.name for key in keys.key_blocks if key.name.split(".")[0] == BEFORE]
    return [name for name in ours if name not in used]


def _store(mesh: bpy.types.Mesh, known: Provenance) -> None:
    assert mesh.shape_keys is not None
    stored = {
        "request": known.request,
        "engine": known.engine,
        "hypotheses": [vars(one) for one in known.hypotheses],
    }
    mesh.shape_keys[PROVENANCE] = json.dumps(stored)


def _renamed(entry: Entry, name: str) -> Entry:
    return Entry(**{**vars(entry), "name": name})
