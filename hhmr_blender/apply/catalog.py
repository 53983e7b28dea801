"""The asset catalog HHMR: a line in the text file that Blender keeps beside its asset libraries. No bpy."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from ..problems import Problem

FILE = "blender_assets.cats.txt"
CATALOG = "HHMR"
UUID = "6f6c1f4e-6a7b-4c57-9b52-8f1d3a2e7c90"
"""Always the same, so that poses of an unsaved file fall into the catalog as soon as there is one."""
VERSION = "VERSION 1"
HEADER = f"""# This is an Asset Catalog Definition file for Blender.
#
# Empty lines and lines starting with `#` will be ignored.
# The first non-ignored line should be the version indicator.
# Other lines are of the format "UUID:catalog/path/for/assets:simple catalog name"

{VERSION}

"""


def library_root(blend: Path, libraries: list[Path]) -> Path:
    """Folder whose catalogs count for a .blend file: the asset library that it lies in, else its own."""
    inside = [root for root in libraries if root.resolve() in blend.resolve().parents]
    return max(inside, key=lambda root: len(root.resolve().parts), default=blend.parent)


def ensure(folder: Path) -> str:
    """UUID of the catalog HHMR in a folder's list; it is added where it is missing.

    The file is written beside and renamed. Raises Problem, and leaves it as it is, where it can't be read or
    written, or is of a version that is unknown here.
    """
    path = folder / FILE
    try:
        text = path.read_text("utf-8") if path.exists() else ""
        lines = [line.strip() for line in text.splitlines()]
        said = [line for line in lines if line and not line.startswith("#")]
        if said and said[0] != VERSION:
            raise Problem("no_catalog", f"{path} is of another version of Blender: it was left as it is.")
        for line in said[1:]:
            known, _, rest = line.partition(":")
            if known == UUID or (rest.split(":")[0].strip() == CATALOG and _is_uuid(known)):
                return known
        body = text if said else HEADER
        beside = path.with_name(path.name + ".new")
        beside.write_text(f"{body.rstrip()}\n\n{UUID}:{CATALOG}:{CATALOG}\n", "utf-8")
        os.replace(beside, path)
    except (OSError, UnicodeDecodeError) as fault:
        raise Problem("no_catalog", f"The catalog can't be written to {path}: {fault}.") from fault
    return UUID


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
