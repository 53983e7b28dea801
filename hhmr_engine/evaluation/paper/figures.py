"""The figures of the paper's Tables 1 to 5, as they are printed there. Millimetres; SI in per cent of faces.

Conditions and settings as its section 5 tells them; the labels of Table 5 are inline mathematics, read here
from the text around it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Printed:
    """Errors after rigid alignment with scale, mm."""

    mpjpe: float
    mpvpe: float


@dataclass(frozen=True)
class Variety:
    """APD in mm, SI in per cent of faces."""

    apd: float
    si: float


VARIETY = {
    "generation, PCA": Variety(15.00, 0.39),
    "generation, ours": Variety(17.30, 0.05),
    "inpainting, PCA": Variety(12.28, 0.06),
    "inpainting, ours": Variety(13.59, 0.01),
}

# Table 2, FreiHAND, one hypothesis.
GRAPH = {"graph convolution": Printed(5.99, 5.97), "self-attention only": Printed(6.39, 6.35)}

# Table 3, FreiHAND, T = 10.
OTHERS = {
    "FreiHAND": Printed(11.0, 10.9),
    "YoutubeHand": Printed(8.4, 8.6),
    "I2L-MeshNet": Printed(7.4, 7.6),
    "HIU-DMTL": Printed(7.1, 7.3),
    "CMR": Printed(16.9, 7.0),
    "I2UV-HandNet": Printed(6.7, 6.9),
    "METRO": Printed(6.7, 6.8),
    "Tang et al.": Printed(6.7, 6.7),
    "MobRecon": Printed(6.1, 6.2),
    "MeshGraphormer": Printed(5.9, 6.0),
}
HYPOTHESES = {1: Printed(6.0, 6.0), 8: Printed(5.9, 5.9), 16: Printed(5.8, 5.8)}

# Table 4, FreiHAND: (T, n) -> minima over n hypotheses.
STEPS = {
    (10, 8): Printed(5.91, 5.90),
    (10, 16): Printed(5.76, 5.76),
    (10, 32): Printed(5.63, 5.64),
    (25, 8): Printed(5.79, 5.79),
    (25, 16): Printed(5.58, 5.59),
    (25, 32): Printed(5.41, 5.43),
    (50, 8): Printed(5.73, 5.73),
    (50, 16): Printed(5.51, 5.52),
    (50, 32): Printed(5.33, 5.35),
}
ONE = Printed(5.99, 5.97)  # of T = 10 and n = 1, from Table 2

# Table 5, with the true 2D skeleton. Its columns stand the other way round: MPVPE, MPJPE.
FITTING = {
    "2D, PCA fitted": Printed(mpvpe=7.00, mpjpe=7.27),
    "2D + guidance": Printed(mpvpe=6.28, mpjpe=6.26),
    "photo": Printed(mpvpe=6.54, mpjpe=6.57),
    "photo + 2D": Printed(mpvpe=5.32, mpjpe=5.29),
    "photo + 2D + guidance": Printed(mpvpe=5.05, mpjpe=4.94),
}
