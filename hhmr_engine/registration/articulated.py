"""The skinned hand as a differentiable model: points, normals and exact derivatives for many hands."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from ..hand import dof
from ..hand.rotation import rotation_matrix
from ..hand.skeleton import JOINT_BONE, PARENTS, TIP_BONES, TIP_JOINTS
from ..hand.template import HandTemplate

ANGLES, SHAPE, LENGTHS, OFFSETS, FRAME = 24, 10, 19, 57, 7
PARTS = [ANGLES, SHAPE, LENGTHS, FRAME, OFFSETS]  # the order of a step's components
SIZE = sum(PARTS)
SIMPLE = SIZE - OFFSETS  # components of a step that leaves the axes where they are
BONES = len(PARENTS)
LONGEST = 0.35  # radians: no angle changes by more in one step


@dataclass(frozen=True)
class Pose:
    """n hands, and where they are: point = exp(grow) * rotation @ hand + shift, hand about its middle
    knuckle."""

    angles: Tensor  # [n,24]
    beta: Tensor  # [n,10]
    lengths: Tensor  # [n,19] logarithms, of all bones but the wrist
    offsets: Tensor  # [n,57] rotation vectors of the same bones' axes
    rotation: Tensor  # [n,3,3]
    shift: Tensor  # [n,3]
    grow: Tensor  # [n]

    def __len__(self) -> int:
        return len(self.angles)

    def __getitem__(self, rows: Tensor | slice | list[int]) -> Pose:
        return Pose(*(getattr(self, field.name)[rows] for field in fields(self)))

    def parameters(self) -> Tensor:
        """[n,SIZE] in a step's order, as priors see them: of where a hand is nothing is expected but its
        size, so the rest of the frame is 0."""
        place = self.angles.new_zeros(len(self), FRAME - 1)
        return torch.cat([self.angles, self.beta, self.lengths, place, self.grow[:, None], self.offsets], 1)

    def moved(self, step: Tensor) -> Pose:
        """After a step [n,SIZE] or [n,SIMPLE]; the frame's turn is a rotation vector on the left, about
        `shift`."""
        largest = step[:, :ANGLES].abs().amax(1, keepdim=True)
        step = step * (LONGEST / largest.clamp_min(LONGEST))
        step = torch.cat([step, step.new_zeros(len(step), SIZE - step.shape[1])], 1)
        angles, beta, lengths, frame, offsets = step.split(PARTS, 1)
        return Pose(
            self.angles + angles,
            self.beta + beta,
            self.lengths + lengths,
            self.offsets + offsets,
            rotation_matrix(frame[:, 3:6]) @ self.rotation,
            self.shift + frame[:, :3],
            self.grow + frame[:, 6],
        )


def neutral(count: int) -> Pose:
    """`count` hands in the rest pose, middle knuckle at the origin."""
    zero = torch.zeros
    angles, beta, lengths, offsets = (zero(count, size) for size in (ANGLES, SHAPE, LENGTHS, OFFSETS))
    eye = torch.eye(3).repeat(count, 1, 1)
    return Pose(angles, beta, lengths, offsets, eye, zero(count, 3), zero(count))


def joined(poses: list[Pose]) -> Pose:
    """Several batches as one."""
    return Pose(*(torch.cat([getattr(pose, field.name) for pose in poses]) for field in fields(Pose)))


@dataclass(frozen=True)
class Bones:
    """The posed skeleton of n hands, before the frame: what the points and their derivatives share."""

    turn: Tensor  # [n,20,3,3] rotations of the bones
    before: Tensor  # [n,20,3,3] rotations of their parents
    linear: Tensor  # [n,20,3,3] turn with the stretch along the bone
    origin: Tensor  # [n,20,3] posed heads
    heads: Tensor  # [n,20,3] rest heads
    along: Tensor  # [n,20,3] rest directions
    length: Tensor  # [n,20]
    axes: Tensor  # [n,24,3] the angles' axes, posed


class Articulated:
    """A set of points of the template: its vertices and, after them, its 21 joints."""

    def __init__(self, template: HandTemplate, normals: Tensor) -> None:
        """template as tensors; normals [V,3] of its rest vertices."""
        bone = torch.tensor(JOINT_BONE)
        rest, modes = template.heads[bone].clone(), template.shape_heads[:, bone].clone()
        rest[list(TIP_JOINTS)], modes[:, list(TIP_JOINTS)] = template.tips, template.shape_tips
        weights = torch.nn.functional.one_hot(bone, BONES).to(rest)
        self.template = template
        self.rest = torch.cat([template.vertices, rest])
        self.modes = torch.cat([template.shape_vertices, modes], 1).permute(1, 0, 2).contiguous()  # [P,S,3]
        self.weights = torch.cat([template.weights, weights])
        self.normals = torch.cat([normals, torch.zeros_like(rest)])
        self.centre = template.heads[9]
        below = torch.eye(BONES)
        for b in reversed(range(1, BONES)):
            below[PARENTS[b]] += below[b]
        self.below = below  # [20,20]: bone c hangs on bone b

    def bones(self, pose: Pose) -> Bones:
        t = self.template
        heads, tips = (
            mean + torch.einsum("ns,sbi->nbi", pose.beta, modes)
            for mean, modes in ((t.heads, t.shape_heads), (t.tips, t.shape_tips))
        )
        ends = torch.cat([heads[:, 8:9], heads[:, 2:], heads[:, -1:]], 1)
        ends[:, list(TIP_BONES)] = tips
        along = torch.nn.functional.normalize(ends - heads, dim=-1)
        length = torch.cat([torch.ones_like(pose.lengths[:, :1]), torch.exp(pose.lengths)], 1)
        stretch = torch.eye(3) + (length - 1)[..., None, None] * along[..., None] * along[..., None, :]
        base = rotation_matrix(pose.offsets.unflatten(1, (19, 3)))
        angle = rotation_matrix(t.from_rest(pose.angles)[..., None] * t.axes)
        identity = torch.eye(3).expand(len(pose), 3, 3)
        turn, before, linear, origin = [identity], [identity], [stretch[:, 0]], [heads[:, 0]]
        axes: dict[int, Tensor] = {}
        for bone in range(1, BONES):
            parent = PARENTS[bone]
            world = turn[parent] @ base[:, bone - 1]
            for i, free in enumerate(dof.DOFS):
                if free.bone == bone:
                    axes[i] = world @ t.axes[i]
                    world = world @ angle[:, i]
            arm = (heads[:, bone] - heads[:, parent])[..., None]
            before.append(turn[parent])
            origin.append(origin[parent] + (linear[parent] @ arm)[..., 0])
            turn.append(world)
            linear.append(world @ stretch[:, bone])
        return Bones(
            turn=torch.stack(turn, 1),
            before=torch.stack(before, 1),
            linear=torch.stack(linear, 1),
            origin=torch.stack(origin, 1),
            heads=heads,
            along=along,
            length=length,
            axes=torch.stack([axes[i] for i in range(ANGLES)], 1),
        )

    def points(self, pose: Pose, bones: Bones) -> Tensor:
        """All points [n,P,3], in place."""
        shift = bones.origin - (bones.linear @ bones.heads[..., None])[..., 0]
        affine = torch.cat([bones.linear, shift[..., None]], -1).flatten(2)  # [n,20,12]
        mixed = (self.weights @ affine).unflatten(-1, (3, 4))
        rest = self.rest + torch.einsum("ns,psi->npi", pose.beta, self.modes)
        posed = (mixed[..., :3] @ rest[..., None])[..., 0] + mixed[..., 3]
        turned = (posed - self.centre) @ pose.rotation.mT
        return torch.exp(pose.grow)[:, None, None] * turned + pose.shift[:, None]

    def posed_normals(self, pose: Pose, bones: Bones) -> Tensor:
        """Unit normals [n,V,3] of the vertices, turned like the bones that carry them."""
        v = len(self.template.vertices)
        mixed = (self.weights[:v] @ bones.turn.flatten(2)).unflatten(-1, (3, 3))
        turned = (mixed @ self.normals[:v, :, None])[..., 0] @ pose.rotation.mT
        return torch.nn.functional.normalize(turned, dim=-1)

    def jacobian(self, pose: Pose, bones: Bones, rows: Tensor, offsets: bool) -> Tensor:
        """d points / d step at points rows [n,M]: [n,M,3,SIZE], or [...,SIMPLE] without `offsets`."""
        w = self.weights[rows]  # [n,M,20]
        modes = self.modes[rows]  # [n,M,S,3]
        rest = self.rest[rows] + torch.einsum("ns,nmsi->nmi", pose.beta, modes)
        arm = rest[:, :, None] - bones.heads[:, None]  # [n,M,20,3]
        carried = torch.einsum("nbij,nmbj->nmbi", bones.linear, arm) + bones.origin[:, None]
        share = w @ self.below.T  # [n,M,20]: how much of a point hangs on each bone
        mass = torch.einsum("bc,nmci->nmbi", self.below, w[..., None] * carried)
        lever = mass - share[..., None] * bones.origin[:, None]
        bone = [free.bone for free in dof.DOFS]
        axes = bones.axes[:, None].expand(-1, rows.shape[1], -1, -1)
        parts = [
            torch.linalg.cross(axes, lever[:, :, bone]),
            self._shape_columns(bones, w, modes),
            self._length_columns(bones, w, share, arm),
        ]
        if offsets:
            turns = (bones.before[:, 1:] @ _left_jacobian(pose.offsets.unflatten(1, (19, 3)))).mT[:, None]
            turns = turns.expand(-1, rows.shape[1], -1, -1, -1)  # [n,M,19,axis,3]
            parts.append(torch.linalg.cross(turns, lever[:, :, 1:, None].expand_as(turns)).flatten(2, 3))
        scale = torch.exp(pose.grow)[:, None, None, None]
        columns = (scale * (torch.cat(parts, 2) @ pose.rotation.mT[:, None])).mT
        place = (w[..., None] * carried).sum(2) - self.centre
        frame = _frame_columns(scale[..., 0] * (place @ pose.rotation.mT))
        first = ANGLES + SHAPE + LENGTHS
        return torch.cat([columns[..., :first], frame, columns[..., first:]], -1)

    def _shape_columns(self, bones: Bones, w: Tensor, modes: Tensor) -> Tensor:
        """[n,M,S,3]; how the shape turns the bones' directions of stretch is left out."""
        heads = self.template.shape_heads  # [S,20,3]
        moved = [heads[:, 0].expand(len(w), -1, -1)]
        for bone in range(1, BONES):
            parent = PARENTS[bone]
            moved.append(moved[parent] + (heads[:, bone] - heads[:, parent]) @ bones.linear[:, parent].mT)
        own = torch.stack(moved, 1) - heads.transpose(0, 1) @ bones.linear.mT  # [n,20,S,3]
        blended = torch.einsum("nmb,nbij->nmij", w, bones.linear)
        return modes @ blended.mT + torch.einsum("nmb,nbsi->nmsi", w, own)

    def _length_columns(self, bones: Bones, w: Tensor, share: Tensor, arm: Tensor) -> Tensor:
        """[n,M,19,3]: a longer bone stretches what it carries and pushes its children on."""
        reach = w * (arm * bones.along[:, None]).sum(-1)
        for child in range(2, BONES):
            parent = PARENTS[child]
            if parent == 0:
                continue
            gap = ((bones.heads[:, child] - bones.heads[:, parent]) * bones.along[:, parent]).sum(-1)
            reach[:, :, parent] += share[:, :, child] * gap[:, None]
        direction = (bones.turn @ bones.along[..., None])[..., 0] * bones.length[..., None]
        return reach[:, :, 1:, None] * direction[:, None, 1:]


def _left_jacobian(vector: Tensor) -> Tensor:
    """exp(v + d) ~ exp(J d) exp(v): J [...,3,3] at short rotation vectors [...,3]."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    return torch.eye(3) + skew / 2 + skew @ skew / 6


def _frame_columns(place: Tensor) -> Tensor:
    """[n,M,3,7]: translation, left rotation vector, log scale, at places relative to the shift."""
    eye = torch.eye(3).expand(*place.shape, 3)
    x, y, z = place.unbind(-1)
    zero = torch.zeros_like(x)
    turn = torch.stack([zero, z, -y, -z, zero, x, y, -x, zero], -1).unflatten(-1, (3, 3))
    return torch.cat([eye, turn, place[..., None]], -1)


def mirrored(pose: Pose) -> Pose:
    """The same hands at the place where x -> -x takes them; what they are made of stays a right hand's."""
    flip = torch.tensor([-1.0, 1.0, 1.0])
    return replace(pose, rotation=flip[:, None] * pose.rotation * flip, shift=pose.shift * flip)
