"""What lives as long as Blender runs and belongs to no file: the engine, its job, the last message."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import bpy
from mathutils import Matrix

from .problems import Problem

if TYPE_CHECKING:
    import numpy as np

    from .capture.foreign import ForeignHand
    from .client.install import Installation
    from .client.jobs import EngineClient, Job


@dataclass(frozen=True)
class Shot:
    """What of the scene a request about a picture was made from, by session_uid; 0: not there."""

    camera: int
    image: int = 0
    skeleton: int = 0
    """The empty that holds a 2D skeleton."""
    askew: Matrix = field(default_factory=lambda: Matrix.Identity(4))
    """From the axes of the camera that the engine is told of, to those of the scene's."""


@dataclass(frozen=True)
class Target:
    """Where the hypotheses go. Objects are remembered by session_uid: references die with an undo."""

    kind: str
    """KEYS: on the object itself; BESIDE: a new hand with its transform; FREE: a new hand at `matrix`;
    SURFACE: on an object of any topology, or where that lacks fingers, a new hand in its place; MOTION: keys
    on an armature; CAMERA: on the object where there is one, else a new hand, wherever that is."""
    matrix: Matrix
    """From the space of the request to the world."""
    uid: int = 0
    """Object that the request was made from; 0: none."""
    name: str = ""
    hand: ForeignHand | None = field(default=None, compare=False, repr=False)
    """With SURFACE: what was captured, and the way back."""
    shot: Shot | None = None
    """With CAMERA."""

    def find(self) -> bpy.types.Object | None:
        """The object, if it still exists, under whatever name."""
        return next((ob for ob in bpy.data.objects if ob.session_uid == self.uid), None)


@dataclass
class Run:
    """One request, from the button to the shape keys."""

    job: Job
    target: Target
    request: dict[str, Any]
    """For the provenance: what was asked for, without the arrays."""


@dataclass(frozen=True)
class Notice:
    """What the panel says."""

    text: str
    code: str = ""
    """Empty for news; else a key of problems.MENDS, or one without a button."""


@dataclass
class Session:
    """The one instance is `session`."""

    client: EngineClient | None = None
    run: Run | None = None
    notice: Notice | None = None
    asked_by: str = "hhmr.complete"
    """Operator of the last request: its panel shows the progress and the message."""
    waiting: list[tuple[dict[str, Any], dict[str, np.ndarray], Target, dict[str, Any]]] = field(
        default_factory=list
    )
    """Requests that follow the one under way, as `submit` takes them: for the other hand of a character."""
    told: str = ""
    """News of the requests before it, while others waited."""
    installation: Installation | None = None

    @property
    def busy(self) -> bool:
        """Whether a request is under way."""
        return self.run is not None

    def engine(self) -> EngineClient:
        """The engine's client; nothing is started by asking for it."""
        if self.client is None:
            from .client.jobs import EngineClient
            from .engine_command import engine_command, log_path

            self.client = EngineClient(engine_command, log_path())
        return self.client

    def submit(
        self, request: dict[str, Any], arrays: dict[str, np.ndarray], target: Target, note: dict[str, Any]
    ) -> None:
        """Send a request; `note` goes into the provenance beside it. Raises Problem when one is under way."""
        if self.run is not None:
            raise Problem("busy", "A request is under way: wait for it, or cancel it.")
        self.notice = None
        job = self.engine().submit({**request, "preview": True}, arrays)
        self.run = Run(job, target, {**request, **note})

    def follow(
        self, request: dict[str, Any], arrays: dict[str, np.ndarray], target: Target, note: dict[str, Any]
    ) -> None:
        """Send a request, or have it follow the one under way, if that ends well."""
        if self.run is None:
            self.submit(request, arrays, target, note)
        else:
            self.waiting.append((request, arrays, target, note))

    def finish(self) -> None:
        """The request under way has ended: go on with what waits, unless something went wrong."""
        self.run = None
        news = self.notice
        if news is not None and self.told:
            self.notice = news = Notice(f"{self.told} {news.text}", news.code)
        self.told = ""
        if news is None or news.code or not self.waiting:
            self.waiting.clear()
            return
        self.submit(*self.waiting.pop(0))
        self.told = news.text

    def cancel(self) -> None:
        """Cancel the request under way, if there is one, and what waits; the engine's answer ends it."""
        self.waiting.clear()
        if self.run is not None:
            self.engine().cancel(self.run.job)

    def shut_down(self) -> None:
        """Forget the request, stop the engine and what is being installed, and wait until they are gone."""
        self.run = None
        self.waiting.clear()
        self.told = ""
        self.notice = None
        if self.installation is not None:
            self.installation.cancel()
            self.installation = None
        if self.client is not None:
            self.client.stop()
            self.client = None


session = Session()
