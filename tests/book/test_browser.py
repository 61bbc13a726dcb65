"""The browser of the tests is one that is there."""

import contextlib
import shutil
from pathlib import Path
from types import SimpleNamespace

import browser
import pytest


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Makes files of these names, and says whether a browser is found at one, and at which."""

    def found(*names: str, chromium: str = "") -> str | None:
        for name in names:
            (tmp_path / name).touch()
        own = SimpleNamespace(chromium=SimpleNamespace(executable_path=str(tmp_path / "own")))
        monkeypatch.setattr(
            "playwright.sync_api.sync_playwright", lambda: contextlib.nullcontext(own)
        )
        monkeypatch.setattr(browser, "PLACES", (str(tmp_path / "mac"), str(tmp_path / "usual")))
        on_path = tmp_path / "path"
        monkeypatch.setattr(shutil, "which", lambda _: str(on_path) if on_path.exists() else None)
        if chromium:
            monkeypatch.setenv("CHROMIUM", str(tmp_path / chromium))
        else:
            monkeypatch.delenv("CHROMIUM", raising=False)
        path = browser.find()
        return path and Path(path).name

    return found


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        ((), None),
        (("own",), "own"),
        (("own", "usual"), "usual"),
        (("own", "usual", "path"), "path"),
        (("own", "usual", "path", "chosen"), "chosen"),
    ],
)
def test_the_first_that_is_there_is_taken(here, names, wanted):
    assert here(*names, chromium="chosen") == wanted


def test_without_a_choice_it_is_looked_for(here):
    assert here("own", "path") == "path"
