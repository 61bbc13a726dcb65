"""One process or more: `python tools/measure/pipeline.py` (chapter 6).

Pictures embedded a second, on the photos, by 1 and 2 processes; and a short training of a
classifier on the drawn catalog, the same by 1 and 2 processes of torchrun: accuracy and seconds.
Writes `pages/results/pipeline.json`. Run it on a quiet machine: the load it began with is
written down too.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from recording import about_this_run, write_results

from fashionlib.catalog.photos import ensure_photos
from fashionlib.running.shards import embed_folder
from fashionlib.weights import load_classifier, shipped

PROCESSES = (1, 2)
EPOCHS, SIZE = 6, 64


def embedding(processes: int) -> dict[str, Any]:
    """The training photos: seconds in all, and the rate once the processes have started."""
    root = ensure_photos() / "train"
    weights = shipped("encoder_photos")
    with tempfile.TemporaryDirectory() as place:
        one = Path(place, "one")
        one.mkdir()
        picture = next(root.rglob("*.jpg"))
        (one / picture.name).symlink_to(picture)
        seconds = []
        for folder in (one, root):
            started = time.perf_counter()
            embedded = embed_folder(folder, Path(place, f"of {folder.name}"), weights, processes)
            seconds.append(time.perf_counter() - started)
    return {
        "processes": processes,
        "pictures": embedded.pictures,
        "seconds": seconds[1],
        "start_seconds": seconds[0],
        "pictures_per_second": (embedded.pictures - 1) / (seconds[1] - seconds[0]),
    }


def training(processes: int) -> dict[str, Any]:
    """A classifier of the drawn garments: right answers among how many, and seconds."""
    with tempfile.TemporaryDirectory() as place:
        launcher = ["-m", "torch.distributed.run", "--standalone"]
        command = [sys.executable, *launcher, f"--nproc-per-node={processes}", "-m", "fashionlib",
                   "train-classifier", "--data", "drawn", "--epochs", str(EPOCHS),
                   "--size", str(SIZE), "--out", "classifier.safetensors"]  # fmt: skip
        threads = str(max(1, os.cpu_count() // processes))
        environment = os.environ | {"OMP_NUM_THREADS": threads}
        done = subprocess.run(command, cwd=place, check=True, capture_output=True, text=True,
                              env=environment)  # fmt: skip
        _, metadata = load_classifier(Path(place, "classifier.safetensors"))
    seconds = int(re.search(r"trained in (\d+) s", done.stdout)[1])
    return {
        "processes": processes,
        "epochs": EPOCHS,
        "size": SIZE,
        "correct": metadata["correct"],
        "seconds": seconds,
    }


def main() -> None:
    """Measure, and write it down."""
    about = {"cores": os.cpu_count(), "load_before": round(os.getloadavg()[0], 1)}
    rows = {}
    for name, measure in (("embedding", embedding), ("training", training)):
        rows[name] = [measure(processes) for processes in PROCESSES]
        print(name, *rows[name], sep="\n", flush=True)
    write_results("pipeline", about_this_run(__file__, None) | about | rows)


if __name__ == "__main__":
    main()
