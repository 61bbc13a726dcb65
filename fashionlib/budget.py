"""One setting that makes every chapter quick enough for a test."""

import os
from typing import TypeVar

from fashionlib.errors import FashionError

T = TypeVar("T")


def budget(full: T, quick: T) -> T:
    """`full`, or `quick` where `FASHIONLIB_BUDGET=quick` is set (tests and CI set it).

    It may change numbers (epochs, sizes, how many pictures), never which code runs.
    """
    setting = os.environ.get("FASHIONLIB_BUDGET", "full")
    if setting not in ("full", "quick"):
        raise FashionError(f"FASHIONLIB_BUDGET is {setting!r}: use 'full' or 'quick'.")
    return quick if setting == "quick" else full
