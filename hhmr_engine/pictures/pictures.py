"""HandPictures: endless pictures of given hands, as a hand detector crops them out of photos."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from ..hand.template import UNIT, HandTemplate
from .backgrounds import background, cut
from .camera import SIDE, Framing, View, random_views
from .develop import Grain, compress, motion_blur
from .dice import Dice
from .light import Lights, random_lights
from .scene import Layer, Stage

CHUNK = 8  # pictures of SIDE pixels drawn at once on a CPU: what its caches hold


@dataclass(frozen=True)
class PictureSettings:
    """What is in pictures how often, as shares of all."""

    # Photos show hands in few pixels or in many: at these sides crops are rendered, then brought to SIDE.
    sides: tuple[int, ...] = (224, 160, 112, 72)
    side_shares: tuple[float, ...] = (0.45, 0.2, 0.2, 0.15)
    held: float = 0.2
    occluder: float = 0.22
    other_hand: float = 0.2  # of backgrounds
    shadow: float = 0.5  # of the hand on the background
    motion: float = 0.12
    compressed: float = 0.4
    framing: Framing = field(default_factory=Framing)
    skins: int = 24
    backgrounds: int = 48
    renewed: float = 0.02  # of a background and a third of a skin, per picture

    def __post_init__(self) -> None:
        if len(self.sides) != len(self.side_shares) or abs(sum(self.side_shares) - 1) > 1e-6:
            raise ValueError("pictures.side_shares must give every side its share, together 1.")
        if min(self.sides) < 16:
            raise ValueError("pictures.sides must be at least 16 pixels.")


@dataclass(frozen=True)
class Pictures:
    """B crops of SIDE pixels and what they show. Camera axes: x right, y down, z away; metres."""

    pixels: Tensor  # [B,3,SIDE,SIDE] uint8 RGB
    vertices: Tensor  # [B,V,3] camera axes, translation included
    rotation: Tensor  # [B,3,3] palm frame -> camera
    translation: Tensor  # [B,3] of the palm frame's origin
    scale: Tensor  # [B] metres a unit of the palm frame
    focal: Tensor  # [B] pixels of the crop
    centre: Tensor  # [B,2] pixels of the crop
    joints2d: Tensor  # [B,21,2] pixels of the crop
    visible: Tensor  # [B,21] bool: in the picture and hidden by nothing
    mask: Tensor  # [B,SIDE,SIDE] bool: where the hand is seen, without its forearm


class HandPictures:
    """Draws pictures of hands. The same seed gives the same pictures in the same order on one device."""

    def __init__(
        self,
        template: HandTemplate,
        device: str | torch.device = "cpu",
        seed: int = 0,
        settings: PictureSettings | None = None,
    ) -> None:
        self.settings = settings or PictureSettings()
        self.device, self.seed = torch.device(device), seed
        self.stage = Stage(template, device)
        self.drawn = self.shown = self.renewals = 0
        self.grain = Grain(self._dice(1))
        self.skins = torch.stack([self._person(n) for n in range(self.settings.skins)])
        # Hands in backgrounds are always of the first people: pools then only depend on how much was drawn.
        self._others = self.skins[:6].clone()
        self._plain = torch.full((1, 8, 8, 3), 128, dtype=torch.uint8, device=self.device)
        self.backgrounds = torch.stack([self._background(n) for n in range(self.settings.backgrounds)])

    def draw(self, vertices: Tensor, seed: int | None = None) -> Pictures:
        """Pictures of right hands [B,V,3] in the palm frame (UNIT), of random people in random places.

        `seed`: otherwise the next of the object's own.
        """
        with torch.no_grad():
            return self._draw(vertices.to(self.device), seed)

    def _draw(self, vertices: Tensor, seed: int | None) -> Pictures:
        s, count = self.settings, len(vertices)
        dice = self._dice(2, self.drawn if seed is None else seed)
        self.drawn += 1
        view = random_views(self.stage.regressor @ vertices, UNIT, s.framing, dice)
        share = torch.tensor(s.side_shares).cumsum(0)
        kind = torch.searchsorted(share, dice.uniform(count).cpu().clamp(max=0.999))
        pixels = torch.empty(count, 3, SIDE, SIDE, dtype=torch.uint8, device=self.device)
        mask = torch.empty(count, SIDE, SIDE, dtype=torch.bool, device=self.device)
        visible = torch.empty(count, 21, dtype=torch.bool, device=self.device)
        for number, side in enumerate(s.sides):
            rows = (kind == number).nonzero()[:, 0]
            if not len(rows):
                continue
            for part in rows.split(CHUNK * SIDE // side if self.device.type == "cpu" else 256):
                part = part.to(self.device)
                shown = self._shoot(vertices[part], _rows(view, part, side), side, dice)
                for whole, some in zip((pixels, mask, visible), shown):
                    whole.index_copy_(0, part, some)
        self._renew(count)
        placed = view.place(vertices)
        return Pictures(
            pixels,
            placed,
            view.rotation,
            view.translation,
            view.scale,
            view.focal,
            view.centre,
            view.project(self.stage.regressor @ placed),
            visible,
            mask,
        )

    def _shoot(self, vertices: Tensor, view: View, side: int, dice: Dice) -> tuple[Tensor, Tensor, Tensor]:
        """Pixels [B,3,SIDE,SIDE], mask [B,SIDE,SIDE] and visible joints [B,21] of crops of `side` pixels."""
        s, stage = self.settings, self.stage
        count = len(vertices)
        lights = random_lights(count, dice)
        pools = len(self.skins), len(self.backgrounds)
        cast = stage.cast(vertices, view, pools, (s.held, s.occluder), dice)
        layer = stage.shoot(cast, view, lights, self.skins, self.backgrounds, side, side)
        joints = stage.regressor @ cast.points[:, : vertices.shape[1]]
        visible = stage.visible(layer, view.project(joints))
        picture = self._compose(layer, lights, dice)
        picture = develop(picture, s, self.grain, dice)
        mask = layer.hand
        picture = picture.permute(0, 3, 1, 2)
        if side != SIDE:
            picture = F.interpolate(picture, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
            mask = F.interpolate(mask[:, None], size=(SIDE, SIDE), mode="bilinear", align_corners=False)[:, 0]
        pixels = picture.clamp(0, 1).mul_(255).to(torch.uint8)
        return pixels.contiguous(), mask > 0.5, visible

    def _compose(self, layer: Layer, lights: Lights, dice: Dice) -> Tensor:
        """A layer on backgrounds [B,side,side,3], some with its shadow."""
        count, side = layer.coverage.shape[:2]
        ground = cut(self.backgrounds, side, dice, count)
        ground = ground * torch.exp(
            dice.normal(count, 1, 1, 3, sigma=0.06) + dice.normal(count, 1, 1, 1, sigma=0.15)
        )
        dark = dice.uniform(count, low=0.15, high=0.7) * dice.chance(count, share=self.settings.shadow)
        reach = dice.uniform(count, 1, low=0.02, high=0.25)
        ground = (
            ground
            * (1 - dark[:, None, None] * cast_shadow(layer.coverage, lights.key[:, :2] * reach))[..., None]
        )
        return layer.colour + (1 - layer.coverage)[..., None] * ground

    def state(self) -> dict[str, int]:
        """Enough to go on exactly here."""
        return {"drawn": self.drawn, "shown": self.shown, "renewals": self.renewals}

    def restore(self, state: dict[str, int]) -> None:
        """Go on where `state` was taken, from an object of the same seed and settings."""
        self.drawn, self.shown, self.renewals = state["drawn"], state["shown"], state["renewals"]
        persons = -(-self.renewals // 3)
        for pool, made, make in (
            (self.backgrounds, self.renewals, self._background),
            (self.skins, persons, self._person),
        ):
            for number in range(max(0, made - len(pool)), made):
                pool[number % len(pool)] = make(len(pool) + number)

    def _renew(self, count: int) -> None:
        """New people and places for old, as pictures are drawn."""
        s = self.settings
        self.shown += count
        due = int(s.renewed * self.shown)
        while self.renewals < due:
            number = self.renewals
            self.renewals += 1
            self.backgrounds[number % s.backgrounds] = self._background(s.backgrounds + number)
            if number % 3 == 0:
                self.skins[number // 3 % s.skins] = self._person(s.skins + number // 3)

    def _person(self, number: int) -> Tensor:
        return self.stage.skin.person(self._dice(3, number))

    def _background(self, number: int) -> Tensor:
        dice = self._dice(4, number)
        clutter = [self._other_hand(dice)] if dice.number() < self.settings.other_hand else []
        return (background(dice, clutter) * 255).to(torch.uint8)

    def _other_hand(self, dice: Dice) -> Tensor:
        """A hand that the picture is not of, as a thing among others [160,160,4], its coverage last."""
        t = self.stage.template
        amount = dice.normal(len(t.basis)) * t.basis_variance.sqrt()
        vertices = (t.basis_mean + torch.tensordot(amount, t.basis, 1))[None]
        view = random_views(self.stage.regressor @ vertices, UNIT, self.settings.framing, dice)
        view, plain = _rows(view, torch.zeros(1, dtype=torch.long, device=self.device), 160), self._plain
        cast = self.stage.cast(vertices, view, (len(self._others), 1), (0.0, 0.0), dice)
        layer = self.stage.shoot(cast, view, random_lights(1, dice), self._others, plain, 160, 160)
        colour = layer.colour[0] / layer.coverage[0, ..., None].clamp_min(1e-3)
        return torch.cat([colour, layer.coverage[0, ..., None]], 2)

    def _dice(self, *purpose: int) -> Dice:
        return Dice(self.seed, *purpose, device=self.device)


def develop(picture: Tensor, settings: PictureSettings, grain: Grain, dice: Dice) -> Tensor:
    """What camera and file make of pictures [B,H,W,3]: some shaken, tinted, noisy, compressed."""
    count, height = picture.shape[:2]
    moved = dice.chance(count, 1, share=settings.motion)
    picture = motion_blur(picture, dice.normal(count, 2, sigma=height * 0.02) * moved)
    picture = picture * torch.exp(dice.normal(count, 1, 1, 3, sigma=0.04))
    grain.add(picture, torch.exp(dice.uniform(count, low=-6.5, high=-2.9)), dice)
    some = dice.chance(count, share=settings.compressed).nonzero()[:, 0]
    quality = torch.exp(dice.uniform(count, low=-4.5, high=-2.6))
    if len(some):
        picture[some] = compress(picture[some], quality[some])
    return picture


def cast_shadow(coverage: Tensor, shift: Tensor) -> Tensor:
    """Where the shadow of `coverage [B,H,W]` falls, shifted against `shift [B,2]` (parts of a side)."""
    height, width = coverage.shape[1:]
    small = F.adaptive_avg_pool2d(coverage[:, None], 28)
    move = torch.zeros(len(coverage), 2, 3, device=coverage.device)
    move[:, 0, 0] = move[:, 1, 1] = 1
    move[:, :, 2] = 2 * shift
    grid = F.affine_grid(move, list(small.shape), align_corners=False)
    small = F.grid_sample(small, grid, padding_mode="border", align_corners=False)
    small = F.avg_pool2d(small, 3, 1, 1, count_include_pad=False)
    return F.interpolate(small, size=(height, width), mode="bilinear", align_corners=False)[:, 0]


def _rows(view: View, rows: Tensor, side: int) -> View:
    """Some of a view's pictures, with pixels so large that a crop has `side` of them."""
    zoom = side / SIDE
    return View(
        view.scale[rows],
        view.rotation[rows],
        view.translation[rows],
        view.focal[rows] * zoom,
        view.centre[rows] * zoom,
    )
