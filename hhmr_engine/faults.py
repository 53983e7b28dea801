"""Faults of what a user gives: below all that reads it, files and photos alike."""

from __future__ import annotations


class InputError(Exception):
    """What is wrong with what the user gave, and what to do: one sentence."""
