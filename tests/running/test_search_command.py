"""`fashionlib search` as a person uses it: real processes, pictures in a folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import tiny_encoder

from fashionlib.blocks import PLANS
from fashionlib.drawn import drawn_pictures
from fashionlib.heads import build_classifier, build_encoder
from fashionlib.search import SIDE, embed_picture
from fashionlib.weights import load_encoder, save_classifier, save_encoder


def python(*arguments, cwd: Path, **environment) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *map(str, arguments)], cwd=cwd, check=False,
                          capture_output=True, text=True, env=os.environ | environment)  # fmt: skip


def search(*arguments, cwd: Path, **environment) -> subprocess.CompletedProcess:
    return python("-m", "fashionlib", "search", *arguments, cwd=cwd, **environment)


def save_weights(path: Path, seed: int, size: int = 32) -> Path:
    save_encoder(path, tiny_encoder(seed, size))
    return path


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    """A place to work in: `clothes` with class folders, `flat` without, and weights."""
    root = tmp_path_factory.mktemp("work")
    images, garments = drawn_pictures(21, 5, 64)
    for number, (image, garment) in enumerate(zip(images, garments, strict=True)):
        picture = Image.fromarray(np.moveaxis(image, 0, -1))
        for folder in (root / "clothes" / garment.category, root / "flat"):
            folder.mkdir(parents=True, exist_ok=True)
            picture.save(folder / f"{number:03d}.png")
    (root / "clothes" / "hat" / "torn.jpg").write_text("not a picture")
    save_weights(root / "encoder.safetensors", 0)
    return root


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch) -> None:
    monkeypatch.setenv("FASHIONLIB_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def shared_cache(own_cache, private_cache, monkeypatch) -> None:
    """For catalogs that take a while to decode or draw: the cache of the whole run."""
    monkeypatch.setenv("FASHIONLIB_CACHE", str(private_cache))


def first(folder: Path) -> Path:
    return min(folder.glob("*.png"))


def expected(query: Path, files: list[Path], weights: Path) -> list[tuple[float, Path]]:
    """All distances, one at a time, sorted."""
    encoder, _ = load_encoder(weights)
    rows = [embed_picture(encoder, Image.open(file)) for file in [query, *files]]
    distances = [float((row - rows[0]).norm()) for row in rows[1:]]
    return sorted(zip(distances, files, strict=True))


def test_a_table_a_strip_and_then_json(work):
    query = first(work / "clothes" / "dress")
    options = ["--query", query, "--catalog", "clothes", "--weights", "encoder.safetensors"]
    done = search(*options, "--top-k", 3, "--out", "made/strip.png", cwd=work)
    assert done.returncode == 0, done.stderr
    wanted = expected(query, list((work / "clothes").rglob("*.png")), work / "encoder.safetensors")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["rank", "distance", "category", "file"]
    for rank, (line, (distance, file)) in enumerate(zip(lines[1:], wanted[:3], strict=True), 1):
        assert line.split() == [
            str(rank),
            f"{distance:.3f}",
            file.parent.name,
            str(file.relative_to(work)),
        ]
    starts = [line.rindex("clothes/") for line in lines[1:]]
    assert starts == [lines[0].index("file")] * 3
    said = done.stderr.splitlines()
    assert said[0] == "Weights encoder.safetensors: as asked."
    assert said[1] == "Index of clothes: 21 pictures, 21 of them embedded now."
    assert said[2].startswith("Skipped: hat/torn.jpg is not a picture")
    assert said[3] == "Saved made/strip.png."
    with Image.open(work / "made" / "strip.png") as strip:
        assert strip.format == "PNG"
        assert strip.width > 2 * strip.height
        assert len(strip.convert("RGB").getcolors(1 << 20)) > 1000
    assert os.listdir(work / "made") == ["strip.png"]

    done = search(*options, "--top-k", 50, "--json", cwd=work)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["query_category"] == "dress"
    assert [name.split()[0] for name in answer["skipped"]] == ["hat/torn.jpg"]
    results = answer["results"]
    assert [result["rank"] for result in results] == list(range(1, 22))
    assert [work / result["file"] for result in results] == [file for _, file in wanted]
    found = [result["distance"] for result in results]
    assert found == pytest.approx([distance for distance, _ in wanted], abs=1e-4)
    assert results[0]["distance"] == pytest.approx(0, abs=1e-5)
    for result in results:
        assert result["category"] == result["id"].split("/")[0]
        assert result["right"] == (result["category"] == "dress")
    assert "Index of clothes: 21 pictures.\n" in done.stderr


def test_a_flat_folder_with_file_names_of_every_kind(work, tmp_path):
    """A terminal that knows ASCII, names it cannot write, and one that would move its cursor."""
    content = first(work / "flat").read_bytes()
    names = {
        "?t?.png": b"\xc3\xa9t\xc3\xa9.png",
        "?.png": b"\xff.png",
        "a?[2Kb?.png": b"a\x1b[2Kb\n.png",
    }
    query, folder = tmp_path / "dress" / "mine.png", tmp_path / "clothes"
    for path in (query, *(folder / os.fsdecode(name) for name in names.values())):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    options = ["--query", query, "--catalog", folder, "--weights", work / "encoder.safetensors"]
    done = search(*options, cwd=work, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["rank", "distance", "file"]  # no categories here
    assert sorted(line.rpartition("/")[2] for line in lines[1:]) == sorted(names)
    answer = json.loads(search(*options, "--json", cwd=work, PYTHONIOENCODING="ascii").stdout)
    assert answer["query_category"] is None
    assert {(r["category"], r["right"]) for r in answer["results"]} == {(None, None)}
    assert {os.fsencode(r["id"]) for r in answer["results"]} == set(names.values())


def test_own_weights_come_first_and_new_ones_refresh_the_index(work, tmp_path):
    options = ["--query", first(work / "flat"), "--catalog", work / "flat"]
    for seed, size in ((3, 32), (4, 32), (4, 40)):  # the last are the same at another size
        save_weights(tmp_path / "runs" / "encoder.safetensors", seed, size)
        done = search(*options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert f"Weights {Path('runs/encoder.safetensors')}: trained here." in done.stderr
        assert "21 of them embedded now" in done.stderr


# Every mistake in one process: starting one takes seconds
MAIN = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from fashionlib.cli import main
answers = {}
for name, arguments in json.loads(sys.argv[1]).items():
    sys.argv = ["fashionlib", "search", *arguments]
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        try:
            main()
        except SystemExit as left:
            answers[name] = [left.code, out.getvalue(), err.getvalue()]
print(json.dumps(answers))
"""

GOOD = {"--query": "q.png", "--catalog": "flat", "--weights": "encoder.safetensors"}
MISTAKES = {
    "missing query": ({"--query": "none.jpg"}, "none.jpg does not exist"),
    "query is no image": ({"--query": "notes.txt"}, "notes.txt is not a picture"),
    "truncated query": ({"--query": "cut.jpg"}, "cut.jpg cannot be read"),
    "query is a folder": ({"--query": "flat"}, "flat is a folder"),
    "k of 0": ({"--top-k": "0"}, "--top-k"),
    "k of -1": ({"--top-k": "-1"}, "--top-k"),
    "k is no number": ({"--top-k": "few"}, "--top-k"),
    "missing catalog": ({"--catalog": "none"}, "none does not exist"),
    "catalog is a file": ({"--catalog": "q.png"}, "q.png is a file"),
    "empty catalog": ({"--catalog": "empty"}, "empty has no pictures"),
    "broken pictures only": ({"--catalog": "broken"}, "broken has no picture that can be read"),
    "missing weights": ({"--weights": "none.safetensors"}, "no file none.safetensors"),
    "weights of a classifier": ({"--weights": "classifier.safetensors"}, "holds no encoder"),
    "weights of another model": ({"--weights": "other.safetensors"}, "another model"),
    "weights are a picture": ({"--weights": "q.png"}, "q.png is not a whole weights file"),
    "no window": ({"--show": ""}, "use --out"),
    "out is a jpg": ({"--out": "strip.jpg"}, ".png"),
    "out is in a file": ({"--out": "q.png/strip.png"}, "could not write q.png/strip.png"),
    "too many to draw": ({"--out": "x.png", "--top-k": "60", "--catalog": "many"}, "60 results"),
    "unknown option": ({"--topk": "3"}, "--topk"),
}


def test_each_mistake_is_one_line_and_exit_code_2(work, tmp_path):
    (tmp_path / "flat").symlink_to(work / "flat")
    (tmp_path / "q.png").write_bytes(first(work / "flat").read_bytes())
    (tmp_path / "notes.txt").write_text("not a picture")
    Image.effect_noise((64, 64), 90).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:900])
    for name in ("empty", "broken", "many"):
        (tmp_path / name).mkdir()
    (tmp_path / "broken" / "1.jpg").write_text("not a picture")
    for n in range(61):
        (tmp_path / "many" / f"{n}.png").write_bytes((tmp_path / "q.png").read_bytes())
    save_weights(tmp_path / "encoder.safetensors", 0)
    save_classifier(tmp_path / "classifier.safetensors", build_classifier("article"), "abcdefg")
    other = build_encoder("article-dense")
    other.backbone.plan = PLANS["article"]
    save_encoder(tmp_path / "other.safetensors", other)
    before = sorted(tmp_path.iterdir())
    cases = {name: _arguments(GOOD | change) for name, (change, _) in MISTAKES.items()}
    done = python("-c", MAIN, json.dumps(cases), cwd=tmp_path, MPLBACKEND="agg")
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    for name, (_, words) in MISTAKES.items():
        code, out, err = answers[name]
        assert (name, code, out) == (name, 2, "")
        assert err.startswith("fashionlib: "), name
        assert err.count("\n") == 1, name
        assert words in err, name
    assert sorted(tmp_path.iterdir()) == before


def _arguments(options: dict[str, str]) -> list[str]:
    return [text for option in options.items() for text in option if text]


def test_show_opens_a_window(work, tmp_path):
    """A backend that counts windows instead of opening them."""
    (tmp_path / "counting.py").write_text("""
from matplotlib import pyplot
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg

class Manager(FigureManagerBase):
    @classmethod
    def pyplot_show(cls, *, block=None):
        pyplot.gcf().canvas.draw()
        print(len(pyplot.get_fignums()), "window")

class FigureCanvas(FigureCanvasAgg):
    manager_class = Manager
""")
    options = ["--query", first(work / "flat"), "--catalog", "flat", "--show"]
    done = search(*options, "--weights", "encoder.safetensors", cwd=work,
                  MPLBACKEND="module://counting", PYTHONPATH=str(tmp_path))  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "1 window"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a display")
def test_a_display_that_is_not_there(work, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    done = search("--query", first(work / "flat"), "--show", cwd=work, MPLBACKEND="tkagg")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "fashionlib: --show needs a display, and there is none: use --out results.png.\n"
    )


# Nothing said about catalog or weights


def test_the_photos_are_searched_where_they_are(photos_here, shared_cache, work):
    options = ["--query", first(work / "clothes" / "dress"), "--weights", "encoder.safetensors"]
    done = search(*options, "--json", cwd=work)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["catalog"] == "photos"
    assert answer["query_category"] == "dress"
    assert len(answer["results"]) == 5
    for result in answer["results"]:
        assert result["id"].startswith(f"train/{result['category']}/")
        assert Path(result["file"]).is_file()
    assert "Catalog photos: 2,482 train" in done.stderr
    assert "Index of photos: 2,482 pictures" in done.stderr


# no network, no archive; weights in a folder where later the shipped ones will be
NO_PHOTOS = """
import sys
from pathlib import Path
from fashionlib.catalog import loading
from fashionlib import weights
from fashionlib.errors import FashionError

def no_photos():
    raise FashionError("there is no network.")

loading.ensure_photos = no_photos
weights.SHIPPED = Path("shipped")
from fashionlib.cli import main
main()
"""


def test_drawn_and_shipped_where_there_is_nothing_else(shared_cache, work, tmp_path):
    save_weights(tmp_path / "shipped" / "encoder_drawn.safetensors", 7)
    save_weights(tmp_path / "shipped" / "encoder_photos.safetensors", 8)
    options = ["search", "--query", first(work / "clothes" / "dress"), "--top-k", 2]
    quick = {"FASHIONLIB_BUDGET": "quick"}
    done = python("-c", NO_PHOTOS, *options, "--out", "strip.png", cwd=tmp_path, **quick)
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    assert said[0] == (
        "Weights encoder_drawn: shipped with the library, as there is no runs/encoder.safetensors."
    )
    assert said[1].startswith("Catalog drawn: 560 train")
    assert "there is no network" in said[1]
    assert [line.split()[3][:6] for line in done.stdout.splitlines()[1:]] == ["train/"] * 2
    with Image.open(tmp_path / "strip.png") as strip:
        assert strip.height > SIDE
    flat = ["search", "--query", first(work / "flat"), "--catalog", work / "flat"]
    done = python("-c", NO_PHOTOS, *flat, cwd=tmp_path)
    assert done.stderr.startswith("Weights encoder_photos: shipped")


def test_a_query_that_is_near_to_nothing_is_told(work):
    """The limit is in the weights' metadata; below it nothing is said."""
    query = first(work / "clothes" / "dress")
    for limit, told in ((1e-6, False), (-1.0, True)):  # the query itself is found, at 0
        path = work / "limited.safetensors"
        save_encoder(path, tiny_encoder(), distance_limit=limit)
        options = ["--query", query, "--catalog", "clothes", "--weights", path]
        done = search(*options, cwd=work)
        assert done.returncode == 0, done.stderr
        assert ("Nothing is near" in done.stderr) == told
