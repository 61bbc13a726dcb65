"""Fixtures for all tests: a private cache, the photos where they are here, the built book."""

import os
import random
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import platformdirs
import pytest
import torch
from filelock import FileLock
from playwright.sync_api import Browser, sync_playwright
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools" / room) for room in ("book", "measure")]

import browser  # noqa: E402 - it lives beside the package, not in it
import quick_book  # noqa: E402
from serving import served  # noqa: E402

ARCHIVE = "clothing-dataset-small.zip"
# where `fashionlib download` leaves the archive; `make test` gives the tests another cache
CACHES = os.environ.get("FASHIONLIB_CACHE"), platformdirs.user_cache_dir("fashionlib")

# before anything imports fashionlib's users: no test writes into a person's own cache
os.environ.setdefault("TQDM_DISABLE", "1")


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


@pytest.fixture(scope="session")
def photo_embeddings(photos_archive: Path, tmp_path_factory) -> dict[str, torch.Tensor]:
    """Of each split of the photos, by the shipped encoder; one worker computes them for all."""
    from fashionlib.catalog import load_catalog  # noqa: PLC0415 - few tests need it
    from fashionlib.inference import predict  # noqa: PLC0415
    from fashionlib.weights import load_encoder, shipped  # noqa: PLC0415

    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # of this run, of all workers
    file = folder / "photo_embeddings.safetensors"
    with FileLock(f"{file}.lock"):
        if not file.exists():
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("FASHIONLIB_DATA", str(photos_archive.parent))
                splits = load_catalog("photos").splits
            encoder, _ = load_encoder(shipped("encoder_photos"))
            save_file({name: predict(encoder, s.images) for name, s in splits.items()}, file)
        return load_file(file)


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


@pytest.fixture(scope="session")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built book: what `make test` has built before, else built here (some minutes)."""
    built = os.environ.get("FASHIONLIB_TEST_BOOK")
    folder = Path(built) if built else tmp_path_factory.mktemp("book")
    assert built or quick_book.build(folder) == 0, "building the book failed: see above"
    assert (folder / "html" / "index.html").is_file(), "the book was not built: see its own step"
    return folder / "html"


@pytest.fixture(scope="session")
def site(book):
    """Address of the built book, served on this machine."""
    with served(book) as address:
        yield address
