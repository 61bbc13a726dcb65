"""The book as the tests look at it: few drawn garments, the quick budget, no network.

`quick_book.py FOLDER` builds it: the pages in FOLDER/html, the executed chapters in FOLDER/cache.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import fetch_runtime

ROOT = Path(__file__).resolve().parents[2]
NOWHERE = "http://127.0.0.1:9"  # a closed port: whoever asks the network is refused at once


def build(folder: Path) -> int:
    """Run Sphinx as on a fresh machine that reaches only the registry; returns its exit code.

    What comes from there is fetched first, because the build itself has its network cut.
    """
    fetch_runtime.runtime_package()
    cut = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), NOWHERE)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    command += ["-D", f"nb_execution_cache_path={folder / 'cache'}", "book", folder / "html"]
    with tempfile.TemporaryDirectory() as empty:  # a person's cache may hold photos
        settings = {"FASHIONLIB_BUDGET": "quick", "FASHIONLIB_DATA": empty,
                    "FASHIONLIB_CACHE": empty, "NO_PROXY": "127.0.0.1"}  # fmt: skip
        environment = os.environ | cut | settings
        return subprocess.run(command, cwd=ROOT, check=False, env=environment).returncode


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1]).resolve()))
