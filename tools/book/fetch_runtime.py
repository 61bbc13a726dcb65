"""Fetch ONNX Runtime for the browser, which the page *Try it* runs the networks with.

Its WebAssembly has 14 MB: too much to commit. So it comes from the npm registry when the book is
built, once, by exact version, and every byte is checked. npm itself is not needed.
"""

import base64
import os
import sys
import tarfile
from pathlib import Path

import pooch

from fashionlib.errors import FashionError

VERSION = "1.30.0"
# what `npm view onnxruntime-web@1.30.0 dist.integrity` prints, after "sha512-"
SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
# of its files the two that run on one thread without WebGPU
FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
# the package forgets the licence file of the repository it comes from
LICENSE = """MIT License

Copyright (c) Microsoft Corporation

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""

BOOK_CACHE = Path(__file__).resolve().parents[2] / ".book_cache"
TIMEOUT = (3, 60)  # seconds for a connection, and between two pieces


def runtime_package(cache: Path = BOOK_CACHE) -> Path:
    """npm's package of ONNX Runtime in the folder `cache`, fetched if it is not there or damaged.

    The registry is npm's own, or the one that the environment names as npm reads it
    (`npm_config_registry`).

    Raises:
        FashionError: no network, or what came is not the package.
    """
    settings = {name.lower(): value for name, value in os.environ.items()}  # npm takes any case
    registry = settings.get("npm_config_registry", "https://registry.npmjs.org").rstrip("/")
    name = f"onnxruntime-web-{VERSION}.tgz"
    url = f"{registry}/onnxruntime-web/-/{name}"
    known = f"sha512:{base64.b64decode(SHA512).hex()}"
    get = pooch.HTTPDownloader(timeout=TIMEOUT)
    try:
        return Path(pooch.retrieve(url, known, name, cache, downloader=get))
    except OSError as error:  # those of requests are among them
        raise FashionError(
            f"could not fetch {url} ({type(error).__name__}): "
            "build the book once with a network, later builds need none."
        ) from error
    except ValueError as error:
        raise FashionError(
            f"{url} is not the package we know: its sha512 is another. Not used."
        ) from error


def unpack_runtime(package: Path, folder: Path) -> None:
    """Put `FILES` and their licence into a new folder."""
    folder.mkdir()
    with tarfile.open(package) as archive:
        for name in FILES:
            content = archive.extractfile(f"package/dist/{name}").read()
            (folder / name).write_bytes(content)
    (folder / "LICENSE").write_text(LICENSE, encoding="utf-8")


if __name__ == "__main__":
    try:
        print(runtime_package())
    except FashionError as error:
        sys.exit(str(error))
