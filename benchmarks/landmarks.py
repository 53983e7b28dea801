"""Where the landmark network sees our joints: the shares of hhmr_engine/vision/meaning.py, measured.

python -m benchmarks.landmarks --pictures DIR          # a folder of hhmr_engine.training.fill_pictures
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from hhmr_engine.data.picture_cache import PictureCache
from hhmr_engine.hand.skeleton import JOINT_NAMES
from hhmr_engine.vision.meaning import TOWARDS, landmark_mixing

SURE = 0.9  # presence
LOST = 0.15  # of the hand's size: what is farther off was taken for something else


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pictures", type=Path, required=True, metavar="DIR")
    rest = PictureCache(parser.parse_args().pictures).rest
    truth, found = rest["joints2d"].double(), rest["found2d"].double()
    size = (truth.amax(1) - truth.amin(1)).amax(1)[:, None, None]
    truth, found = truth / size, found / size
    error = (found - truth).norm(dim=-1)
    usable = rest["visible"] & (error < LOST) & (rest["presence"] > SURE)[:, None]
    print(f"{len(truth)} pictures; parts of the way, and the median error before and after, % of hand size")
    for joint, others in TOWARDS.items():
        shares, before, after = fit(truth, found, usable[:, joint], joint, list(others))
        ways = ", ".join(f"{share:.2f} to {JOINT_NAMES[k]}" for share, k in zip(shares.tolist(), others))
        print(f"{JOINT_NAMES[joint]:12} {ways}: {before:.1f} -> {after:.1f}")
    seen = rest["visible"] & (rest["presence"] > 0.5)[:, None]
    mixing = torch.from_numpy(landmark_mixing()).double()
    after = (found - mixing @ truth).norm(dim=-1)[seen].median()
    before = error[seen].median()
    print(f"all visible joints, with the shares in the code: {100 * before:.1f} -> {100 * after:.1f}")


def fit(
    truth: Tensor, found: Tensor, rows: Tensor, joint: int, others: list[int]
) -> tuple[Tensor, float, float]:
    """Least squares over the pictures `rows`: shares [K], median distance before and after, per cent."""
    ways = (truth[rows][:, others] - truth[rows][:, [joint]]).mT.flatten(0, 1)  # [2n,K]
    off = (found[rows][:, joint] - truth[rows][:, joint]).flatten()
    shares = torch.linalg.lstsq(ways, off[:, None]).solution[:, 0]
    left = off - ways @ shares
    before, after = (100 * float(part.reshape(-1, 2).norm(dim=1).median()) for part in (off, left))
    return shares, before, after


if __name__ == "__main__":
    main()
