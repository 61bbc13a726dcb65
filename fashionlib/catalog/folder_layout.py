"""What a folder of pictures holds: which files, of which class, in which split."""

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path

from fashionlib.catalog.contents import SPLITS
from fashionlib.catalog.pictures import SUFFIXES, is_readable
from fashionlib.errors import FashionError

SPLIT_NAMES = {  # as people write them, with much around them: Train, 2_valid, test_images
    "train": ("train", "training", "trn", "tr"),
    "validation": ("validation", "valid", "val", "vld", "dev", "eval", "evaluation"),
    "test": ("test", "testing", "tst", "te", "holdout"),
}
WORDS = "|".join(sorted(sum(SPLIT_NAMES.values(), ()), key=len, reverse=True)[:-2])  # not tr, te
AFFIX = "(?:data|set|split|images?|imgs?|photos?|pictures?|pics?|folder|dir)"
# What disks and systems put there: settings, thumbnails, and what was deleted
NOT_OURS = re.compile(
    r"\..*|desktop\.ini|__macosx|thumbs(\.db)?|@(eadir|__thumb|tmp|sharebin)|[@#](recently-)?snapshot"
    r"|[@#$]recycle(\.bin)?|recycler|lost\+found|system volume information|network trash folder",
    re.IGNORECASE | re.DOTALL,
)
# Texts, films and our own files, as they lie beside pictures. `mimetypes` would read a list of the
# system's, and the same folder be another catalog on another machine.
OTHER_FILES = re.compile(
    r".*\.(txt|md|[ct]sv|jsonl?|xml|xmp|html?|css|js|ya?ml|log|safetensors"
    r"|mp[34g]|mpeg|m4v|mov|avi|mkv|webm|3gp|wav)",
    re.IGNORECASE | re.DOTALL,
)

Listing = dict[str, dict[str, list[str]]]  # split → class → file names relative to the root


def find_pictures(root: Path, classes: tuple[str, ...] | None) -> tuple[Listing, list[str]]:
    """The pictures of a folder, as `load_catalog` says; with classes, of these in their order.

    Returns the listing, and the names of pictures that lie in no class folder but beside the
    classes or the splits. Only these are opened here: decoding names what cannot be read.

    Raises:
        FashionError: it is not a catalog, or cannot be listed.
    """
    with while_listing(root, "with class folders in it"):
        folders = _split_folders(root)
        if not folders:
            ends = {"train": 0.8, "validation": 0.9, "test": 1.0}
            found = _split(_find_classes(root, root, classes), ends)
        elif "train" not in folders:
            raise FashionError(f"{root} has a {min(folders)} folder but no train folder.")
        else:
            found = {split: _find_classes(path, root, classes) for split, path in folders.items()}
            if "validation" not in found:
                found |= _split(found["train"], {"train": 0.9, "validation": 1.0})
        loose = [name for place in (root, *folders.values()) for name in _loose(root, place)]
    return choose_classes(root, found, classes), loose


def _split_folders(root: Path) -> dict[str, Path]:
    """The folder of each split; none where the folder holds classes.

    Raises:
        FashionError: there are two of a split, both splits and other folders with pictures in
            them, or folders that look like splits under names that we do not know.
    """
    found: dict[str, Path] = {}
    others = []
    for path in filter(_is_folder, sorted(root.iterdir())):
        split = _split_of(path.name)
        if split is None:
            others.append(path)
        elif split in found:
            raise FashionError(
                f"{root} has {found[split].name} and {path.name}, both for {split}: keep one."
            )
        else:
            found[split] = path
    for path in others if found else []:
        if any(_is_picture(root, name) for name in pictures_below(root, f"{path.name}/")):
            raise FashionError(
                f"{path} stands beside {min(found.values())}: a catalog has class folders, or "
                "splits with class folders in them. Move or rename one of the two."
            )
    hints = {path: hint for path in others if (hint := _split_of(path.name, within=True))}
    for one, other in combinations(hints, 2):
        a, b = (_unwrapped(root, path) for path in (one, other))
        shared = (_is_folder(path) and (b / path.name).is_dir() for path in a.iterdir())
        both_have_pictures = _loose(root, a) and _loose(root, b)  # then they are classes
        rest, others_rest = (re.sub(WORDS, "", path.name.casefold()) for path in (one, other))
        alike = rest == others_rest or (sum(shared) > 1 and not both_have_pictures)
        if hints[one] != hints[other] and alike:
            raise FashionError(
                f"{root} has {one.name} and {other.name}, which look like splits of one set: call "
                "splits train, validation and test; call classes by names without these words."
            )
    return {split: found[split] for split in SPLITS if split in found}


def _unwrapped(root: Path, path: Path) -> Path:
    """Below folders that hold nothing but one folder, as unpacking makes them: test/test/hat."""
    while len(inside := list(filter(_is_folder, path.iterdir()))) == 1 and not _loose(root, path):
        (path,) = inside
    return path


def _split_of(name: str, within: bool = False) -> str | None:
    """Which split a folder of that name is, if any, or says within it: "clothes_test"."""
    words = re.sub(r"[\W\d_]+", " ", unicodedata.normalize("NFKC", name).casefold()).strip()
    word = re.sub(rf"^({AFFIX} )+|( ?{AFFIX})+$", "", words)
    for split, names in SPLIT_NAMES.items():
        if word in names or (within and any(name in words for name in names if len(name) > 2)):
            return split
    return None


def _loose(root: Path, folder: Path) -> list[str]:
    """Pictures in a folder itself, by their names relative to `root`."""
    paths = [path for path in sorted(folder.iterdir()) if not path.is_dir() and _is_ours(path.name)]
    names = [path.relative_to(root).as_posix() for path in paths]
    return [name for name in names if _is_picture(root, name)]


def _is_picture(root: Path, name: str) -> bool:
    """By its ending, be it one that we cannot read, or by what is in it, which may be away."""
    is_known = name.lower().endswith((*SUFFIXES, ".heic", ".heif"))
    return is_known or is_readable(root, name, 1) or not os.path.exists(root / name)


def _is_folder(path: Path) -> bool:
    """A folder, or a link to one whose disk is away: listing it will say so."""
    is_lost = path.is_symlink() and not path.exists() and not path.suffix
    return (path.is_dir() or is_lost) and _is_ours(path.name)


def _is_ours(name: str) -> bool:
    return not NOT_OURS.fullmatch(name)


@contextmanager
def while_listing(root: Path, what: str) -> Iterator[None]:
    """While a folder is listed: one that is none, or cannot be listed, is a FashionError."""
    try:
        if not root.is_dir():
            problem = "is a file" if root.exists() else "does not exist"
            raise FashionError(f"{root} {problem}: a catalog is a folder {what}.")
        yield
    except OSError as error:
        raise FashionError(f"{error.filename} cannot be listed: {error.strerror}.") from error


def _find_classes(
    folder: Path, root: Path, classes: tuple[str, ...] | None
) -> dict[str, list[str]]:
    """Pictures of each class folder, at any depth; a class folder may be a link."""
    found, inner = {}, {}
    for path in filter(_is_folder, sorted(folder.iterdir())):
        if classes and path.name not in classes:
            continue
        below = f"{path.relative_to(root).as_posix()}/"
        found[path.name] = names = list(pictures_below(root, below))
        if not names:
            raise FashionError(f"the class folder {path} holds no pictures: fill or remove it.")
        inner[path] = {part for name in names for part in name.removeprefix(below).split("/")[:-1]}
    _check_no_splits(inner)
    _check_apart(inner)
    if not found:
        wanted = f" named {', '.join(classes)}" if classes else ""
        raise FashionError(f"{folder} has no class folders{wanted}: make one for each class.")
    return found


def _check_no_splits(inner: dict[Path, set[str]]) -> None:
    """Refuse splits among the folders in a class; where all classes have them, also by a word."""
    splits = {path: set(map(_split_of, names)) - {None} for path, names in inner.items()}
    words = {path: re.split(r"[\W\d_]+", " ".join(names)) for path, names in inner.items()}
    hints = {path: set(map(_split_of, found)) - {None} for path, found in words.items()}
    for path, found in (hints if all(len(x) > 1 for x in hints.values()) else splits).items():
        if len(found) > 1:
            raise FashionError(
                f"the class folder {path} has splits in it ({', '.join(sorted(found))}): a "
                "catalog has the splits at its top, and class folders in each of them."
            )


def _check_apart(folders: Iterable[Path]) -> None:
    """Refuse a class folder that is another one, or lies in it, by way of a link."""
    found: dict[Path, Path] = {}
    for place, path in sorted((Path(os.path.realpath(path)), path) for path in folders):
        for around in {place, *place.parents} & found.keys():
            raise FashionError(
                f"{found[around]} and {path} have the same pictures: remove the one that is a link."
            )
        found[place] = path


def pictures_below(root: Path, below: str = "") -> Iterator[str]:
    """The names, relative to `root`, of what may be pictures in its folder `below` ("", or "a/b/").

    They come in order, a folder at a time, so that memory does not grow with a catalog. Hidden
    files, system files, and `OTHER_FILES` are left out. All others are given, so that what cannot
    be read is reported: unknown formats, files without an ending, and links to folders, which are
    not followed.

    Raises:
        OSError: a folder cannot be listed.
    """
    waiting = [below]
    while waiting:
        name = waiting.pop()
        if name and not name.endswith("/"):
            yield name
            continue
        with os.scandir(root / name) as found:
            # with a slash behind them, folders sort as the paths in them do
            inside = [entry.name + "/" * entry.is_dir(follow_symlinks=False) for entry in found]
        waiting += sorted((name + each for each in inside if _is_wanted(each)), reverse=True)


def _is_wanted(name: str) -> bool:
    """A folder, which ends in a slash, or a file that may be a picture."""
    return _is_ours(name.rstrip("/")) and not OTHER_FILES.fullmatch(name)


def stamp(path: Path) -> list[int]:
    """Size and times of a file, which change when it does; zeros where a link leads nowhere.

    Nobody can set the second time: it tells files that changed places or kept their first.
    """
    try:
        status = path.stat()
    except OSError:  # reading it will say so, by name
        return [0, 0, 0]
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _split(classes: dict[str, list[str]], ends: dict[str, float]) -> Listing:
    """Split each class by a hash of the file name, a number from 0 to 1.

    A split gets the names below its end that no split before it got. So a file stays where it is
    when others come or go, but for classes so small that train or validation would be left
    without a picture.
    """
    listing: Listing = {split: {} for split in ends}
    for label, names in classes.items():
        ordered = sorted(names, key=_fraction)
        start = 0
        for split, end in ends.items():
            stop = sum(_fraction(name) < end for name in ordered)
            if split == "train":
                stop = min(stop, len(ordered) - 1)  # leave one to validate with
            if split in ("train", "validation"):
                stop = max(stop, start + 1)
            listing[split][label] = sorted(ordered[start:stop])
            start = stop
    return listing


def _fraction(name: str) -> float:
    return int(hashlib.sha256(os.fsencode(name)).hexdigest()[:12], 16) / 16**12


def choose_classes(root: Path, found: Listing, classes: tuple[str, ...] | None) -> Listing:
    """The classes in their order, or all in alphabetical order: the same ones in each split.

    Raises:
        FashionError: fewer than two, two that look alike, or one that a split lacks; it names it.
    """
    everywhere = sorted({label for by_class in found.values() for label in by_class})
    looks: dict[str, str] = {}
    for label in everywhere:
        plain = unicodedata.normalize("NFC", label.casefold())  # é as one sign, and as two
        look = " ".join("".join(x for x in plain if unicodedata.category(x) != "Cf").split())
        if (other := looks.setdefault(look, label)) != label:
            raise FashionError(f"{root}: {other!a} and {label!a} look alike: rename one of them.")
    classes = classes or tuple(everywhere)
    if len(classes) < 2:
        raise FashionError(f"{root} has only the class {classes[0]!r}: two or more are needed.")
    for label in classes:
        holders = [split for split, by_class in found.items() if label in by_class]
        if not holders:
            raise FashionError(f"{root} has no class {label!r}: choose among its class folders.")
        lacking = [split for split in found if split not in holders]
        if lacking:
            raise FashionError(
                f"{root}: the class folder {label!r} is in {holders[0]} but not in {lacking[0]}; "
                "each split needs the same class folders."
            )
    return {
        split: {label: found.get(split, {}).get(label, []) for label in classes} for split in SPLITS
    }


def entries(listing: Listing) -> Iterator[tuple[str, str, str]]:
    """Split, class and name of all files of a listing, split by split and class by class."""
    for split, by_class in listing.items():
        for label, names in by_class.items():
            for name in names:
                yield split, label, name
