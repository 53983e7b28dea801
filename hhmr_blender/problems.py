"""What can go wrong, as one sentence for the panel, and the buttons that mend it."""

from __future__ import annotations

from dataclasses import dataclass, field


class Problem(Exception):
    """A request that cannot be carried out: a code for the buttons, a sentence for the person."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


@dataclass(frozen=True)
class Mend:
    """A button that helps against a problem."""

    operator: str
    label: str
    icon: str = "NONE"
    properties: dict[str, str] = field(default_factory=dict)


ADD_HAND = Mend("hhmr.add_hand", "Add HHMR Hand", "ADD")
EDIT_MODE = Mend("object.mode_set", "Edit Mode", "EDITMODE_HLT", {"mode": "EDIT"})
KEEP_REST = Mend("hhmr.complete", "Keep What Is Left", "PLAY", {"keep": "REST"})
INSTALL = Mend("hhmr.install_engine", "Install Engine", "IMPORT")
REINSTALL = Mend("hhmr.install_engine", "Install Engine Again", "IMPORT")
PREFERENCES = Mend("hhmr.open_preferences", "Preferences", "PREFERENCES")
RESTART = Mend("hhmr.start_engine", "Start Engine", "PLAY")
LOG = Mend("hhmr.show_log", "Show Log", "TEXT")
DIAGNOSTICS = Mend("hhmr.copy_diagnostics", "Copy Diagnostics", "COPYDOWN")
RIGHT = Mend("hhmr.from_armature", "Right Hand", "NONE", {"side": "RIGHT"})
LEFT = Mend("hhmr.from_armature", "Left Hand", "NONE", {"side": "LEFT"})
RIGHT_ON_MESH = Mend("hhmr.complete", "Right Hand", "NONE", {"side": "RIGHT"})
LEFT_ON_MESH = Mend("hhmr.complete", "Left Hand", "NONE", {"side": "LEFT"})
DETECT = Mend("hhmr.detect_mapping", "Detect", "VIEWZOOM")
OBJECT_MODE = Mend("object.mode_set", "Object Mode", "OBJECT_DATAMODE", {"mode": "OBJECT"})
POSE_MODE = Mend("object.mode_set", "Pose Mode", "POSE_HLT", {"mode": "POSE"})
ONLINE = Mend("hhmr.allow_online", "Online Access", "INTERNET")
GAUSSIAN = Mend(
    "wm.context_set_enum",
    "Use Method Gaussian",
    "NONE",
    {"data_path": "scene.hhmr.method", "value": "gaussian"},
)
ADD_CAMERA = Mend("hhmr.add_camera", "Add Camera", "CAMERA_DATA")
DRAW_BOX = Mend("hhmr.draw_box_in_editor", "Draw Box", "SELECT_SET")
CLEAR_BOX = Mend("hhmr.clear_box", "Clear Box", "X")
ADD_SKELETON = Mend("hhmr.add_skeleton", "Add 2D Skeleton", "ARMATURE_DATA")
FEWER = Mend("hhmr.ask_for_fewer", "Ask for Fewer", "REMOVE")

SCENE: dict[str, tuple[Mend, ...]] = {
    "no_object": (ADD_HAND,),
    "not_a_hand": (ADD_HAND,),
    "changed_hand": (ADD_HAND,),
    "no_faces": (ADD_HAND,),
    "bad_mesh": (ADD_HAND,),
    "no_armature": (),
    "no_hand": (),
    "empty_selection": (EDIT_MODE,),
    "empty_group": (KEEP_REST,),
    "half_hand": (POSE_MODE,),
    "no_bones": (POSE_MODE,),
    "two_hands": (RIGHT, LEFT),
    "many_hands": (POSE_MODE,),
    "unsure_hand": (DETECT,),
    "stale_mapping": (DETECT,),
    "edit_mode": (OBJECT_MODE,),
    "two_hands_mesh": (RIGHT_ON_MESH, LEFT_ON_MESH),
    "two_parts": (EDIT_MODE,),
    "nothing_missing": (EDIT_MODE,),
    "too_large": (EDIT_MODE,),
    "no_camera": (ADD_CAMERA,),
    "bad_camera": (ADD_CAMERA,),
    "no_photo": (),
    "bad_photo": (),
    "bad_box": (DRAW_BOX, CLEAR_BOX),
    "no_skeleton": (ADD_SKELETON,),
}
"""About what was found in the scene."""

ENGINE: dict[str, tuple[Mend, ...]] = {
    "no_engine": (INSTALL, PREFERENCES),
    "bad_command": (PREFERENCES,),
    "offline": (ONLINE,),
    "install_failed": (REINSTALL, PREFERENCES, LOG),
    "outdated": (REINSTALL, PREFERENCES),
    "engine_failed": (RESTART, LOG, DIAGNOSTICS),
    "internal": (LOG, DIAGNOSTICS),
    "bad_weights": (REINSTALL, GAUSSIAN, LOG),
    "no_weights": (REINSTALL, GAUSSIAN),
    "out_of_memory": (FEWER,),
    "too_many": (FEWER,),
    "wrong_topology": (REINSTALL, GAUSSIAN, LOG),
    "cancelled_by_unload": (RESTART,),
    "no_hand": (DRAW_BOX, ADD_SKELETON),
}
"""About the engine: shown in the preferences as well."""

MENDS = {**SCENE, **ENGINE}
"""Problem code, our own or the engine's -> buttons; a code that is not here has a sentence and no button."""
