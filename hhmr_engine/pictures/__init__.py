"""Synthetic pictures of our hand: what the image condition learns from."""

from .camera import SIDE, Framing
from .pictures import HandPictures, Pictures, PictureSettings

__all__ = ["SIDE", "Framing", "HandPictures", "PictureSettings", "Pictures"]
