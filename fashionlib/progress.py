"""A progress bar for the person who waits, and none for a page or a log."""

import os
from collections.abc import Iterable
from typing import Any

from tqdm.auto import tqdm


def progress_bar(things: Iterable | None, description: str, unit: str, **options: Any) -> tqdm:
    """Go through `things` behind a bar (or none, with `total=`); `TQDM_DISABLE=1` hides it.

    tqdm knows that variable too, but its bar for notebooks ignores it and would stay in a built
    page as a dead widget.
    """
    hidden = bool(os.environ.get("TQDM_DISABLE"))
    return tqdm(things, desc=description, unit=unit, disable=hidden, **options)
