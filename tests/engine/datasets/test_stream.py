"""Streams: everything once, the same whoever reads it, going on exactly where they stopped."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from hhmr_engine.data.picture_cache import FIELDS, PictureBatch
from hhmr_engine.datasets.crops import CropSettings, Unusable, check
from hhmr_engine.datasets.lanes import LANES, FolderSet, Order, SampleSet, ShardSet
from hhmr_engine.datasets.sample import HandSample
from hhmr_engine.datasets.shards import UNREADABLE, read_index, write_shards
from hhmr_engine.datasets.stream import Cuttings, DatasetHands, DatasetPictures, Place, open_sets
from hhmr_engine.hand.template import HandTemplate, load_template
from hhmr_engine.vision.trunks import load_trunk
from tests.engine.datasets.dotted import ListedHands, dotted_hands

# Loader processes are more than this machine may have cores.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")
COUNT = 101
SMALL = (96, 72)  # pixels of photos: they are drawn and read in no time
PART = Place(5, 12)  # four lanes: less is read ahead


@pytest.fixture(scope="module")
def template() -> HandTemplate:
    return load_template()


@pytest.fixture(scope="module")
def hands(template: HandTemplate) -> ListedHands:
    return dotted_hands(template, COUNT, size=SMALL)


@pytest.fixture(scope="module")
def shards(hands: ListedHands, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "dotted"
    write_shards(hands, folder, 450_000)
    return folder


@pytest.fixture(scope="module", params=["shards", "folder"])
def samples(request: pytest.FixtureRequest, hands: ListedHands, shards: Path) -> SampleSet:
    if request.param == "folder":
        return FolderSet(hands)
    index = read_index(shards / "dotted-train.json")
    assert 3 < len(index.shards) < LANES
    return ShardSet(shards, index)


def key_and_epoch(name: str, sample: HandSample, epoch: int) -> tuple[str, int]:
    return sample.key, epoch


def lane(samples: SampleSet, number: int, count: int, start: int = 0, seed: int = 1) -> list[tuple[str, int]]:
    order = Order([samples], [1.0], seed, key_and_epoch, False)
    reader = order.lane(number, start, Counter())
    return [next(reader) for _ in range(count)]


def test_lanes_share_every_epoch(samples: SampleSet, hands: ListedHands) -> None:
    """Every sample once an epoch, in another order each time, and none twice in two lanes."""
    seen = Counter(pair for number in range(LANES) for pair in lane(samples, number, 10))
    for epoch in range(2):
        keys = [key for key, own in seen.elements() if own == epoch]
        assert sorted(keys) == sorted(sample.key for sample in hands.samples)
    first, second = (
        [key for number in range(LANES) for key, own in lane(samples, number, 10) if own == epoch]
        for epoch in range(2)
    )
    assert first != second != sorted(second)


def test_a_lane_goes_on_from_anywhere(samples: SampleSet) -> None:
    whole = lane(samples, 7, 40)
    for start in (1, 2, 13, 39):
        assert lane(samples, 7, 40 - start, start) == whole[start:]
    assert lane(samples, 7, 40, seed=2) != whole


def keys_of(
    sets: list[SampleSet], hands: ListedHands, template: HandTemplate, place: Place, count: int
) -> list:
    """Which samples come: each is told by its mesh."""
    stream = DatasetHands(sets, None, template, 3, place=place)
    return [found(mesh, hands) for mesh in stream.next(count)]


_prints: dict[int, dict[str, Tensor]] = {}


def found(mesh: Tensor, hands: ListedHands) -> str:
    """The key of the sample that a mesh in the palm frame is of, by distances that no turn changes."""
    if id(hands) not in _prints:
        _prints[id(hands)] = {s.key: fingerprint(torch.from_numpy(s.vertices)) for s in hands.samples}
    own = fingerprint(mesh)
    return min(_prints[id(hands)], key=lambda key: float((_prints[id(hands)][key] - own).abs().sum()))


def fingerprint(mesh: Tensor) -> Tensor:
    some = mesh[::200]
    away = torch.cdist(some, some)
    return away / away.mean()


@pytest.mark.parametrize("times", [2, 3])
def test_processes_together_read_what_one_reads(
    samples: SampleSet, hands: ListedHands, template: HandTemplate, times: int
) -> None:
    """Row j of process r of w is row j * w + r of a single one; here one of eight, and its parts."""
    alone = keys_of([samples], hands, template, Place(1, 8), 14 * times)
    for part in range(times):
        own = keys_of([samples], hands, template, Place(1 + 8 * part, 8 * times), 14)
        assert own == alone[part::times]


def test_shares_are_disjoint(samples: SampleSet, hands: ListedHands) -> None:
    own = [
        {pair for number in range(rank, LANES, 2) for pair in lane(samples, number, 10) if pair[1] < 2}
        for rank in range(2)
    ]
    assert not own[0] & own[1] and len(own[0] | own[1]) == 2 * COUNT


def everything(batches: list[PictureBatch]) -> dict[str, Tensor]:
    return {name: torch.cat([getattr(b, name) for b in batches]) for name in (*FIELDS, "pixels")}


def pictures(sets: list[SampleSet], template: HandTemplate, place: Place = PART) -> DatasetPictures:
    return DatasetPictures(sets, None, template, None, 5, place=place)


def test_loader_processes_change_nothing(samples: SampleSet, template: HandTemplate) -> None:
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    one, two = pictures([samples], template), pictures([samples], template, Place(5, 12, workers=3))
    assert (one.workers, two.workers) == (0, 2)  # three can't share four lanes evenly
    a = everything([one.batch(n, generator) for n in (3, 16, 1)])
    b = everything([two.batch(n, generator) for n in (12, 8)])
    for name, tensor in a.items():
        assert torch.equal(tensor, b[name]), name
    assert torch.equal(generator.get_state(), before)


@pytest.mark.parametrize("taken", [0, 5, 16, 37])
def test_a_stream_goes_on_exactly(samples: SampleSet, template: HandTemplate, taken: int) -> None:
    whole = pictures([samples], template)
    if taken:
        whole.batch(taken)
    state = whole.state()
    rest = everything([whole.batch(3), whole.batch(9)])
    again = pictures([samples], template)
    again.batch(1)
    again.restore(state)
    resumed = everything([again.batch(7), again.batch(5)])
    for name, tensor in rest.items():
        assert torch.equal(tensor, resumed[name]), name
    assert again.state() == whole.state() == {"position": 12 * (taken + 12)}


def test_a_run_goes_on_with_more_processes(
    samples: SampleSet, hands: ListedHands, template: HandTemplate
) -> None:
    alone = DatasetHands([samples], None, template, 3, place=Place(1, 8))
    alone.next(10)
    state = alone.state()
    rest = [found(mesh, hands) for mesh in alone.next(16)]
    for rank in range(2):
        half = DatasetHands([samples], None, template, 3, place=Place(1 + 8 * rank, 16))
        half.restore(state)
        assert [found(mesh, hands) for mesh in half.next(8)] == rest[rank::2]


def test_augmentations_follow_from_seed_key_and_epoch(
    hands: ListedHands, shards: Path, template: HandTemplate
) -> None:
    """A hand out of a shard and out of its folder, in the same epoch, is the same crop."""
    crops = []
    for each in (FolderSet(hands), ShardSet(shards, read_index(shards / "dotted-train.json"))):
        work = Cuttings(template.torch(), 5, CropSettings())
        order = Order([each], [1.0], 5, lambda name, sample, epoch: (sample, epoch), True)
        taken = {}
        for number in range(LANES):
            reader = order.lane(number, 0, Counter())
            taken |= {s.key: (s, epoch) for s, epoch in islice(reader, 4) if epoch == 0}
        some = [taken[s.key] for s in hands.samples[:8]]
        crops.append(work.finish([work.prepare(each.name, *one) for one in some]))
    assert torch.allclose(crops[0]["joints2d"], crops[1]["joints2d"], atol=0.01)
    assert (crops[0]["pixels"].float() - crops[1]["pixels"].float()).abs().mean() < 3  # JPEG


def test_a_mesh_projects_onto_its_joints(samples: SampleSet, template: HandTemplate) -> None:
    batch = pictures([samples], template).batch(20)
    placed = batch.scale[:, None, None] * batch.joints @ batch.rotation.mT + batch.translation[:, None]
    shown = batch.focal[:, None, None] * placed[..., :2] / placed[..., 2:] + batch.centre[:, None]
    assert (shown - batch.joints2d).abs().max() < 0.05
    assert batch.pixels is not None and batch.pixels.shape == (20, 3, 224, 224)
    assert batch.patches.numel() == 0 and not batch.presence.any()


def test_patches_are_what_the_trunk_sees(hands: ListedHands, template: HandTemplate) -> None:
    trunk = load_trunk("hand")
    stream = DatasetPictures([FolderSet(hands)], None, template, trunk, 5, place=PART)
    batch, plain = stream.batch(6), pictures([FolderSet(hands)], template).batch(6)
    assert stream.width == 640 and len(stream) == COUNT and batch.pixels is None
    assert plain.pixels is not None
    expected = trunk.features(plain.pixels.float() / 255)
    assert torch.allclose(batch.patches.float(), expected, atol=0.05)
    for name in FIELDS:
        assert torch.isfinite(getattr(batch, name)).all(), name
    assert torch.equal(batch.joints2d, plain.joints2d)


def test_hands_are_those_of_the_palm_frame(hands: ListedHands, template: HandTemplate) -> None:
    stream = DatasetHands([FolderSet(hands)], None, template, 3)
    same = DatasetHands([FolderSet(hands)], None, template, 3)
    vertices, (nodes, joints) = stream.next(30), same.next_nodes(30)
    assert torch.equal(vertices[:, torch.from_numpy(template.nodes).long()], nodes)
    regressed = torch.from_numpy(template.regressor) @ vertices
    assert (regressed - joints).norm(dim=-1).max() < 0.05
    middle = torch.from_numpy(template.joints[9] - template.joints[0]) / 0.045
    assert (regressed[:, 9] - regressed[:, 0] - middle).norm(dim=1).max() < 0.3


@pytest.mark.parametrize(
    ("weights", "share"), [({"dotted": 1.0, "few": 3.0}, 0.75), (None, 9 / (COUNT + 9)), ({"few": 2.0}, 1.0)]
)
def test_sets_are_mixed_by_weight(
    hands: ListedHands, template: HandTemplate, weights: dict[str, float] | None, share: float
) -> None:
    many, few = ListedHands(30 * hands.samples), ListedHands(30 * hands.samples[:9], "few")
    stream = DatasetHands([FolderSet(many), FolderSet(few)], weights, template, 1)
    order = Order(stream.sets, stream.order.weights, 1, lambda name, sample, epoch: name, False)
    reader = order.lane(0, 0, Counter())
    names = Counter(next(reader) for _ in range(5000))  # longer than what is drawn at once
    assert abs(names["few"] / 5000 - share) < 0.02
    whole = [next(reader) for _ in range(40)]
    assert [name for name, _ in zip(order.lane(0, 5000, Counter()), whole)] == whole


def test_weights_of_sets_that_are_not_there(hands: ListedHands, template: HandTemplate) -> None:
    with pytest.raises(ValueError, match="There is no nonsense among the datasets .*: set its weight to 0"):
        DatasetHands([FolderSet(hands)], {"nonsense": 1.0}, template, 1)
    assert len(DatasetHands([FolderSet(hands)], {"dotted": 1.0, "nonsense": 0.0}, template, 1)) == COUNT


def test_sets_without_meshes_are_passed_over(hands: ListedHands, template: HandTemplate) -> None:
    joints = ListedHands([replace(s, vertices=None) for s in hands.samples], "joints")
    poses = ListedHands([replace(s, image=None, intrinsics=None) for s in hands.samples], "poses")
    sets: list[SampleSet] = [FolderSet(hands), FolderSet(joints), FolderSet(poses)]
    meshes = DatasetHands(sets, None, template, 1)
    assert len(meshes) == 2 * COUNT and meshes.passed_over == {"joints: joints alone": COUNT}
    crops = pictures(sets, template)
    assert len(crops) == COUNT
    assert crops.passed_over == {"joints: joints alone": COUNT, "poses: no picture": COUNT}
    with pytest.raises(ValueError, match=r"No dataset is left .*joints: joints alone.*hhmr data check"):
        DatasetHands([FolderSet(joints)], None, template, 1)


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_samples_make_room_for_others(hands: ListedHands, template: HandTemplate, workers: int) -> None:
    def unreadable() -> np.ndarray:
        raise OSError("broken")

    mixed = list(hands.samples)
    for number in range(0, COUNT, 2):
        mixed[number] = replace(
            mixed[number], **({"vertices": None} if number % 4 else {"image": unreadable})
        )
    stream = pictures([FolderSet(ListedHands(mixed))], template, replace(PART, workers=workers))
    batch = stream.batch(64)
    good = {s.key for s in mixed[1::2]}
    shown = {found(mesh, hands) for mesh in torch.from_numpy(template.decoder) @ batch.nodes}
    assert shown <= good and len(shown) > 20
    assert set(stream.passed_over) == {"dotted: joints alone", f"dotted: {UNREADABLE}"}
    assert 16 < sum(stream.passed_over.values()) < 128


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_shard_gets_one_sentence(
    shards: Path, template: HandTemplate, tmp_path: Path, workers: int
) -> None:
    for path in shards.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    stream = pictures(open_sets([tmp_path]), template, replace(PART, workers=workers))
    for path in tmp_path.glob("*.tar"):
        path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(ValueError, match=r"tar is damaged \(.*\): run 'hhmr data shard' again") as found:
        stream.batch(4)
    assert "\n" not in str(found.value)


def test_a_hand_of_another_kind(hands: ListedHands, template: HandTemplate) -> None:
    half = ListedHands(
        [replace(s, vertices=s.vertices[::2]) for s in hands.samples if s.vertices is not None]
    )
    with pytest.raises(
        ValueError, match="is a hand of 805 vertices, the template one of 1609: .*import-hand"
    ):
        DatasetHands([FolderSet(half)], None, template, 1)


def test_processes_that_cannot_share() -> None:
    with pytest.raises(ValueError, match="shared evenly by 5 processes: it must be 1, 2, 3, 4, 6"):
        assert Place(0, 5).lanes


def test_where_there_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="There is no dataset in .*: 'hhmr data check' says"):
        open_sets([tmp_path])


def test_shards_are_found_inside_a_folder(shards: Path) -> None:
    (found,) = open_sets([shards.parent])
    assert isinstance(found, ShardSet) and (found.name, len(found)) == ("dotted", COUNT)


def test_nothing_usable_in_a_lane_is_looked_for_elsewhere(hands: ListedHands) -> None:
    """One good hand among many: every lane gives it."""
    bad = [replace(sample, vertices=None) for sample in hands.samples]
    bad[77] = hands.samples[77]

    def prepare(name: str, sample: HandSample, epoch: int) -> str:
        check(sample, False)
        return sample.key

    order = Order([FolderSet(ListedHands(bad))], [1.0], 1, prepare, False)
    passed_over: Counter[str] = Counter()
    reader = order.lane(3, 0, passed_over)
    assert {next(reader) for _ in range(5)} == {bad[77].key}
    assert passed_over["dotted: joints alone"] >= 4

    def never(name: str, sample: HandSample, epoch: int) -> str:
        raise Unusable("bad")

    with pytest.raises(ValueError, match="nothing to learn from in dotted"):
        next(Order([FolderSet(hands)], [1.0], 1, never, False).lane(0, 0, Counter()))
