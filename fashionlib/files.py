"""Where files live, and how one is written so that a crash never damages the old one."""

import glob
import os
import platform
import secrets
import shutil
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import platformdirs

from fashionlib.errors import FashionError


def cache_dir() -> Path:
    """Folder for everything that can be made again: `FASHIONLIB_CACHE`, else the platform's.

    Raises:
        FashionError: the user has no home, as in some containers.
    """
    try:
        return Path(os.environ.get("FASHIONLIB_CACHE") or platformdirs.user_cache_dir("fashionlib"))
    except RuntimeError as error:
        raise FashionError("no home for the cache: set FASHIONLIB_CACHE to a folder.") from error


def data_dir() -> Path:
    """Folder that holds (or will hold) the photo archive: `FASHIONLIB_DATA`, else the cache."""
    return Path(os.environ.get("FASHIONLIB_DATA") or cache_dir())


@contextmanager
def taking_apart(path: Path | str) -> Iterator[None]:
    """Turn errors in using a file's content into a FashionError that calls the file damaged."""
    try:
        yield
    except (
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        RuntimeError,
        OverflowError,
    ) as error:
        raise FashionError(
            f"{path} is damaged, or written by another version: make it anew."
        ) from error


def texts(found: Any) -> list[str]:
    """A list of texts in a file, to be called while `taking_apart` it: else a TypeError."""
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise TypeError("no list of texts")
    return found


def check_place(path: Path, *sources: Path | str | None) -> None:
    """Make sure, before long work that reads `sources`, that a file can be written there.

    Raises:
        FashionError: it is no file, write-protected, or one of the sources; or the folder around
            it cannot be made or written.
    """
    if os.path.isdir(path):  # which `Path.is_dir` does not answer where the name is too long
        raise FashionError(f"{path} is a folder: name a file.")
    if os.path.exists(path):
        _check_old(path, os.path.isfile)
        try:
            open(path, "r+b").close()
        except OSError as error:
            raise FashionError(f"{path} is write-protected: name another file.") from error
        if any(os.path.exists(each) and os.path.samefile(path, each) for each in sources if each):
            raise FashionError(f"{path} is read for this: name another file to write.")
    place = path.absolute()
    if is_link := os.path.islink(place):
        place = Path(os.path.realpath(place))  # where it leads: there it will be written
    around = next(parent for parent in place.parents if is_link or os.path.lexists(parent))
    if not around.is_dir() or not os.access(around, os.W_OK | os.X_OK):
        problem = "cannot be written" if around.is_dir() else "is no folder"
        raise FashionError(f"could not write {path}: {around} {problem}. Choose another place.")
    # The longest name that will be made: a training writes a checkpoint beside its weights
    longest = max(map(os.fsencode, place.relative_to(around).parts), key=len)
    trial = _beside(around / f"{os.fsdecode(longest)}.checkpoint")
    try:
        trial.touch()
        trial.unlink()
        with suppress(FileNotFoundError, NotADirectoryError):  # a whole path may be too long too
            os.lstat(place / ("x" * 99))
    except OSError as error:  # /proc takes none from anybody, and says so only now
        raise FashionError(
            f"could not write {path}: {around} takes no such file ({error.strerror}). Choose "
            "another place or name."
        ) from error


def replacing(path: Path | str) -> AbstractContextManager[Path]:
    """Write to a temporary neighbour of `path`, then rename it into place.

    ```python
    with replacing("model.safetensors") as temporary:
        save_file(tensors, temporary)
    ```

    The old file stays whole until the new one is complete: a full disk, an exception or a
    `kill -9` on the way leaves it as it was. Where `path` is a link, the file that it leads to is
    replaced.

    Raises:
        FashionError: what is there is no file, the folder cannot be written, or the disk is full.
    """
    _check_old(path, os.path.isfile)
    return _made_beside(Path(path), Path.touch, _replace)


def new_folder(path: Path | str) -> AbstractContextManager[Path]:
    """Fill a temporary neighbour of `path`, then rename it to `path`, which must not exist yet.

    Nobody ever sees a half-filled folder. Where another process finished the same folder first,
    that one stays and ours is dropped.

    Raises:
        FashionError: what is there is no folder, it cannot be written, or the disk is full.
    """
    _check_old(path, os.path.isdir)
    return _made_beside(Path(path), Path.mkdir, _rename_unless_there)


@contextmanager
def _made_beside(
    path: Path, make: Callable[[Path], None], move: Callable[[Path, Path], None]
) -> Iterator[Path]:
    target = Path(os.path.realpath(path))
    temporary, made = _beside(target), False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(target.parent, glob.escape(target.name))
        make(temporary)
        made = True
        try:
            mode = temporary.stat().st_mode
            yield temporary
            temporary.chmod(mode)  # safetensors puts a file of its own there, a private one
            move(temporary, target)
        finally:
            _remove(temporary)
    except OSError as error:
        reason = error.strerror or str(error)
        advice = "Free some space or choose another place"
        if made and isinstance(error, FileNotFoundError):
            reason = f"another program removed {error.filename or temporary} meanwhile"
            advice = "Start again"
        raise FashionError(f"could not write {path}: {reason}. {advice}.") from error


def _check_old(path: Path | str, is_kind: Callable[[Path | str], bool]) -> None:
    """A rename would put a file in the place of a device or a pipe too: root may do that."""
    if os.path.exists(path) and not is_kind(path):
        raise FashionError(f"could not write {path}: something else is there. Name another place.")


def _beside(path: Path) -> Path:
    """Where the content of `path` is made: a name in the same folder that nobody else takes."""
    return path.parent / f".{path.name}.{_host()}-{os.getpid()}-{secrets.token_hex(4)}"


def remove_abandoned(folder: Path, name: str) -> None:
    """Remove what killed processes left of a file or folder of that name, a pattern of `glob`."""
    for path in folder.glob(f".{name}.{_host()}-*-*"):
        if not _is_running(int(path.name.split("-")[-2])):
            with suppress(OSError):  # another person's, in a folder like /tmp
                _remove(path)


def _host() -> str:
    """Names this machine: a process number means nothing on another one."""
    return f"{zlib.crc32(platform.node().encode()):08x}"


def _is_running(process: int) -> bool:
    if os.name == "nt":  # asking would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another person's
        pass
    return True


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _replace(temporary: Path, path: Path) -> None:
    with open(temporary, "r+b") as written:  # to write, as Windows will have it
        os.fsync(written.fileno())
    os.replace(temporary, path)


def _rename_unless_there(temporary: Path, path: Path) -> None:
    try:
        os.rename(temporary, path)
    except OSError:
        if not path.is_dir():
            raise
