"""What a person may set or install: the budget, progress bars, packages that only some need."""

import os
from collections.abc import Iterable
from importlib import import_module
from types import ModuleType
from typing import Any, TypeVar

from tqdm.auto import tqdm

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


def progress_bar(things: Iterable | None, description: str, unit: str, **options: Any) -> tqdm:
    """Go through `things` behind a bar (or none, with `total=`); `TQDM_DISABLE=1` hides it.

    tqdm knows that variable too, but its bar for notebooks ignores it and would stay in a built
    page as a dead widget.
    """
    hidden = bool(os.environ.get("TQDM_DISABLE"))
    return tqdm(things, desc=description, unit=unit, disable=hidden, **options)


def optional(name: str, extra: str) -> ModuleType:
    """The package `name`, which `pip install "fashionlib[extra]"` brings.

    Raises:
        FashionError: it is not installed, or cannot be loaded.
    """
    try:
        return import_module(name)
    except ImportError as error:
        gone = isinstance(error, ModuleNotFoundError)
        problem = f"{error.name} is missing" if gone else f"{name}: {' '.join(str(error).split())}"
        raise FashionError(f'{problem}: pip install "fashionlib[{extra}]" brings it.') from error
