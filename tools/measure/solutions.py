"""The exercises' results with the full budget: `python tools/measure/solutions.py [1 2 ...]`.

Runs each solution, or those of the numbers given, as a notebook with the full budget, and keeps
what its cells tagged `full-budget` show: tables, sentences, curves (no photos). Their pages, whose
own trainings are short, show that instead (`tools/book/exercises.py`). Writes
`pages/results/solutions.json` after each exercise; what is there of the others stays.
"""

import base64
import io
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import jupytext
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image
from recording import about_this_run, write_results

from fashionlib.catalog import load_catalog
from fashionlib.pages.recorded_results import RESULTS, recorded

sys.path.append(str(Path(__file__).resolve().parents[1] / "book"))

import exercises

PICTURE = re.compile(r'(?<=src="data:image/png;base64,)[^"]+')
COLOURS = 64  # of a recorded figure: enough for curves, in a third of the bytes


def smaller(data: str) -> str:
    """A PNG in base64 with fewer colours."""
    image = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB").quantize(COLOURS)
    buffer = io.BytesIO()
    image.save(buffer, format="png", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def shown(cell: NotebookNode) -> list[str]:
    """What `table`, `say` and `show` gave in a cell, as Markdown or HTML."""
    kinds = [output.get("data", {}) for output in cell.outputs]
    texts = [data.get("text/markdown") or data.get("text/html") for data in kinds]
    return [PICTURE.sub(lambda found: smaller(found[0]), text) for text in texts if text]


def run(name: str) -> dict[str, Any]:
    """What the tagged cells of one solution show."""
    script = exercises.EXERCISES / "solutions" / f"{name}.py"
    notebook = jupytext.read(script, fmt="py:percent")
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "", "language": "python"}
    started = time.perf_counter()
    resources = {"metadata": {"path": str(script.parent)}}
    NotebookClient(notebook, timeout=6 * 3600, resources=resources).execute()
    minutes = (time.perf_counter() - started) / 60
    about = about_this_run(__file__, load_catalog())
    note = f"The full run: {about['catalog']}, {minutes:.0f} min on {about['machine']}"
    return {
        "note": f"{note}, {about['date']}, torch {about['versions']['torch']}.",
        "cells": [
            {"source": cell.source, "shown": shown(cell)}
            for cell in notebook.cells
            if exercises.FULL in cell.metadata.get("tags", [])
        ],
    }


def main() -> None:
    """Run those that are asked for, and save after each."""
    os.environ |= {"FASHIONLIB_BUDGET": "full", "TQDM_DISABLE": "1"}
    names = [path.stem for path in exercises.solutions()]
    for name in [n for n in names if not sys.argv[1:] or n[0] in sys.argv[1:]]:
        found = run(name)
        print(name, found["note"], flush=True)
        old = recorded("solutions")["exercises"] if (RESULTS / "solutions.json").exists() else {}
        results = dict(sorted((old | {name: found}).items()))
        write_results("solutions", about_this_run(__file__, None) | {"exercises": results})


if __name__ == "__main__":
    main()
