"""What the scripts that record results share: where they go, and what is written beside them.

Beside the files is a list of their hashes, so that a figure which somebody edits by hand is noticed
(`tests/measure/test_recording.py`). A script writes both. `python tools/measure/recording.py NAME`
takes a file into the list that a script wrote on another machine.
"""

import datetime
import hashlib
import json
import platform
import re
import statistics
import sys
from pathlib import Path
from typing import Any

import torch

from fashionlib.catalog import Catalog
from fashionlib.files import replacing
from fashionlib.pages.recorded_results import RESULTS, recorded

HASHES = "results.sha256"  # as `sha256sum` writes and checks them


def machine() -> str:
    """Kind of processor, and how many threads torch uses."""
    threads = torch.get_num_threads()
    return f"{platform.machine()}, {threads} thread{'s' if threads > 1 else ''}"


def processor() -> str:
    """What the processor calls itself: only times of one processor can be compared."""
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text().splitlines() if cpus.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def about_this_run(script: str, catalog: Catalog | None, **versions: str) -> dict[str, Any]:
    """Script, catalog if there was one, machine, versions (of further packages too) and date."""
    pictures = {"catalog": catalog.name, "pictures": len(catalog.train)} if catalog else {}
    return {
        "made_by": f"tools/measure/{Path(script).name}",
        **pictures,
        "machine": machine(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__, **versions},
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def measured(name: str, kind: str) -> list[dict[str, Any]]:
    """The entries of that kind ("runs", say) in `pages/results/<name>.json`; [] without it."""
    return recorded(name)[kind] if (RESULTS / f"{name}.json").exists() else []


def quartiles(values: list[float]) -> list[float]:
    """Three quartiles, the second of which is the median, of four digits each."""
    return [float(f"{value:.4g}") for value in statistics.quantiles(values, n=4)]


def write_results(name: str, results: dict[str, Any]) -> None:
    """Write `pages/results/<name>.json`, whole or not at all; a list of numbers is one line."""
    text = json.dumps(results, indent=1)
    text = re.sub(r"\[[\d.,\s-]+\]", lambda found: " ".join(found[0].split()), text)
    with replacing(RESULTS / f"{name}.json") as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    keep_hash(name)


def hashes() -> dict[str, str]:
    """What each results file was when its script had written it, by file name."""
    path = RESULTS / HASHES
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}


def hash_of(name: str) -> str:
    """The hash of a results file as it is now."""
    return hashlib.sha256((RESULTS / f"{name}.json").read_bytes()).hexdigest()


def keep_hash(name: str) -> None:
    """Put a results file that its script has just written into the list."""
    known = hashes() | {f"{name}.json": hash_of(name)}
    with replacing(RESULTS / HASHES) as temporary:
        lines = [f"{digest}  {file}\n" for file, digest in sorted(known.items())]
        temporary.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    for given in sys.argv[1:]:
        keep_hash(given)
