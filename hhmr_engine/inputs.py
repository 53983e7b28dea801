"""Conditions and output names from the command line: files to arrays, faults to one sentence."""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .faults import InputError
from .hand.skeleton import JOINT_NAMES

SUFFIXES = (".npz", ".glb", ".png")
SURFACES = (".obj", ".ply", ".glb", ".gltf", ".stl", ".off")
_MAX_BYTES = 256 * 1024 * 1024
NOISE_2D = 0.015  # of the hand's size: a 2D joint that is fully believed
_LEAST_CONFIDENCE = 0.1


def read_joints(path: Path) -> NDArray[np.float32]:
    """`joints [21, 3]`, or `[T, 21, 3]` of a motion, in metres, from json or npz; NaN or null: unknown."""
    joints = _finite_or_nan(_read_array(path, "joints"), path, "joints")
    if joints.ndim not in (2, 3) or joints.shape[-2:] != (21, 3) or not len(joints):
        raise InputError(
            f"'joints' in {path} must be 21 joints of 3 coordinates, of one frame or of several, and is "
            f"{_shape(joints)}: write unknown joints as null or NaN."
        )
    _check_known(joints, path)
    return joints


def _check_known(joints: NDArray, path: Path) -> None:
    """InputError where a joint has only some of its coordinates, or none is known."""
    unknown = np.isnan(joints)
    partly = unknown.any(-1) & ~unknown.all(-1)
    if partly.any():
        joint = int(np.argwhere(partly)[0, -1])
        raise InputError(
            f"Joint {joint} ({JOINT_NAMES[joint]}) in {path} has only some of its coordinates: "
            f"give all {'three' if joints.shape[-1] == 3 else 'two'} or none."
        )
    if unknown.all():
        raise InputError(f"No joint in {path} is known: give at least a few, or use 'hhmr generate'.")


@dataclass(frozen=True)
class Skeleton2d:
    """A file's 2D skeleton. NaN: unknown; None: not said."""

    joints2d: NDArray[np.float32]  # [21, 2] pixels
    sigma2d: NDArray[np.float32] | None = None  # [21] pixels
    size: NDArray[np.float32] | None = None  # [2] width and height of the picture
    focal: float | None = None  # pixels


def read_skeleton2d(path: Path) -> Skeleton2d:
    """`joints2d [21, 2]` in pixels from json or npz, and where they are there `confidence [21]`,
    `image_size [2]` and `focal` in pixels.

    A joint of confidence c, 0 to 1, is believed within 1.5 % of the hand's size / max(c, 0.1); of confidence
    0 it is unknown. The hand's size is the longer side of the known joints' bounding box.
    """
    arrays = _read_arrays(path, "joints2d", (2,), ("confidence", "image_size", "focal"))
    joints = _finite_or_nan(arrays["joints2d"], path, "joints2d", "pixels")
    if joints.shape != (21, 2):
        raise InputError(
            f"'joints2d' in {path} must be 21 joints of 2 coordinates, and is {_shape(joints)}: "
            "write unknown joints as null or NaN."
        )
    size = focal = sigma = None
    if "image_size" in arrays:
        size = _positive(arrays["image_size"], path, "image_size", (2,), "width and height in pixels")
    if "focal" in arrays:
        focal = float(_positive(arrays["focal"], path, "focal", (), "the focal length in pixels"))
    if "confidence" in arrays:
        confidence = _confidence(arrays["confidence"], path)
        joints[confidence == 0.0] = np.nan
        _check_known(joints, path)
        sigma = NOISE_2D * _extent(joints) / np.maximum(confidence, _LEAST_CONFIDENCE)
    _check_known(joints, path)
    return Skeleton2d(joints, sigma, size, focal)


def _extent(joints2d: NDArray) -> float:
    """The longer side of the known joints' bounding box, a pixel at least."""
    return max(float((np.nanmax(joints2d, 0) - np.nanmin(joints2d, 0)).max()), 1.0)


def _confidence(array: NDArray, path: Path) -> NDArray[np.float32]:
    """`[21]` from 0 to 1; unknown is 0."""
    confidence = np.nan_to_num(_finite_or_nan(array, path, "confidence", "numbers from 0 to 1"))
    if confidence.shape != (21,):
        raise InputError(
            f"'confidence' in {path} must be 21 numbers, and is {_shape(confidence)}: "
            "give one for each joint."
        )
    wrong = np.flatnonzero((confidence < 0) | (confidence > 1))
    if len(wrong):
        raise InputError(
            f"The confidence of joint {wrong[0]} ({JOINT_NAMES[wrong[0]]}) in {path} is "
            f"{confidence[wrong[0]]:g}: write numbers from 0 to 1."
        )
    return confidence


def _positive(
    array: NDArray, path: Path, name: str, shape: tuple[int, ...], what: str
) -> NDArray[np.float32]:
    array = _finite_or_nan(array, path, name, what)
    if array.shape != shape or not (array > 0).all():
        found = array.tolist() if array.shape == shape else _shape(array)
        raise InputError(f"'{name}' in {path} must be {what}, and is {found}: correct it, or leave it out.")
    return array


def read_surface(
    path: Path, keep: Path | None = None
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.bool_] | None]:
    """Vertices `[M, 3]`, triangles `[F, 3]` and what is kept `[M]` of any mesh file that trimesh reads.

    Several meshes in one file become one. `keep` as in `read_mesh`; without it all of the mesh is kept.
    """
    import trimesh

    if not path.is_file():
        raise InputError(f"There is no file {path}: check the name.")
    if path.stat().st_size > _MAX_BYTES:
        raise InputError(f"{path} is larger than {_MAX_BYTES >> 20} MiB: give one hand only.")
    try:
        mesh = trimesh.load_mesh(path, process=False)
    except Exception as exc:  # noqa: BLE001 every reader of trimesh has its own faults
        reason = " ".join(str(exc).split())[:120] or type(exc).__name__
        raise InputError(
            f"{path} cannot be read as a mesh ({reason}): export it again as glb or ply."
        ) from exc
    faces = getattr(mesh, "faces", None)
    if faces is None or len(faces) == 0:
        raise InputError(f"{path} has no faces: give a mesh, not points or curves.")
    vertices = _finite_or_nan(np.asarray(mesh.vertices), path, "vertices")
    if np.isnan(vertices).any():
        raise InputError(f"{path} has vertices that are no numbers: export it again.")
    mask = None if keep is None else _read_keep(keep, len(vertices))
    return vertices, np.asarray(faces, np.int32), mask


def read_mesh(path: Path, keep: Path | None = None) -> NDArray[np.float32]:
    """`vertices [V, 3]` in template order from an npz file; a vertex that is NaN is missing.

    `keep`: an npz file with `keep`, either `[V]` bool or vertex numbers; every other vertex becomes NaN.
    """
    if path.suffix.lower() == ".json":
        raise InputError(f"{path} must be an npz file with 'vertices [V, 3]' in template order.")
    vertices = _finite_or_nan(_read_array(path, "vertices"), path, "vertices")
    if vertices.ndim != 2 or vertices.shape[1] != 3:
        raise InputError(
            f"'vertices' in {path} must be [V, 3] in template order, and is {_shape(vertices)}: "
            "write missing vertices as NaN."
        )
    vertices[np.isnan(vertices).any(1)] = np.nan
    if keep is not None:
        vertices[~_read_keep(keep, len(vertices))] = np.nan
    if np.isnan(vertices).all():
        where = f"{path} and {keep} have no vertex in common" if keep else f"No vertex in {path} is known"
        raise InputError(f"{where}: keep at least a part of the hand, or use 'hhmr generate'.")
    return vertices


def _read_keep(path: Path, count: int) -> NDArray[np.bool_]:
    keep = _read_array(path, "keep")
    if keep.dtype == bool and keep.shape == (count,):
        return keep
    if keep.dtype.kind in "iu" and keep.ndim == 1:
        wrong = (keep < 0) | (keep >= count)
        if wrong.any():
            raise InputError(
                f"'keep' in {path} names vertex {int(keep[wrong][0])}, and the mesh has {count}: "
                f"use numbers from 0 to {count - 1}."
            )
        mask = np.zeros(count, bool)
        mask[keep] = True
        return mask
    raise InputError(
        f"'keep' in {path} must be {count} times true or false, or a list of vertex numbers, and is "
        f"{_shape(keep)} of {keep.dtype}: write it so."
    )


def _read_array(path: Path, name: str) -> NDArray:
    """The array of that name from an npz file, or from a json object (or a bare json list)."""
    return _read_arrays(path, name)[name]


def _read_arrays(
    path: Path, name: str, row: tuple[int, ...] = (3,), others: tuple[str, ...] = ()
) -> dict[str, NDArray]:
    """The array of that name, of rows of that shape, and those of the others that are there."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(f"{path} is larger than {_MAX_BYTES >> 20} MiB: give one hand only.")
        if path.suffix.lower() == ".npz":
            return _from_npz(path, name, others)
        return _from_json(json.loads(path.read_text("utf-8-sig")), path, name, row, others)
    except FileNotFoundError:
        raise InputError(f"There is no file {path}: check the name.") from None
    except OSError as exc:
        raise InputError(
            f"{path} cannot be read ({exc.strerror or exc}): check the name and rights."
        ) from exc
    except (UnicodeDecodeError, json.JSONDecodeError) as exc:
        raise InputError(f"{path} is not json ({exc}): give a json or npz file with '{name}'.") from exc
    except RecursionError:
        raise InputError(f"{path} is nested too deeply: give a json or npz file with '{name}'.") from None


# What numpy, zipfile and zlib raise for damaged, encrypted or hostile files.
_UNREADABLE = (ValueError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)


def _from_npz(path: Path, name: str, others: tuple[str, ...]) -> dict[str, NDArray]:
    try:
        data = np.load(path, allow_pickle=False)
        if isinstance(data, np.ndarray):
            raise InputError(f"{path} holds a bare array: save it with np.savez and the name '{name}'.")
        with data:
            if name not in data.files:
                found = ", ".join(data.files[:8]) or "nothing"
                raise InputError(f"{path} has no '{name}' (it holds {found}): save the array by that name.")
            return {wanted: data[wanted] for wanted in (name, *others) if wanted in data.files}
    except _UNREADABLE as exc:
        raise InputError(
            f"{path} is not a readable npz file of plain numbers ({exc}): write it again."
        ) from exc


def _from_json(
    value: Any, path: Path, name: str, row: tuple[int, ...], others: tuple[str, ...]
) -> dict[str, NDArray]:
    rest: dict[str, Any] = {}
    if isinstance(value, dict):
        if name not in value:
            found = ", ".join(list(value)[:8]) or "nothing"
            raise InputError(f"{path} has no '{name}' (it holds {found}): write the joints by that name.")
        rest = {other: value[other] for other in others if value.get(other) is not None}
        value = value[name]
    if isinstance(value, list):
        frames = any(isinstance(part, list) and len(part) == 21 for part in value)
        value = [_filled(part, (21, *row) if frames else row) for part in value]
    arrays = {}
    for wanted, array in ({name: value} | rest).items():
        try:
            arrays[wanted] = np.array(array, np.float64)  # None becomes NaN
        except (TypeError, ValueError, OverflowError):
            what = f"21 lists of {row[0]} numbers" if wanted == name else "of numbers"
            hint = "write unknown joints as null" if wanted == name else "correct it, or leave it out"
            raise InputError(f"'{wanted}' in {path} must be {what}: {hint}.") from None
    return arrays


def _filled(value: Any, shape: tuple[int, ...]) -> Any:
    """A joint, or a frame of joints, with null in place of every number that it has not."""
    if value is None:
        value = [None] * shape[0]
    return [_filled(row, shape[1:]) for row in value] if len(shape) > 1 and isinstance(value, list) else value


def _finite_or_nan(array: NDArray, path: Path, name: str, what: str = "metres") -> NDArray[np.float32]:
    """A float32 copy in which everything is a finite number or NaN."""
    if array.dtype.kind not in "fiu":
        raise InputError(f"'{name}' in {path} must hold numbers, and is {array.dtype}: write {what}.")
    with np.errstate(over="ignore"):
        result = np.array(array, np.float32)
    if np.isinf(result).any():
        raise InputError(f"'{name}' in {path} holds infinite numbers: write NaN for what is unknown.")
    return result


def _shape(array: NDArray) -> str:
    return " x ".join(map(str, array.shape)) or "a single value"


def output_paths(out: str) -> dict[str, Path]:
    """Where X.npz, X.glb and X.png go for `--out X` (a known ending is taken off), by ending.

    Looked at before anything is computed: an InputError says why nothing could be written there.
    """
    base = Path(out)
    named = base.suffix.lower() in SUFFIXES
    if named:
        base = base.with_suffix("")
    paths = paths_of(base) if base.name else {}
    try:
        if not paths or out.endswith(("/", "\\")) or (not named and base.is_dir()):
            raise InputError(f"{out} is a folder: give a name in it, such as {base / 'hands'}.")
        if not base.parent.is_dir():
            raise InputError(f"The folder {base.parent} does not exist: make it, or give another --out.")
        for path in paths.values():
            if path.is_dir():
                raise InputError(f"{path} is a folder: give another --out.")
        probe = base.with_name(f".{base.name}.{os.getpid()}.part")
        probe.touch()
        probe.unlink()
    except OSError as exc:
        reason = exc.strerror or exc
        raise InputError(f"Nothing can be written to {base.parent} ({reason}): give another --out.") from exc
    return paths


def paths_of(base: Path) -> dict[str, Path]:
    """The three files of that name, by ending."""
    return {suffix: base.with_name(base.name + suffix) for suffix in SUFFIXES}
