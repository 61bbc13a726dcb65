"""Where files live, and how one is written so that a crash never damages the old one."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from fashionlib.errors import FashionError


def cache_dir() -> Path:
    """Folder for everything that can be made again: `FASHIONLIB_CACHE`, else the platform's."""
    return Path(os.environ.get("FASHIONLIB_CACHE") or platformdirs.user_cache_dir("fashionlib"))


def data_dir() -> Path:
    """Folder that holds (or will hold) the photo archive: `FASHIONLIB_DATA`, else the cache."""
    return Path(os.environ.get("FASHIONLIB_DATA") or cache_dir())


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Write to a temporary neighbour of `path`, then rename it into place.

    ```python
    with replacing("model.safetensors") as temporary:
        save_file(tensors, temporary)
    ```

    The old file stays whole until the new one is complete: a full disk, an exception or a
    `kill -9` on the way leaves it as it was.

    Raises:
        FashionError: the folder cannot be written, or the disk is full.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(descriptor)
        temporary = Path(name)
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        raise FashionError(_could_not_write(path, error)) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path | str) -> Iterator[Path]:
    """Fill a temporary neighbour of `path`, then rename it to `path`, which must not exist yet.

    Nobody ever sees a half-filled folder. Where another process finished the same folder first,
    that one stays and ours is dropped.

    Raises:
        FashionError: the folder cannot be written, or the disk is full.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        yield temporary
        os.chmod(temporary, 0o777 & ~_umask())
        try:
            os.rename(temporary, path)
        except OSError:
            if not path.is_dir():
                raise
    except OSError as error:
        raise FashionError(_could_not_write(path, error)) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _could_not_write(path: Path, error: OSError) -> str:
    reason = error.strerror or str(error)
    return f"could not write {path}: {reason}. Free some space or choose another place."


def _umask() -> int:
    # mkstemp makes files private; a saved model should have the permissions a person expects
    mask = os.umask(0)
    os.umask(mask)
    return mask
