"""The browser of the tests is one that is there, and pages are served while it looks at them."""

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import browser
import pytest
from serving import served


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


@pytest.mark.parametrize(
    ("apt", "user", "code", "wanted"),
    [
        (True, 0, 0, ["apt-get update", "apt-get install"]),
        (True, 0, 100, ["apt-get update", "apt-get install", "playwright install"]),
        (True, 1000, 0, ["playwright install"]),
        (False, 0, 0, ["playwright install"]),
    ],
)
def test_who_may_is_given_debians_browser_and_else_playwrights(
    monkeypatch, apt, user, code, wanted
):
    """Apt is for root alone; where it fails, or is not there, playwright has one for anybody."""
    ran = []

    def run(command, **_):
        ran.append(command)
        return SimpleNamespace(returncode=code)

    monkeypatch.setattr(shutil, "which", lambda name: name if apt else None)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(subprocess, "run", run)
    browser.install()
    assert [" ".join(command[:2] if command[0] == "apt-get" else command[2:4])
            for command in ran] == wanted  # fmt: skip
    assert all(command[-1] == "chromium" for command in ran if "install" in command)
    assert all(command[0] == sys.executable for command in ran if "playwright" in command)


def test_a_folder_is_served_as_long_as_it_is_needed(tmp_path):
    (tmp_path / "page.html").write_text("here")
    before = set(threading.enumerate())
    with served(tmp_path) as address:
        with urllib.request.urlopen(f"{address}/page.html") as page:
            assert page.read() == b"here"
        serving = set(threading.enumerate()) - before
    for thread in serving:
        thread.join(timeout=5)
        assert not thread.is_alive()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{address}/page.html")
