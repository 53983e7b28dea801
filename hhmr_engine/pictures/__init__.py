"""Synthetic pictures of our hand: what the image condition learns from."""

from .camera import SIDE, Framing
from .full import FullPicture, full_picture
from .pictures import HandPictures, Pictures, PictureSettings

__all__ = [
    "SIDE",
    "Framing",
    "FullPicture",
    "HandPictures",
    "PictureSettings",
    "Pictures",
    "full_picture",
]
