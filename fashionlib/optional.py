"""Packages that only some readers need: imported where they are used, with a way out if missing."""

from importlib import import_module
from types import ModuleType

from fashionlib.errors import FashionError


def optional(name: str, extra: str) -> ModuleType:
    """The package `name`, which `pip install "fashionlib[extra]"` brings.

    Raises:
        FashionError: it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        message = f'{name} is missing: pip install "fashionlib[{extra}]" brings it.'
        raise FashionError(message) from error
