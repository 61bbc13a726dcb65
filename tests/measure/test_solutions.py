"""Exercises are recorded one at a time; what is recorded is what their tagged cells show."""

import base64
import io
import json
import os
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import recording
import solutions
from PIL import Image
from tiny import tiny_catalog

from fashionlib.pages import recorded_results

SCRIPT = """# %%
import os

from fashionlib.pages.show import say, table

print("not shown")

# %% tags=["full-budget"]
table(["budget"], [[os.environ["FASHIONLIB_BUDGET"]]])
say("Said.")

# %%
say("Of a cell without the tag.")
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two solutions, and results, of their own."""
    (tmp_path / "solutions").mkdir()
    for name in ("1_one", "2_two"):
        (tmp_path / "solutions" / f"{name}.py").write_text(SCRIPT)
    monkeypatch.setattr(solutions.exercises, "EXERCISES", tmp_path)
    monkeypatch.setattr(solutions, "load_catalog", tiny_catalog)
    for module in (solutions, recording, recorded_results):
        monkeypatch.setattr(module, "RESULTS", tmp_path)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    return tmp_path


def record(folder, monkeypatch, *arguments: str) -> dict:
    monkeypatch.setattr(sys, "argv", ["solutions.py", *arguments])
    solutions.main()
    return json.loads((folder / "solutions.json").read_text())["exercises"]


def test_the_tagged_cells_of_one_exercise(folder, monkeypatch):
    """By a clock on which the run takes twelve minutes."""
    clock = iter([100.0, 820.0])
    monkeypatch.setattr(solutions, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    exercises = record(folder, monkeypatch, "2")
    assert list(exercises) == ["2_two"]
    (cell,) = exercises["2_two"]["cells"]
    assert cell["source"].startswith('table(["budget"]')
    assert cell["shown"] == ["| budget |\n| --- |\n| full |", "Said."]
    assert ", 12 min on " in exercises["2_two"]["note"]
    assert "torch" in exercises["2_two"]["note"]


def test_a_curve_is_recorded_with_fewer_colours():
    """Beside a sentence and what is no output of ours; its words stay as they are."""
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    Image.fromarray(noise).save(buffer := io.BytesIO(), format="png")
    picture = base64.b64encode(buffer.getvalue()).decode()
    figure = f'<figure><img alt="Loss" src="data:image/png;base64,{picture}"></figure>'
    said = {"text/markdown": "Said.", "text/plain": "<Markdown>"}
    outputs = [{"data": {"text/html": figure, "text/plain": "<HTML>"}}, {"text": "printed"},
               {"data": {"text/plain": "7"}}, {"data": said}]  # fmt: skip
    shown = solutions.shown(SimpleNamespace(outputs=outputs))
    assert shown[1:] == ["Said."]
    before, found, after = re.split('(?<=base64,)([^"]+)', shown[0])
    assert f"{before}{picture}{after}" == figure
    with Image.open(io.BytesIO(base64.b64decode(found))) as smaller:
        assert smaller.size == (30, 20)
        assert len(smaller.convert("RGB").getcolors()) <= 64
        distance = np.abs(np.asarray(smaller.convert("RGB")).astype(int) - noise).mean()
    assert distance < 40  # as far as few colours are from noise


def test_what_is_there_of_the_others_stays(folder, monkeypatch):
    monkeypatch.setattr(solutions, "run", lambda name: {"note": name, "cells": []})
    record(folder, monkeypatch, "2")
    assert list(record(folder, monkeypatch, "1")) == ["1_one", "2_two"]
    (folder / "solutions.json").unlink()
    assert list(record(folder, monkeypatch)) == ["1_one", "2_two"]
    monkeypatch.setattr(solutions, "run", lambda name: {"note": f"{name} again", "cells": []})
    notes = [run["note"] for run in record(folder, monkeypatch, "2").values()]
    assert notes == ["1_one", "2_two again"]
