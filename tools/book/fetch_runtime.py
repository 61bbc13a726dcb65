"""Fetch ONNX Runtime for the browser, which the page *Try it* runs the networks with.

Its WebAssembly has 14 MB: too much to commit. So it comes from the npm registry when the book is
built, once, by exact version, and every byte is checked. npm itself is not needed.
"""

import base64
import hashlib
import io
import os
import shutil
import sys
import tarfile
from pathlib import Path

import requests

from fashionlib.errors import FashionError
from fashionlib.files import new_folder

VERSION = "1.30.0"
# what `npm view onnxruntime-web@1.30.0 dist.integrity` prints
INTEGRITY = "sha512-" + (
    "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
)
# of its files the two that run on one thread without WebGPU, each with its sha256
FILES = {
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort-wasm-simd-threaded.wasm": (
        "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2"
    ),
}
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


def runtime_folder(cache: Path = BOOK_CACHE) -> Path:
    """The folder with `FILES` and their licence below `cache`, fetched if it is not there.

    The registry is npm's own, or the one that the environment names as npm reads it
    (`npm_config_registry`).

    Raises:
        FashionError: no network, or what came is not the package.
    """
    folder = cache / f"onnxruntime-web-{VERSION}"
    if not _is_whole(folder):
        shutil.rmtree(folder, ignore_errors=True)
        _unpack(_download(), folder)
    return folder


def _is_whole(folder: Path) -> bool:
    try:
        return all(
            hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
            for name, digest in FILES.items()
        )
    except OSError:
        return False


def _download() -> bytes:
    settings = {name.lower(): value for name, value in os.environ.items()}  # npm takes any case
    registry = settings.get("npm_config_registry", "https://registry.npmjs.org").rstrip("/")
    url = f"{registry}/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz"
    try:
        answer = requests.get(url, timeout=TIMEOUT)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise FashionError(
            f"could not fetch {url} ({type(error).__name__}): "
            "build the book once with a network, later builds need none."
        ) from error
    digest = base64.b64encode(hashlib.sha512(answer.content).digest()).decode()
    if f"sha512-{digest}" != INTEGRITY:
        raise FashionError(f"{url} is not the package we know: its sha512 is another. Not used.")
    return answer.content


def _unpack(package: bytes, folder: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(package)) as archive, new_folder(folder) as temporary:
        for name in FILES:
            member = archive.extractfile(f"package/dist/{name}")
            (temporary / name).write_bytes(member.read())
        (temporary / "LICENSE").write_text(LICENSE, encoding="utf-8")


if __name__ == "__main__":
    try:
        print(runtime_folder())
    except FashionError as error:
        sys.exit(str(error))
