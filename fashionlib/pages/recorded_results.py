"""Results of runs too long for a chapter: kept with the library, with what made them."""

import json
from pathlib import Path
from typing import Any

from fashionlib.errors import FashionError
from fashionlib.files import taking_apart

RESULTS = Path(__file__).with_name("results")


def recorded(name: str) -> dict[str, Any]:
    """The results file of that name, from `pages/results`: figures, script, machine, date.

    Raises:
        FashionError: no such file, or it is damaged.
    """
    path = RESULTS / f"{name}.json"
    if not path.is_file():
        raise FashionError(f"no recorded results {name!r}: run the script of tools/ that makes it.")
    with taking_apart(path):
        return json.loads(path.read_text(encoding="utf-8"))


def about(results: dict[str, Any]) -> str:
    """Where recorded results come from, as a line under a figure."""
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return f"{results['made_by']}, {results['date']}, {results['machine']}, {versions}"
