"""What a script of `tools/measure` writes, as it would be read again from `pages/results`."""

import json
from types import ModuleType
from typing import Any

import pytest

from fashionlib.pages.recorded_results import recorded

# What scripts write of themselves: figures and machines may be others in each run, but not these
SETTINGS = ("made_by", "catalog", "size", "batch", "seed", "list", "k", "recall_wanted",
            "ef_construction", "ef_of_the_store")  # fmt: skip


def as_ours(name: str, results: dict[str, Any]) -> dict[str, Any]:
    """What was written, if it says as much as our file of that name, which the same script wrote.

    It has the versions of the same packages, and the same settings.
    """
    ours, found = recorded(name), json.loads(json.dumps(results))
    assert set(found) == set(ours), name
    assert set(found["versions"]) == set(ours["versions"]), name
    for key in set(SETTINGS) & set(ours):
        assert found[key] == ours[key], (name, key)
    return found


def written_by(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the script writes from now on, one after the other; nothing reaches the disk."""
    found: list[dict[str, Any]] = []

    def write(name: str, results: dict[str, Any]) -> None:
        found.append(as_ours(name, results))

    monkeypatch.setattr(script, "write_results", write)
    return found
