"""The real photos: clothing-dataset-small, fetched once and checked file by file.

Source: Alexey Grigorev and contributors, "Clothing dataset (small)", public domain (CC0),
https://github.com/alexeygrigorev/clothing-dataset-small

GitHub makes the archive on request, so its bytes (and their hash) may change from year to year.
The pictures in it may not: `photos.sha256` holds one `sha256sum` line for each.
"""

import csv
import hashlib
import os
import re
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PureWindowsPath

import requests

from fashionlib.catalog.contents import SPLITS
from fashionlib.drawn import SEVEN
from fashionlib.errors import FashionError
from fashionlib.files import cache_dir, data_dir, new_folder, replacing
from fashionlib.settings import progress_bar

COMMIT = "11961516512414bf9f6c150a832cfd21b54a6b54"
URL = f"https://github.com/alexeygrigorev/clothing-dataset-small/archive/{COMMIT}.zip"
ARCHIVE = "clothing-dataset-small.zip"
MANIFEST = Path(__file__).with_name("photos.sha256")
LOOKS = Path(__file__).with_name("photo_looks.csv")
MARKER = ".checked"  # in the finished folder: which manifest its pictures were checked against
MOST_BYTES = 500_000_000  # the archive has 106 MB; whoever sends more is sending something else
ARCHIVE_BYTES = 106_000_000  # for the progress bar: GitHub does not tell the size
WAYS_OUT = (
    f"Check the network, set FASHIONLIB_DATA to a folder that holds {ARCHIVE}, "
    'or use load_catalog("drawn").'
)

# Seconds for a connection, and between two pieces: without network nobody wants to wait
TIMEOUT = (3, 30)

# What `zipfile` raises on damaged bytes; the last two are an unknown compression and a password.
UNREADABLE = (OSError, zipfile.BadZipFile, zlib.error, EOFError, ValueError,
              NotImplementedError, RuntimeError)  # fmt: skip

REASONS = (  # why nothing came: the first that fits
    (requests.Timeout, "the server did not answer in time"),
    (requests.exceptions.SSLError, "its certificate could not be checked (see REQUESTS_CA_BUNDLE)"),
    (requests.exceptions.ProxyError, "no connection to the proxy that HTTPS_PROXY names"),
    (requests.ConnectionError, "no connection"),
    (ValueError, "this address, the one it leads to, or the one in HTTPS_PROXY is malformed"),
)

PHOTO_CLASSES = tuple(sorted((*SEVEN, "outwear", "shirt", "skirt")))


class BrokenArchive(Exception):
    """Not the photo archive, or not whole. `ensure_photos` turns it into a `FashionError`."""


def ensure_photos(url: str = URL) -> Path:
    """The folder of photos, with `train`, `validation` and `test` in it.

    Fetched, extracted and checked the first time; later calls only look at a marker file. The
    archive is taken from `data_dir()` if it lies there, and saved there otherwise.

    Raises:
        FashionError: no network, a full disk, an archive that isn't the one expected, or a
            person's own things in the folder's place. What was saved before stays as it was.
    """
    folder = cache_dir() / "photos"
    if _is_checked(folder):
        return folder
    _check_ours(folder)
    archive = data_dir() / ARCHIVE
    if not archive.exists():
        _fetch(url, archive, folder)
        return folder
    try:
        _extract(archive, folder)
    except BrokenArchive as error:
        raise FashionError(
            f"{archive} is not the photo archive: {error}. Delete it, and it will be downloaded."
        ) from error
    return folder


def verified_photos() -> Path:
    """As `ensure_photos`, but every photo is checked again; where one is not as we know it, all
    are extracted anew, and what was decoded from them is forgotten.

    Raises:
        FashionError: as `ensure_photos`.
    """
    folder = ensure_photos()
    photos = progress_bar(read_manifest().items(), "checking the photos", "photo")
    if not all(_is_as_known(folder / name, digest) for name, digest in photos):
        (folder / MARKER).write_text("to be made anew", encoding="utf-8")  # it stays ours
        for arrays in (cache_dir() / "arrays").glob("[0-9a-f]" * 16 + "-*"):
            shutil.rmtree(arrays, ignore_errors=True)
        ensure_photos()
    return folder


def _is_as_known(path: Path, digest: str) -> bool:
    try:
        return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == digest
    except OSError:
        return False


def read_manifest() -> dict[str, str]:
    """What each photo must be: `{"train/dress/abc.jpg": sha256 in hexadecimal}`."""
    lines = MANIFEST.read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}


def read_looks() -> dict[str, dict[str, str]]:
    """How photos look: `{"test/dress/abc.jpg": {"colour": "navy", "pattern": "floral"}}`.

    An AI model's judgements, not people's; `photo_looks.md` says how they were made. Half of the
    test photos have none.
    """
    with LOOKS.open(encoding="utf-8", newline="") as file:
        return {row.pop("name"): row for row in csv.DictReader(file)}


def two_passes() -> dict[str, float]:
    """On which share of photos two independent passes gave one colour, and one pattern."""
    story = " ".join(LOOKS.with_name("photo_looks.md").read_text(encoding="utf-8").split())
    found = re.findall(r"on the (colour|pattern) of ([\d.]+)%", story)
    return {look: float(percent) / 100 for look, percent in found}


def manifest_hash() -> str:
    """One hash for the whole collection."""
    return hashlib.sha256(MANIFEST.read_bytes()).hexdigest()


def _check_ours(folder: Path) -> None:
    """A FashionError if the photos' place has what we may not remove, or a link to nowhere."""
    is_empty = os.path.isdir(folder) and not any(folder.glob("*"))
    if os.path.lexists(folder) and not is_empty and not os.path.lexists(folder / MARKER):
        away = "" if os.path.exists(folder) else os.readlink(folder)
        problem = f"leads to {away}, which is away" if away else "is not of our making"
        raise FashionError(f"{folder} {problem}: move it, or set FASHIONLIB_CACHE elsewhere.")


def _is_checked(folder: Path) -> bool:
    marker = folder / MARKER
    try:
        return marker.is_file() and marker.read_text(encoding="utf-8") == manifest_hash()
    except (OSError, UnicodeDecodeError):
        return False


def _fetch(url: str, archive: Path, folder: Path) -> None:
    """Download and extract. `archive` gets its name only after its pictures were checked."""
    for _ in range(2):  # what was cut off or damaged on the way may come whole
        try:
            with replacing(archive) as temporary:
                _download(url, temporary)
                _extract(temporary, folder)
            return
        except BrokenArchive as error:
            problem = error
    raise FashionError(f"{url} did not send the photo archive: {problem}. {WAYS_OUT}") from problem


def _download(url: str, path: Path) -> None:
    bar = progress_bar(None, "downloading the photos", "B", total=ARCHIVE_BYTES, unit_scale=True)
    size = 0
    with bar, path.open("wb") as file:
        try:
            with requests.get(url, stream=True, timeout=TIMEOUT) as response:
                response.raise_for_status()
                for chunk in response.iter_content(1 << 16):
                    size += len(chunk)
                    if size > MOST_BYTES:
                        raise BrokenArchive(f"it is larger than {MOST_BYTES // 1_000_000} MB")
                    file.write(chunk)
                    bar.update(len(chunk))
        except (requests.RequestException, ValueError) as error:  # of odd addresses
            if size > 0 or isinstance(error, requests.exceptions.ChunkedEncodingError):
                raise BrokenArchive("the connection broke on the way") from error
            raise FashionError(
                f"could not download the photos from {url}: {_reason(error)}. {WAYS_OUT}"
            ) from error


def _reason(error: Exception) -> str:
    if isinstance(error, requests.HTTPError):
        return f"the server answered {error.response.status_code} {error.response.reason}"
    return next((text for kind, text in REASONS if isinstance(error, kind)), type(error).__name__)


def _extract(archive: Path, folder: Path) -> None:
    """Extract the photos, check each against the manifest, then give the folder its name."""
    if not archive.is_file():
        raise BrokenArchive("it cannot be read (it is no file)")
    manifest = read_manifest()
    try:
        with zipfile.ZipFile(archive) as opened, new_folder(folder) as temporary:
            members = _pictures(opened)
            for odd, problem in (
                (manifest.keys() - members.keys(), "is missing"),
                (members.keys() - manifest.keys(), "does not belong in it"),
            ):
                if odd:
                    raise BrokenArchive(f"{min(odd)} {problem} ({len(odd)} in all)")
            for name, digest in progress_bar(manifest.items(), "checking the photos", "photo"):
                content = opened.read(members[name])
                if hashlib.sha256(content).hexdigest() != digest:
                    raise BrokenArchive(f"{name} differs from the picture we know")
                path = temporary / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            (temporary / MARKER).write_text(manifest_hash(), encoding="utf-8")
            _check_ours(folder)
            if folder.exists() and not _is_checked(folder):  # as an older manifest asked for
                place = folder.resolve()  # where a link leads, for only the link could be removed
                for split in SPLITS:
                    shutil.rmtree(place / split, ignore_errors=True)
                shutil.rmtree(place)  # the marker last: what is half removed is still ours
    except UNREADABLE as error:
        reason = (str(error).splitlines() or ["it ends too early"])[0]
        raise BrokenArchive(f"it cannot be read ({reason})") from error


def _pictures(opened: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The members below train, validation and test, by name without the archive's top folder.

    All members are looked at before anything is extracted: one that would climb out of the
    folder condemns the archive.
    """
    pictures = {}
    for member in opened.infolist():
        path = PureWindowsPath(member.filename)  # takes / and \\, and knows drive letters
        is_link = stat.S_ISLNK(member.external_attr >> 16)
        if path.anchor or ".." in path.parts or is_link:
            raise BrokenArchive(f"{member.filename!r} in it would be written outside its folder")
        if len(path.parts) > 1 and path.parts[1] in SPLITS and not member.is_dir():
            pictures["/".join(path.parts[1:])] = member
    if sum(member.file_size for member in pictures.values()) > MOST_BYTES:
        raise BrokenArchive(f"its pictures take more than {MOST_BYTES // 1_000_000} MB")
    return pictures
