"""Where a person may not read or write: one line that names the place, and exit code 2."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from commands import fashionlib
from PIL import Image
from tiny import tiny_encoder

from fashionlib.__main__ import main
from fashionlib.drawn import drawn_pictures
from fashionlib.weights import save_encoder

CASES = {
    "query": ("search --query secret.png --catalog clothes --weights e.safetensors", "secret.png"),
    "look": ("search --query q.png --look secret.png --catalog clothes", "secret.png"),
    "weights": (
        "search --query q.png --catalog clothes --weights secret.safetensors",
        "secret.safetensors cannot be read: Permission denied",
    ),
    "catalog": ("search --query q.png --catalog closed --weights e.safetensors", "closed"),
    "strip": (
        "search --query q.png --catalog clothes --weights e.safetensors --out closed/strip.png",
        "closed/strip.png",
    ),
    "pictures": ("train-classifier --data closed", "closed"),
    "trained weights": ("train-classifier --data clothes --out closed/c.safetensors", "closed/c.s"),
    "trained encoder": ("train-siamese --data clothes --out closed/e.safetensors", "closed/e.s"),
    "write-protected": (
        "train-classifier --data clothes --out kept.safetensors",
        "kept.safetensors is write-protected",
    ),
    "exported": ("export --weights e.safetensors --out closed/e.onnx", "closed/e.onnx"),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Pictures and weights, and some that nobody may open."""
    root = tmp_path_factory.mktemp("place")
    images, garments = drawn_pictures(24, 5, 64)
    for number, (image, garment) in enumerate(zip(images, garments, strict=True)):
        folder = root / "clothes" / garment.category
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.moveaxis(image, 0, -1)).save(folder / f"{number:03d}.png")
    shutil.copy(folder / f"{number:03d}.png", root / "q.png")
    save_encoder(root / "e.safetensors", tiny_encoder(0, 32))
    for name, source in {"secret.png": "q.png", "secret.safetensors": "e.safetensors"}.items():
        shutil.copy(root / source, root / name)
        (root / name).chmod(0)
    shutil.copy(root / "e.safetensors", root / "kept.safetensors")
    (root / "kept.safetensors").chmod(0o444)
    (root / "readable").mkdir(0o555)
    (root / "closed").mkdir(0)
    yield root
    (root / "closed").chmod(0o755)  # else pytest could not tidy up


@pytest.mark.parametrize("name", CASES)
def test_a_closed_place_is_one_line(place, name):
    words, named = CASES[name]
    done = fashionlib(
        *words.split(), cwd=place, NOT_ALL_POWERFUL="1", FASHIONLIB_CACHE=f"{place}/cache"
    )
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert named in line
    assert done.stdout == ""


def test_a_current_folder_that_was_removed_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    monkeypatch.setattr(sys, "argv", ["fashionlib", "train-classifier", "--out", "m.safetensors"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said == "fashionlib: the current folder: No such file or directory.\n"


@pytest.mark.parametrize("command", ["search --query q.png --catalog", "train-classifier --data"])
def test_a_cache_that_may_only_be_read_is_told_before_the_work(place, command):
    settings = {"NOT_ALL_POWERFUL": "1", "FASHIONLIB_CACHE": "readable", "TQDM_DISABLE": ""}
    done = fashionlib(*command.split(), "clothes", cwd=place, **settings)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()  # and no progress bar
    assert "could not write readable" in line


@pytest.mark.parametrize("cache", ["closed", ""])
def test_a_cache_that_may_not_be_written_is_one_line(place, cache):
    settings = {"FASHIONLIB_CACHE": cache, "HOME": f"{place}/closed/home", "XDG_CACHE_HOME": ""}
    words = CASES["strip"][0].split()[:-2]
    done = fashionlib(*words, cwd=place, NOT_ALL_POWERFUL="1", **settings)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert "closed" in line
