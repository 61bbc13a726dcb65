"""Fixtures for all tests: a private cache, the photos where they are here, the built book."""

import os
import random
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import platformdirs
import pytest
import torch
from playwright.sync_api import Browser, sync_playwright
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools" / room) for room in ("book", "measure")]

import browser  # noqa: E402 - it lives beside the package, not in it
import fetch_runtime  # noqa: E402
from serving import served  # noqa: E402

ARCHIVE = "clothing-dataset-small.zip"
NEED_THE_BOOK = {
    "test_accessibility",
    "test_book",
    "test_lighten",
    "test_links",
    "test_reference",
}
NOWHERE = "http://127.0.0.1:9"  # a closed port: whoever asks the network is refused at once
# where `fashionlib download` leaves the archive; `make test` gives the tests another cache
CACHES = os.environ.get("FASHIONLIB_CACHE"), platformdirs.user_cache_dir("fashionlib")

# before anything imports fashionlib's users: no test writes into a person's own cache
os.environ.setdefault("TQDM_DISABLE", "1")


class BookFirst(LoadScopeScheduling):
    """Gives each worker whole files; those that need the built book are one, and come first.

    So the book is built once, by one worker, while the other goes through the rest.
    """

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        config.option.loadscopereorder = False  # by number of tests, that is
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "book" if Path(file).stem in NEED_THE_BOOK else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> BookFirst:
    """Called where tests run in several workers (`-n2`)."""
    return BookFirst(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs the built book first; no other file may ask for it."""
    for item in items:
        if "book" in item.fixturenames and item.path.stem not in NEED_THE_BOOK:
            raise pytest.UsageError(f"{item.path.name} needs the book: add it to NEED_THE_BOOK")
    items.sort(key=lambda item: item.path.stem not in NEED_THE_BOOK)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Before a test's fixtures: what it draws without a seed of its own is the same each time."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - whoever draws from the global one
    torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for the whole run; `make test` passes its own so that runs share decoded arrays."""
    if "FASHIONLIB_CACHE" not in os.environ:
        os.environ["FASHIONLIB_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    return Path(os.environ["FASHIONLIB_CACHE"])


def archive_in(folders: Iterable[str | Path | None]) -> Path | None:
    """The photo archive in the first of these folders that has it."""
    places = (Path(folder) / ARCHIVE for folder in folders if folder)
    return next((place for place in places if place.is_file()), None)


@pytest.fixture(scope="session")
def photos_archive() -> Path:
    """The real archive: FASHIONLIB_DATA, ../shared/data, a person's cache. CI without it fails."""
    folders = os.environ.get("FASHIONLIB_DATA"), ROOT.parent / "shared" / "data"
    if archive := archive_in((*folders, *CACHES)):
        return archive
    message = f"no {ARCHIVE}: set FASHIONLIB_DATA to its folder (fashionlib download fetches it)"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture
def photos_here(photos_archive: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes the library find the archive, as FASHIONLIB_DATA does for a person."""
    monkeypatch.setenv("FASHIONLIB_DATA", str(photos_archive.parent))
    return photos_archive.parent


@pytest.fixture
def two_threads() -> Iterator[None]:
    """As on a reader's machine: what several threads sum up must not depend on who is first."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One headless Chromium for all tests that look at a page (playwright allows no second)."""
    path = browser.find()
    assert path, "no Chromium: make browser installs it"
    flags = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=flags)
        yield started
        started.close()


def build(out: Path, **settings: str) -> subprocess.CompletedProcess:
    """`make book` with the quick budget and the network cut; its executed pages in `cache`."""
    cut = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), NOWHERE)
    environment = os.environ | cut | {"FASHIONLIB_BUDGET": "quick", "NO_PROXY": "127.0.0.1"}
    cache = f"nb_execution_cache_path={out.parent / 'cache'}"
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-b", "html", "-D", cache,
               "book", str(out)]  # fmt: skip
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True,
                          env=environment | settings)  # fmt: skip


@pytest.fixture(scope="session")
def book(tmp_path_factory) -> Path:
    """The book without photos, as a fresh machine builds it that reaches only the registry.

    What comes from there is fetched first, because the build itself has its network cut.
    """
    fetch_runtime.runtime_package()
    out = tmp_path_factory.mktemp("book") / "html"
    empty = str(tmp_path_factory.mktemp("no photos"))  # other tests leave some in their cache
    done = build(out, FASHIONLIB_DATA=empty, FASHIONLIB_CACHE=empty)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-8000:]
    return out


@pytest.fixture(scope="session")
def site(book):
    """Address of the built book, served on this machine."""
    with served(book) as address:
        yield address
