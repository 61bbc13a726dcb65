"""Fetch the browser files that the book serves itself into book/_static/vendor/ (maintainers).

And axe-core, which only the tests use, into tests/vendor/. All are committed, so that building and
testing the book needs neither npm nor a network. `npm pack` checks each package against the
registry's sha512.
"""

import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENDOR = ROOT / "book" / "_static" / "vendor"
PACKAGES = {
    "mathjax@3.2.2": (VENDOR / "mathjax", ["es5/tex-svg.js", "LICENSE"]),
    "@jupyter-widgets/html-manager@1.0.15": (
        VENDOR / "html-manager",
        ["dist/embed.js", "dist/embed.js.LICENSE.txt"],
    ),
    # the manager's own package forgets the licence file of the repository both come from
    "@jupyter-widgets/base@6.0.11": (VENDOR / "html-manager", ["LICENSE"]),
    "axe-core@4.14.1": (
        ROOT / "tests" / "vendor" / "axe",
        ["axe.min.js", "LICENSE", "LICENSE-3RD-PARTY.txt"],
    ),
}


def fetch(package: str, folder: Path, members: list[str]) -> None:
    """Unpack the named members of one npm package into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        command = ["npm", "pack", "--silent", "--pack-destination", place, package]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        with tarfile.open(Path(place) / printed.split()[-1]) as archive:
            for member in members:
                try:
                    source = archive.extractfile(f"package/{member}")
                except KeyError:
                    raise SystemExit(f"{package} has no file {member}") from None
                with source, open(folder / Path(member).name, "wb") as target:
                    shutil.copyfileobj(source, target)


if __name__ == "__main__":
    for package, (folder, members) in PACKAGES.items():
        fetch(package, folder, members)
        print(f"{package} -> {folder.relative_to(ROOT)}")
