"""Find Chromium for the tests that look at the built book, or install it. Prints its path.

Order: `CHROMIUM`, a browser on the PATH or in its usual place, Debian's package (as root),
playwright's own download. A machine where none of these works fails here: no test is skipped.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)


def find() -> str | None:
    """Path of a Chromium that is here, or None."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - make test installs it

    candidates = [os.environ.get("CHROMIUM"), *map(shutil.which, NAMES), *PLACES]
    with sync_playwright() as playwright:
        candidates.append(playwright.chromium.executable_path)
    return next((path for path in candidates if path and Path(path).exists()), None)


def install() -> None:
    """Install Chromium: through apt where this is Debian and we are root, else playwright's."""
    if shutil.which("apt-get") and os.geteuid() == 0:
        print("installing Debian's chromium for the page tests", flush=True)
        subprocess.run(["apt-get", "update", "-q"], check=False)
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "chromium"]
        if subprocess.run(command, check=False, env=environment).returncode == 0:
            return
    print("downloading playwright's chromium for the page tests", flush=True)
    subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)


if __name__ == "__main__":
    if find() is None:
        install()
    path = find()
    if path is None:
        sys.exit(
            "The page tests need Chromium and none could be installed: "
            "install it (Debian: apt-get install chromium), or set CHROMIUM to its path."
        )
    print(path)
