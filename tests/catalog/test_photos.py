"""The photos: fetched, checked, and every way that can go wrong."""

import hashlib
import http.server
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs
import pytest
import requests
from complaints import complaint
from conftest import CACHES, archive_in

from fashionlib.__main__ import main
from fashionlib.catalog import SEVEN, load_catalog, photos
from fashionlib.catalog.photos import (
    ARCHIVE,
    PHOTO_CLASSES,
    ensure_photos,
    read_looks,
    read_manifest,
)

TOP = "clothing-dataset-small-1196"
PICTURES = {
    "train/dress/a.jpg": b"a red dress " * 999,
    "train/hat/b.jpg": b"a hat " * 999,
    "validation/hat/c.jpg": b"another hat",
    "test/dress/d.jpg": b"another dress",
}


def save_archive(path: Path, pictures: dict[str, bytes], others: dict[str, bytes] | None = None):
    """A zip like GitHub's: everything in one top folder, beside a licence."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{TOP}/LICENSE", "CC0")
        for folder in (TOP, f"{TOP}/train", f"{TOP}/train/hat"):
            archive.writestr(f"{folder}/", "")
        for name, content in pictures.items():
            archive.writestr(f"{TOP}/{name}", content)
        for name, content in (others or {}).items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def places(tmp_path, monkeypatch) -> Path:
    """A cache and a data folder of its own, and a manifest of four small "photos"."""
    monkeypatch.setenv("FASHIONLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FASHIONLIB_DATA", str(tmp_path / "data"))
    lines = [f"{hashlib.sha256(PICTURES[x]).hexdigest()}  {x}\n" for x in sorted(PICTURES)]
    (tmp_path / "photos.sha256").write_text("".join(lines))
    monkeypatch.setattr(photos, "MANIFEST", tmp_path / "photos.sha256")
    return tmp_path


def nothing_extracted(places: Path) -> bool:
    cache = places / "cache"
    return not cache.exists() or os.listdir(cache) == []


def extracted(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != photos.MARKER]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@contextmanager
def served(*answers: Callable) -> Iterator[tuple[str, list[str]]]:
    """A server on this machine: its address, and what was asked of it.

    The first request gets the first of `answers`, and so on; the last answers all that follow.
    """
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            answers[min(len(asked), len(answers)) - 1](self)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/photos.zip", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def sends(content: bytes, promised: int | None = None) -> Callable:
    """An answer of `content`, under a header that promises as many bytes (or `promised`)."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(promised or len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def sends_4_mb(handler: http.server.BaseHTTPRequestHandler) -> None:
    """Without telling how much will come."""
    handler.send_response(200)
    handler.end_headers()
    try:
        for _ in range(64):
            handler.wfile.write(b"x" * 62500)
    except OSError:
        pass  # the reader hung up, as it should


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that nobody can take meanwhile, and where nobody listens: whoever asks is refused."""
    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))
        yield kept.getsockname()[1]


# The manifest


def test_manifest_lists_every_photo_of_the_archive(photos_archive):
    """Counted another way than the library reads it: this would make the manifest anew."""
    with zipfile.ZipFile(photos_archive) as archive:
        hashes = {
            info.filename.partition("/")[2]: hashlib.sha256(archive.read(info)).hexdigest()
            for info in archive.infolist()
            if info.filename.endswith(".jpg")
        }
    lines = [f"{digest}  {name}\n" for name, digest in sorted(hashes.items())]
    assert "".join(lines) == photos.MANIFEST.read_text()


def test_manifest_has_the_known_counts():
    names = list(read_manifest())
    assert names == sorted(names)
    assert photos.MANIFEST.stat().st_size < 1_000_000
    counts = [sum(name.startswith(f"{split}/") for name in names) for split in photos.SPLITS]
    assert counts == [3068, 341, 372]
    assert sorted({name.split("/")[1] for name in names}) == list(PHOTO_CLASSES)


def test_looks_are_of_photos_that_there_are():
    looks, names = read_looks(), set(read_manifest())
    assert looks.keys() <= names
    assert {name.split("/")[1] for name in looks} == set(SEVEN)
    of_seven = [name for name in names if name.split("/")[1] in SEVEN]
    for split, share in (("train", 1), ("validation", 1), ("test", 0.5)):
        known, there = (sum(n.startswith(f"{split}/") for n in x) for x in (looks, of_seven))
        assert known / there == pytest.approx(share, abs=0.02)
    assert photos.two_passes() == pytest.approx({"colour": 0.858, "pattern": 0.93})
    for key, least in (("colour", 14), ("pattern", 7)):
        values = {row[key] for row in looks.values()}
        assert len(values) == least


def test_photos_have_looks_and_the_others_blanks(photos_here):
    catalog = load_catalog("photos", size=32, classes=("dress", "skirt"))
    looks = read_looks()
    for split in catalog.splits.values():
        for key in ("colour", "pattern"):
            assert split.attributes[key] == tuple(
                looks.get(name, {key: ""})[key] for name in split.names
            )
    assert all(catalog.train.at((catalog.train.labels == 0).nonzero()[:, 0]).attributes["colour"])
    assert not any(catalog.test.at((catalog.test.labels == 1).nonzero()[:, 0]).attributes["colour"])


# From an archive that lies there


def test_extracts_the_archive_that_lies_there(places):
    archive = save_archive(places / "data" / ARCHIVE, PICTURES)
    before = archive.read_bytes()
    folder = ensure_photos(url="http://127.0.0.1:1/never-asked")
    assert folder == places / "cache" / "photos"
    assert extracted(folder) == PICTURES
    assert archive.read_bytes() == before
    assert os.listdir(places / "cache") == ["photos"]


@pytest.mark.clock
def test_second_call_reads_nothing_but_the_marker(places):
    archive = save_archive(places / "data" / ARCHIVE, PICTURES)
    folder = ensure_photos()
    archive.unlink()
    started = time.perf_counter()
    assert ensure_photos(url="http://127.0.0.1:1/never-asked") == folder
    assert time.perf_counter() - started < 0.05


def test_photos_altered_or_deleted_later_are_noticed_by_a_download(places):
    """`ensure_photos` looks at a marker alone; `fashionlib download` promises to verify."""
    save_archive(places / "data" / ARCHIVE, PICTURES)
    folder = ensure_photos()
    assert photos.verified_photos() == folder
    names = sorted(PICTURES)
    for spoil in (lambda path: path.write_bytes(b"other"), Path.unlink):
        spoil(folder / names[0])
        assert photos.verified_photos() == folder
        assert extracted(folder) == PICTURES
    spoil(folder / names[0])
    (folder / photos.MARKER).write_bytes(b"\xff")  # a disk's damage
    assert extracted(ensure_photos()) == PICTURES


def test_photos_of_an_older_manifest_are_replaced_only_by_newer_ones(places):
    archive = save_archive(places / "data" / ARCHIVE, PICTURES)
    folder = ensure_photos()
    newer = PICTURES | {"train/hat/new.jpg": b"new"}
    line = f"{hashlib.sha256(b'new').hexdigest()}  train/hat/new.jpg\n"
    photos.MANIFEST.write_text(photos.MANIFEST.read_text() + line)
    complaint(ensure_photos, archive, "train/hat/new.jpg is missing")
    assert extracted(folder) == PICTURES
    save_archive(archive, newer)
    assert extracted(ensure_photos()) == newer


@pytest.mark.parametrize(
    ("pictures", "offender"),
    [
        (
            PICTURES | {"train/hat/b.jpg": b"another picture"},
            "train/hat/b.jpg differs from the picture we know",
        ),
        (dict(list(PICTURES.items())[1:]), "train/dress/a.jpg is missing (1 in all)"),
        (
            PICTURES | dict.fromkeys(("test/hat/z.jpg", "test/hat/y.jpg"), b"more"),
            "test/hat/y.jpg does not belong in it (2 in all)",
        ),
    ],
    ids=["tampered", "missing", "extra"],
)
def test_a_picture_that_is_not_as_known(places, pictures, offender):
    archive = save_archive(places / "data" / ARCHIVE, pictures)
    said = f"{archive} is not the photo archive: {offender}. Delete it, and it will be downloaded."
    assert complaint(ensure_photos) == said
    assert archive.exists()  # a person put it there: it's theirs
    assert nothing_extracted(places)


@pytest.mark.parametrize(
    "name",
    [
        "../outside.jpg",
        f"{TOP}/train/../../../outside.jpg",
        "/outside.jpg",
        "C:/outside.jpg",
        "C:outside.jpg",
        f"{TOP}\\..\\..\\outside.jpg",
    ],
)
def test_a_member_that_climbs_out(places, name):
    archive = save_archive(places / "data" / ARCHIVE, PICTURES, {name: b"climbing"})
    complaint(ensure_photos, archive, repr(name), "outside its folder")
    assert nothing_extracted(places)
    assert not list(places.rglob("outside.jpg"))


def test_a_symbolic_link_in_the_archive(places):
    link = zipfile.ZipInfo(f"{TOP}/link")
    link.create_system = 3
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive = save_archive(places / "data" / ARCHIVE, PICTURES, {link: b"/etc"})
    complaint(ensure_photos, archive, f"{TOP}/link", "outside its folder")
    assert nothing_extracted(places)


def test_a_member_that_unpacks_to_too_much(places, monkeypatch):
    archive = save_archive(places / "data" / ARCHIVE, PICTURES)
    monkeypatch.setattr(photos, "MOST_BYTES", 10_000)
    complaint(ensure_photos, archive, "its pictures take more than")
    assert nothing_extracted(places)


@pytest.mark.parametrize("keep", [0, 100, -30])
def test_a_broken_zip_that_lies_there_is_kept(places, keep):
    archive = save_archive(places / "data" / ARCHIVE, PICTURES)
    archive.write_bytes(archive.read_bytes()[:keep])
    complaint(ensure_photos, archive, "cannot be read", "Delete it")
    assert archive.exists()
    assert nothing_extracted(places)


def test_damaged_bytes_inside_the_zip(places):
    archive = save_archive(places / "data" / ARCHIVE, PICTURES)
    content = bytearray(archive.read_bytes())
    start = content.index(b"train/dress/a.jpg") + 17
    content[start : start + 8] = b"\xff" * 8
    archive.write_bytes(content)
    complaint(ensure_photos, archive)
    assert nothing_extracted(places)


@pytest.mark.parametrize(
    ("field", "value", "reason"), [(8, 1, "password"), (10, 99, "compression")]
)
def test_an_archive_that_zipfile_cannot_unpack(places, field, value, reason):
    """Each member is said to be locked, or packed in a way of others."""
    archive = save_archive(places / "data" / ARCHIVE, PICTURES)
    content = bytearray(archive.read_bytes())
    for entry in re.finditer(b"PK\1\2", bytes(content)):
        content[entry.start() + field] = value
    archive.write_bytes(content)
    complaint(ensure_photos, archive, "cannot be read", reason, "Delete it")
    assert nothing_extracted(places)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(5, "I/O"), "[Errno 5] I/O"),
        (zipfile.BadZipFile("no directory"), "no directory"),
        (zlib.error("Error -3"), "Error -3"),
        (EOFError(), "it ends too early"),
        (ValueError("one\ntwo"), "one"),
    ],
)
def test_whatever_is_raised_on_damaged_bytes_is_told(places, monkeypatch, error, reason):
    archive = save_archive(places / "data" / ARCHIVE, PICTURES)

    def fails(_: Path) -> None:
        raise error

    monkeypatch.setattr(zipfile, "ZipFile", fails)
    complaint(ensure_photos, f"{archive} is not the photo archive: it cannot be read ({reason}). D")


def test_a_folder_named_like_the_archive(places):
    archive = places / "data" / ARCHIVE
    archive.mkdir(parents=True)
    complaint(ensure_photos, archive, "cannot be read")


@pytest.mark.parametrize("place", ["data/" + ARCHIVE, "cache/photos/.checked"])
def test_a_pipe_in_a_place_of_ours_does_not_hang(places, place):
    save_archive(places / "data" / ARCHIVE, PICTURES)
    path = places / place
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)
    if path.name == ARCHIVE:
        complaint(ensure_photos, path, "cannot be read (it is no file). Delete it")
    else:
        assert extracted(ensure_photos()) == PICTURES


@pytest.mark.parametrize("theirs", ["photos/holiday/1.jpg", "photos/train/dress/1.jpg", "photos"])
def test_what_a_person_has_in_our_place_is_refused(places, theirs):
    """With FASHIONLIB_CACHE=~, all of a person's photos were deleted, in silence."""
    save_archive(places / "data" / ARCHIVE, PICTURES)
    path = places / "cache" / theirs
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mine")
    for call in (ensure_photos, photos.verified_photos):
        complaint(call, places / "cache" / "photos", "not of our making", "FASHIONLIB_CACHE")
    assert path.read_bytes() == b"mine"
    (places / "data" / ARCHIVE).unlink()
    with served(lambda handler: handler.send_error(404)) as (url, asked):
        complaint(lambda: ensure_photos(url), "not of our making")
    assert asked == []  # nor are 106 MB fetched first


def test_what_a_person_puts_in_our_place_during_the_download_is_kept(places):
    content = save_archive(places / "served.zip", PICTURES).read_bytes()
    path = places / "cache" / "photos" / "holiday" / "1.jpg"

    def late(handler: http.server.BaseHTTPRequestHandler) -> None:
        path.parent.mkdir(parents=True)
        path.write_bytes(b"mine")
        sends(content)(handler)

    with served(late) as (url, _):
        complaint(lambda: ensure_photos(url), "not of our making")
    assert extracted(places / "cache" / "photos") == {"holiday/1.jpg": b"mine"}


def test_an_empty_folder_is_anybodys(places):
    save_archive(places / "data" / ARCHIVE, PICTURES)
    (places / "cache" / "photos").mkdir(parents=True)
    assert extracted(ensure_photos()) == PICTURES


def test_what_was_half_removed_is_still_ours(places, monkeypatch):
    save_archive(places / "data" / ARCHIVE, PICTURES)
    (ensure_photos() / "train/hat/b.jpg").write_bytes(b"other")

    def killed(folder: Path, **_: object) -> None:
        first = min(folder.iterdir())
        if first.is_file():
            first.unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(photos.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            photos.verified_photos()
    assert extracted(ensure_photos()) == PICTURES


def test_only_arrays_of_ours_are_forgotten(places, monkeypatch):
    save_archive(places / "data" / ARCHIVE, PICTURES)
    (ensure_photos() / "train/hat/b.jpg").write_bytes(b"other")
    arrays = places / "cache" / "arrays"
    for name in ("0123456789abcdef-0123456789abcdef", "thesis-data"):
        (arrays / name).mkdir(parents=True)
    remove = shutil.rmtree

    def late(path: Path, **options: bool) -> None:
        if path.parent == arrays:  # another program removes it first
            remove(path)
        remove(path, **options)

    monkeypatch.setattr(shutil, "rmtree", late)
    photos.verified_photos()
    assert os.listdir(arrays) == ["thesis-data"]


def test_photos_may_lie_behind_a_link(places):
    """A common way to move them to another disk."""
    save_archive(places / "data" / ARCHIVE, PICTURES)
    disk, folder = places / "disk", ensure_photos()
    folder.rename(disk)
    folder.symlink_to(disk)
    (disk / "train/hat/b.jpg").write_bytes(b"other")
    assert photos.verified_photos() == folder
    assert folder.is_symlink()
    assert extracted(disk) == PICTURES
    disk.rename(places / "away")
    complaint(ensure_photos, f"{folder} leads to {disk}, which is away")
    assert folder.is_symlink()


def test_a_pipe_in_the_place_of_a_photo_is_replaced(places):
    save_archive(places / "data" / ARCHIVE, PICTURES)
    path = ensure_photos() / "train/hat/b.jpg"
    path.unlink()
    os.mkfifo(path)
    assert extracted(photos.verified_photos()) == PICTURES


# From a server


def test_downloads_once_and_keeps_the_archive(places):
    content = save_archive(places / "served.zip", PICTURES).read_bytes()
    with served(sends(content)) as (url, asked):
        assert extracted(ensure_photos(url)) == PICTURES
        ensure_photos(url)
        assert len(asked) == 1
    assert (places / "data" / ARCHIVE).read_bytes() == content
    assert os.listdir(places / "data") == [ARCHIVE]


def test_the_bar_of_a_download_counts_each_byte_once(places, monkeypatch):
    content, bars, bar = os.urandom(200_000), [], photos.progress_bar
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    monkeypatch.setattr(
        photos, "progress_bar", lambda *a, **b: bars.append(bar(*a, **b)) or bars[-1]
    )
    with served(sends(content)) as (url, _):
        photos._download(url, places / "served.zip")
    assert (places / "served.zip").read_bytes() == content
    (only,) = bars
    assert (only.n, only.total, only.unit_scale) == (len(content), 106_000_000, True)


def test_a_transfer_that_is_cut_is_tried_once_more(places):
    content = save_archive(places / "served.zip", PICTURES).read_bytes()
    cut = sends(content[: len(content) // 2], promised=len(content))
    with served(cut, sends(content)) as (url, asked):
        assert extracted(ensure_photos(url)) == PICTURES
        assert len(asked) == 2


def test_a_transfer_that_stalls_is_tried_once_more(places, monkeypatch):
    monkeypatch.setattr(photos, "TIMEOUT", (30, 2))
    content = save_archive(
        places / "served.zip", PICTURES | {"a": os.urandom(200_000)}
    ).read_bytes()
    whole = save_archive(places / "served.zip", PICTURES).read_bytes()

    again = threading.Event()

    def stall(handler: http.server.BaseHTTPRequestHandler) -> None:
        sends(content[:150_000], promised=len(content))(handler)
        photos.TIMEOUT = (30, 30)  # of the second try, which nothing stalls
        again.wait(30)

    def whole_now(handler: http.server.BaseHTTPRequestHandler) -> None:
        again.set()
        sends(whole)(handler)

    with served(stall, whole_now) as (url, asked):
        assert extracted(ensure_photos(url)) == PICTURES
        assert len(asked) == 2


def test_a_transfer_that_is_always_cut(places):
    content = save_archive(places / "served.zip", PICTURES).read_bytes()
    with served(sends(content[:50], promised=len(content))) as (url, asked):
        complaint(lambda: ensure_photos(url), url, "the connection broke")
        assert len(asked) == 2
    assert nothing_extracted(places)
    assert os.listdir(places / "data") == []


@pytest.mark.parametrize("pictures", [None, PICTURES | {"train/hat/b.jpg": b"tampered"}])
def test_a_wrong_download_is_fetched_once_more_and_then_deleted(places, pictures):
    content = b"<html>Please log in to the hotel's network</html>"
    if pictures:
        content = save_archive(places / "served.zip", pictures).read_bytes()
    with served(sends(content)) as (url, asked):
        offender = "train/hat/b.jpg" if pictures else "not a zip"
        complaint(lambda: ensure_photos(url), url, offender)
        assert len(asked) == 2
    assert nothing_extracted(places)
    assert os.listdir(places / "data") == []


def test_a_wrong_download_that_is_right_the_second_time(places):
    content = save_archive(places / "served.zip", PICTURES).read_bytes()
    with served(sends(content[:-40]), sends(content)) as (url, _):
        assert extracted(ensure_photos(url)) == PICTURES


@pytest.mark.clock
def test_no_network(places, closed_port):
    url = f"http://127.0.0.1:{closed_port}/photos.zip"
    started = time.perf_counter()
    complaint(lambda: ensure_photos(url), url, "no connection", "FASHIONLIB_DATA", "drawn")
    assert time.perf_counter() - started < 3
    assert nothing_extracted(places)


def test_a_pause_ends_a_download_later_than_no_answer_does(places, monkeypatch):
    """Without network nobody wants to wait; a slow line may stand still for a while."""
    asked = []

    def get(url: str, stream: bool, timeout: tuple[float, float]) -> None:
        asked.append(timeout)
        raise requests.ConnectionError

    monkeypatch.setattr(photos.requests, "get", get)
    complaint(ensure_photos, "no connection")
    for connection, pause in asked:
        assert connection <= 5
        assert pause >= 20
    assert asked


@pytest.mark.parametrize("address", ["http://[bad", f"http://{'a' * 70}.com"])
def test_an_address_that_is_none(places, address):
    """Python and urllib3 each have an error of their own for it."""

    def leads_on(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", address)
        handler.end_headers()

    with served(leads_on) as (url, _):
        for asked in (url, address):
            complaint(lambda url=asked: ensure_photos(url), asked, "is malformed")
    assert nothing_extracted(places)


def test_why_there_is_no_connection(places, monkeypatch, closed_port):
    with served(sends(b"")) as (url, _):
        secure = url.replace("http:", "https:")
        complaint(lambda: ensure_photos(secure), secure, "certificate", "REQUESTS_CA_BUNDLE")
    monkeypatch.setenv("NO_PROXY", "")
    for proxy, reason in ((f"127.0.0.1:{closed_port}", "no connection to the proxy"),
                          ("[bad", "HTTPS_PROXY is malformed")):  # fmt: skip
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, f"http://{proxy}")
        complaint(lambda: ensure_photos("http://photos.example/"), reason)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (requests.ConnectTimeout(), "the server did not answer in time"),
        (requests.ReadTimeout(), "the server did not answer in time"),
        (
            requests.exceptions.SSLError(),
            "its certificate could not be checked (see REQUESTS_CA_BU",
        ),
        (requests.exceptions.ProxyError(), "no connection to the proxy that HTTPS_PROXY names"),
        (requests.ConnectionError("HTTPSConnectionPool…"), "no connection"),
        (requests.exceptions.InvalidURL(), "this address, the one it leads to, or the one in HTTP"),
        (requests.TooManyRedirects("Exceeded 30 redirects."), "TooManyRedirects"),
    ],
)
def test_why_nothing_came(places, monkeypatch, error, reason):
    """The first that fits: nearly all of these are connection errors, or malformed addresses."""

    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(requests, "get", fails)
    message = complaint(lambda: ensure_photos("https://x/y.zip"))
    assert message.startswith(f"could not download the photos from https://x/y.zip: {reason}")
    ways_out = f"Check the network, set FASHIONLIB_DATA to a folder that holds {ARCHIVE}, or use"
    assert message.endswith(f'. {ways_out} load_catalog("drawn").')


@pytest.mark.parametrize("status", [404, 500])
def test_an_error_of_the_server(places, status):
    with served(lambda handler: handler.send_error(status)) as (url, _):
        reason = f"answered {status} {http.HTTPStatus(status).phrase}. Check the network"
        complaint(lambda: ensure_photos(url), url, reason, "FASHIONLIB_DATA")
    assert nothing_extracted(places)


def test_a_server_that_does_not_answer(places, monkeypatch):
    monkeypatch.setattr(photos, "TIMEOUT", (0.2, 0.2))  # whichever of the two it is
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/photos.zip"
        complaint(lambda: ensure_photos(url), url, "did not answer in time")


def test_a_download_of_more_than_it_may_be(places, monkeypatch):
    monkeypatch.setattr(photos, "MOST_BYTES", 1_000_000)
    with served(sends_4_mb) as (url, _):
        complaint(lambda: ensure_photos(url), url, "larger than 1 MB")
    assert os.listdir(places / "data") == []


# Several processes, and a disk that is full


def ask_in_a_process(places: Path, url: str, before: str = "") -> subprocess.Popen:
    code = f"""{before}
from pathlib import Path
from fashionlib.catalog import photos
from fashionlib.errors import FashionError
photos.MANIFEST = Path({str(places / "photos.sha256")!r})
try:
    print(photos.ensure_photos({url!r}))
except FashionError as error:
    print(error)
"""
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_two_processes_at_the_same_time(places):
    content = save_archive(places / "served.zip", PICTURES).read_bytes()
    both_asked = threading.Barrier(2)

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        both_asked.wait(60)  # neither gets a byte before both have found that nothing is there
        sends(content)(handler)

    with served(answer) as (url, asked):
        processes = [ask_in_a_process(places, url) for _ in range(2)]
        results = [process.communicate(timeout=60) for process in processes]
        assert len(asked) == 2
    folder = places / "cache" / "photos"
    assert results == [(f"{folder}\n", "")] * 2
    assert extracted(folder) == PICTURES
    assert os.listdir(places / "cache") == ["photos"]


@pytest.mark.parametrize("most", [50, 5000], ids=["while downloading", "while extracting"])
def test_full_disk(places, most):
    content = save_archive(places / "served.zip", PICTURES).read_bytes()
    assert 50 < len(content) < 5000 < len(PICTURES["train/dress/a.jpg"])
    limit = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({most}, {most}))
"""
    with served(sends(content)) as (url, _):
        output, errors = ask_in_a_process(places, url, before=limit).communicate(timeout=60)
    assert errors == ""
    assert len(output.splitlines()) == 1
    assert "could not write" in output
    assert "File too large" in output
    assert nothing_extracted(places)
    assert os.listdir(places / "data") == []


def test_the_command_downloads_says_where_and_mends(places, monkeypatch, capsys):
    """`fashionlib download`, twice: the second time what was altered meanwhile is made whole."""
    archive = save_archive(places / "served.zip", PICTURES).read_bytes()
    monkeypatch.setattr(sys, "argv", ["fashionlib", "download"])
    with served(sends(archive)) as (url, asked):
        monkeypatch.setattr(photos.ensure_photos, "__defaults__", (url,))
        for _ in range(2):
            with pytest.raises(SystemExit) as ended:
                main()
            assert not ended.value.code
            assert capsys.readouterr().out == f"photos are in {places / 'cache' / 'photos'}\n"
            assert extracted(places / "cache" / "photos") == PICTURES
            (places / "cache" / "photos" / "train" / "hat" / "b.jpg").write_bytes(b"altered")
        assert len(asked) == 1
    assert (places / "data" / ARCHIVE).read_bytes() == archive


# The real archive through the real code


@pytest.mark.parametrize("place", range(3))
def test_the_tests_find_the_archive_wherever_a_person_has_it(tmp_path, place):
    """Also in the cache that `fashionlib download` fills: else they would be skipped in silence."""
    folders = [None, *(tmp_path / name for name in "abc")]
    assert archive_in(folders) is None
    (tmp_path / "abc"[place]).mkdir()
    (tmp_path / "abc"[place] / ARCHIVE).touch()
    assert archive_in(folders) == tmp_path / "abc"[place] / ARCHIVE
    assert platformdirs.user_cache_dir("fashionlib") in CACHES


def test_the_real_archive_over_loopback(photos_archive, tmp_path, monkeypatch):
    monkeypatch.setenv("FASHIONLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FASHIONLIB_DATA", raising=False)
    content = photos_archive.read_bytes()
    cut = sends(content[: len(content) // 2], promised=len(content))
    with served(cut, sends(content)) as (url, asked):
        folder = ensure_photos(url)
        assert len(asked) == 2
    digests = {name: hashlib.sha256(x).hexdigest() for name, x in extracted(folder).items()}
    assert digests == read_manifest()
    assert (tmp_path / "cache" / ARCHIVE).stat().st_size == len(content)
    for path in (tmp_path / "cache" / ARCHIVE, *folder.rglob("*.jpg")):
        path.unlink()  # pytest keeps the folders of three runs: 600 MB
