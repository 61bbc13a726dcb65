"""`fashionlib search` as a person uses it: real processes, pictures in a folder."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import fashionlib
from complaints import complaint
from PIL import Image
from tiny import noise, small_look_encoder, striped_catalog, tiny_encoder

from fashionlib.blocks import PLANS, MobileNetBackbone
from fashionlib.catalog import load_catalog
from fashionlib.drawn import SEVEN, drawn_pictures
from fashionlib.heads import build_classifier, build_encoder
from fashionlib.look_encoder import NAMELESS, LookEncoder
from fashionlib.running import search_command
from fashionlib.running.folder_index import Refreshed, folder_source
from fashionlib.running.search_command import run_search
from fashionlib.search import SIDE, Results, SearchIndex, embed_picture
from fashionlib.weights import load_encoder, save_classifier, save_encoder


def python(*arguments, cwd: Path, **environment) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *map(str, arguments)], cwd=cwd, check=False,
                          capture_output=True, text=True, env=os.environ | environment)  # fmt: skip


def search(*arguments, cwd: Path, **environment) -> subprocess.CompletedProcess:
    return fashionlib("search", *arguments, cwd=cwd, **environment)


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
    torch.manual_seed(0)
    encoder = small_look_encoder()
    torch.nn.init.normal_(encoder.look[1].weight, std=0.5)  # else all looks are nearly alike
    save_encoder(root / "looks.safetensors", encoder)
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
    """The strip is drawn whatever matplotlib should draw with elsewhere."""
    query = first(work / "clothes" / "dress")
    options = ["--query", query, "--catalog", "clothes", "--weights", "encoder.safetensors"]
    strip = ["--top-k", 3, "--out", "made/strip.PNG"]
    done = search(*options, *strip, cwd=work, MPLBACKEND="module://of_a_notebook")
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
    assert said[3] == "Saved made/strip.PNG."
    with Image.open(work / "made" / "strip.PNG") as strip:
        assert strip.format == "PNG"
        assert strip.width > 2 * strip.height
        assert len(strip.convert("RGB").getcolors(1 << 20)) > 1000
    assert os.listdir(work / "made") == ["strip.PNG"]

    done = search(*options, "--top-k", 50, "--json", cwd=work)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert list(answer) == [
        "query", "query_category", "look", "catalog", "weights", "skipped", "results",
    ]  # fmt: skip
    assert answer["query_category"] == "dress"
    used = [answer[part] for part in ("query", "catalog", "weights")]
    assert used == [str(query), "clothes", "encoder.safetensors"]
    assert [name.split()[0] for name in answer["skipped"]] == ["hat/torn.jpg"]
    results = answer["results"]
    assert [result["rank"] for result in results] == list(range(1, 22))
    assert [work / result["file"] for result in results] == [file for _, file in wanted]
    found = [result["distance"] for result in results]
    assert found == pytest.approx([distance for distance, _ in wanted], abs=1e-4)
    assert results[0]["distance"] == pytest.approx(0, abs=1e-5)
    for result in results:
        assert list(result) == ["rank", "distance", "category", "right", "id", "file"]
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
    start = ["-m", "fashionlib", "search", *options]
    done = python(*start, cwd=work, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["rank", "distance", "file"]  # no categories here
    assert sorted(line.rpartition("/")[2] for line in lines[1:]) == sorted(names)
    answer = json.loads(python(*start, "--json", cwd=work, PYTHONIOENCODING="ascii").stdout)
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


def results(cases: dict[str, list[str]], cwd: Path, **environment: str) -> dict[str, dict]:
    """What each case finds, from its JSON."""
    found = {}
    for name, arguments in cases.items():
        done = search(*arguments, "--json", cwd=cwd, **environment)
        assert done.returncode == 0, done.stderr
        found[name] = json.loads(done.stdout)
    return found


WEIGHTS = ("encoder.safetensors", "looks.safetensors")
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
    "weights are a picture": ({"--weights": "q.png"}, "q.png is not a whole file"),
    "no window": ({"--show": ""}, "use --out"),
    "out is a jpg": ({"--out": "strip.png.jpg"}, "so end it in that"),
    "out is in a file": ({"--out": "q.png/strip.png"}, "could not write q.png/strip.png"),
    "too many to draw": ({"--out": "x.png", "--top-k": "60"}, "60 results"),  # also of 21
    "unknown option": ({"--topk": "3"}, "--topk"),
    "out is the query": ({"--out": "q.png"}, "q.png is read for this: name another file"),
    "out is the look": ({"--look": "l.png", "--out": "l.png"}, "l.png is read for this"),
    "out is a picture": ({"--catalog": "many", "--out": "many/1.png"}, "is in the catalog many"),
    "out would be one": ({"--catalog": "many", "--out": "many/new/x.png"}, "name a place outside"),
    "out by a link": ({"--catalog": "flat", "--out": "flat/x.png"}, "is in the catalog flat"),
    "an empty catalog option": ({"--catalog=": ""}, "--catalog is empty: give it a value"),
    "an empty colour": ({"--colour=": ""}, "--colour is empty"),
}


def test_each_mistake_is_one_line_and_exit_code_2(work, tmp_path):
    (tmp_path / "flat").symlink_to(work / "flat")
    for name in ("q.png", "l.png"):
        (tmp_path / name).write_bytes(first(work / "flat").read_bytes())
    spoiled(tmp_path)
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
    for name, (_, words) in MISTAKES.items():
        is_one_line(search(*cases[name], cwd=tmp_path, MPLBACKEND="agg"), words)
    assert sorted(tmp_path.iterdir()) == before


def test_a_strip_is_not_drawn_over_weights_nor_where_a_link_goes_round(work, tmp_path):
    save_weights(tmp_path / "w.png", 0)
    before = (tmp_path / "w.png").read_bytes()
    (tmp_path / "round.png").symlink_to("round.png")
    arguments = GOOD | {"--query": str(first(work / "flat")), "--catalog": str(work / "flat")}
    over = arguments | {"--weights": "w.png", "--out": "w.png"}
    is_one_line(search(*_arguments(over), cwd=tmp_path, MPLBACKEND="agg"), "is read for this")
    assert (tmp_path / "w.png").read_bytes() == before
    around = arguments | {"--weights": "w.png", "--out": "round.png"}
    done = search(*_arguments(around), cwd=tmp_path, MPLBACKEND="agg")
    assert "Traceback" not in done.stderr


def is_one_line(done: subprocess.CompletedProcess, words: str) -> None:
    err = done.stderr
    assert (done.returncode, done.stdout) == (2, ""), err
    assert err.startswith("fashionlib: ")
    assert err.count("\n") == 1
    assert err.rstrip("\n").isprintable()
    assert words in err


def spoiled(folder: Path) -> None:
    """`notes.txt` and `cut.jpg`, which are no pictures."""
    (folder / "notes.txt").write_text("not a picture")
    Image.effect_noise((64, 64), 90).save(folder / "whole.jpg")
    (folder / "cut.jpg").write_bytes((folder / "whole.jpg").read_bytes()[:900])


def _arguments(options: dict[str, str]) -> list[str]:
    return [text for option in options.items() for text in option if text]


# The look of another picture, colours and patterns

LOOKS = {"--weights": "looks.safetensors"}


def test_what_is_found_in_the_look_of_another_picture(work):
    files = sorted((work / "clothes").rglob("*.png"))
    query, look = files[2], files[-3]
    encoder, _ = load_encoder(work / "looks.safetensors")
    rows = {file: embed_picture(encoder, Image.open(file)) for file in files}
    index = SearchIndex(torch.stack(list(rows.values())), tuple(map(str, files)), "")
    start = _arguments({"--catalog": "clothes", "--top-k": "21"} | LOOKS)
    wanted = {
        "plain": ([query], rows[query]),
        "look": ([query, "--look", look], encoder.blended(rows[query], rows[look])),
        "weighed": ([query, "--look", look, "--look-weight", "0.35"],
                    encoder.blended(rows[query], rows[look], 0.35)),
        "category alone": ([query, "--look", look, "--look-weight", "0"],
                           encoder.blended(rows[query], rows[query], 0)),
        "look alone": ([query, "--look", look, "--look-weight", "1"],
                       encoder.blended(rows[look], rows[look], 1)),
        "its own look": ([query, "--look-weight", "1"],
                         encoder.blended(rows[query], rows[query], 1)),
    }  # fmt: skip
    cases = {name: [*start, "--query", *map(str, more)] for name, (more, _) in wanted.items()}
    orders = {}
    for name, answer in results(cases, work).items():
        right = index.search(wanted[name][1], len(index))
        orders[name] = [row["file"] for row in answer["results"]]
        assert [str(work / file) for file in orders[name]] == list(right.ids[0]), name
        distances = [row["distance"] for row in answer["results"]]
        assert distances == pytest.approx(right.distances[0].tolist(), abs=1e-4), name
        assert answer["look"] == (str(look) if "--look" in cases[name] else None)
        assert answer["query_category"] == query.parent.name
    assert len({tuple(order) for order in orders.values()}) == len(orders)


def test_a_folder_is_narrowed_as_the_encoder_names_it(work):
    files = sorted((work / "flat").glob("*.png"))
    encoder, _ = load_encoder(work / "looks.safetensors")
    rows = torch.stack([embed_picture(encoder, Image.open(file)) for file in files])
    named = dict(zip(files, encoder.named(rows), strict=True))
    (colour, pattern), query = named[files[0]], str(files[0])
    start = _arguments({"--query": query, "--catalog": "flat", "--top-k": "21"} | LOOKS)
    cases = {
        "colour": [*start, "--colour", colour],
        "pattern": [*start, "--pattern", pattern],
        "both": [*start, "--colour", colour, "--pattern", pattern, "--look-weight", "1"],
        "neither": start,
    }
    absent = next(name for name in encoder.colours if name not in dict(named.values()))
    words = f"no picture in flat has the colour {absent} and the pattern {pattern}."
    is_one_line(search(*start, "--colour", absent, "--pattern", pattern, cwd=work), words)
    found = {name: {row["id"] for row in answer["results"]}
             for name, answer in results(cases, work).items()}  # fmt: skip
    assert found["colour"] == {file.name for file in files if named[file][0] == colour}
    assert found["pattern"] == {file.name for file in files if named[file][1] == pattern}
    assert found["both"] == found["colour"] & found["pattern"]
    assert len(found["neither"]) == len(files) > max(map(len, (found["colour"], found["pattern"])))


def test_the_drawn_garments_are_narrowed_by_their_labels(shared_cache, work):
    narrowed_by_labels("drawn", work)


def test_the_photos_are_narrowed_by_their_labels(photos_here, shared_cache, work):
    narrowed_by_labels("photos", work)


def narrowed_by_labels(name: str, work: Path) -> None:
    train = load_catalog(name, few=True).train
    query, count = str(first(work / "flat")), str(len(train))
    start = _arguments({"--query": query, "--catalog": name, "--top-k": count} | LOOKS)
    cases = {
        "white": [*start, "--colour", "white"],
        "stripes": [*start, "--pattern", "stripes"],
        "both": [*start, "--colour", "white", "--pattern", "stripes"],
    }
    found = {case: {row["id"] for row in answer["results"]} for case, answer in
             results(cases, work, FASHIONLIB_BUDGET="quick").items()}  # fmt: skip
    for key, look in (("colour", "white"), ("pattern", "stripes")):
        labels = zip(train.names, train.attributes[key], strict=True)
        assert found[look] == {name for name, own in labels if own == look}
    assert found["both"] == found["white"] & found["stripes"] != set()


LOOKLESS = "encoder.safetensors knows no looks: train with the objective looks."
NAMES = "the encoder's names are"
LOOK_MISTAKES = {
    "unknown colour": (LOOKS | {"--colour": "mauve"}, f"--colour mauve: {NAMES} black, "),
    "unknown pattern": (LOOKS | {"--pattern": "red"}, f"--pattern red: {NAMES} checks, dots, "),
    "no names": ({"--weights": "nameless.safetensors", "--colour": "white"}, f"{NAMES} none"),
    "no looks for a look": ({"--look": "q.png"}, LOOKLESS),
    "no looks for a weight": ({"--look-weight": "0"}, LOOKLESS),
    "no looks for a colour": ({"--colour": "white"}, LOOKLESS),
    "no looks for a pattern": ({"--pattern": "plain"}, LOOKLESS),
    "look is no image": (LOOKS | {"--look": "notes.txt"}, "notes.txt is not a picture"),
    "truncated look": (LOOKS | {"--look": "cut.jpg"}, "cut.jpg cannot be read"),
    "missing look": (LOOKS | {"--look": "a\x1b[2K\n.png"}, "a?[2K?.png does not exist"),
    "weight above 1": (LOOKS | {"--look-weight": "1.5"}, "--look-weight"),
    "weight below 0": (LOOKS | {"--look-weight": "-0.1"}, "--look-weight"),
}  # fmt: skip


def test_mistakes_about_looks_are_told_before_anything_is_embedded(work, tmp_path):
    spoiled(tmp_path)
    (tmp_path / "flat").symlink_to(work / "flat")
    for name, source in (("q.png", first(work / "flat")), *((n, work / n) for n in WEIGHTS)):
        (tmp_path / name).write_bytes(source.read_bytes())
    save_encoder(
        tmp_path / "nameless.safetensors",
        LookEncoder(MobileNetBackbone("article"), (SEVEN, *NAMELESS)),
    )
    cases = {name: _arguments(GOOD | change) for name, (change, _) in LOOK_MISTAKES.items()}
    for name, (_, words) in LOOK_MISTAKES.items():
        is_one_line(search(*cases[name], cwd=tmp_path), words)
    assert not (Path(os.environ["FASHIONLIB_CACHE"]) / "indexes").exists()


@pytest.mark.parametrize("look", ["colour", "pattern"])
def test_an_empty_name_of_a_look_is_none_of_the_encoders(work, look):
    """Nor where it has none, as it was trained without: all of them were found."""
    asked = {"look": None, "look_weight": None, "colour": None, "pattern": None} | {look: ""}
    nameless = LookEncoder(MobileNetBackbone("article"), (SEVEN, *NAMELESS))
    save_encoder(work / "nameless.safetensors", nameless)
    for name in ("looks", "nameless"):
        weights = work / f"{name}.safetensors"
        complaint(
            lambda weights=weights: run_search(
                first(work / "flat"), 3, str(work / "flat"), weights, **asked,
                as_json=False, show=False, out=None,
            ),
            f"--{look} : {NAMES}",
        )  # fmt: skip


def test_names_are_shown_as_they_are(work, tmp_path):
    """What a terminal would obey, and what a drawing would take for a formula, and a bad one."""
    folder = tmp_path / "clothes" / "$\\no$"
    folder.mkdir(parents=True)
    for name in ("a\x1b[2K\n.png", "$\\frac.png"):
        (folder / name).write_bytes(first(work / "flat").read_bytes())
    options = ["--query", folder / "$\\frac.png", "--catalog", tmp_path / "clothes",
               "--look", folder / "a\x1b[2K\n.png", "--out", "$\x1b.png"]  # fmt: skip
    done = search(*options, "--weights", work / "looks.safetensors", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert {line.rpartition("/")[2] for line in lines[1:]} == {"a?[2K?.png", "$\\frac.png"}
    assert {line.split()[2] for line in lines[1:]} == {"$\\no$"}
    assert "Saved $?.png." in done.stderr
    with Image.open(tmp_path / "$\x1b.png") as strip:
        assert strip.width / strip.height > 3  # four pictures: the query, its look, two results


def test_a_folder_of_the_name_of_a_catalog_is_a_folder(work, tmp_path):
    (tmp_path / "drawn").symlink_to(work / "flat")
    done = search("--query", first(work / "flat"), "--catalog", "./drawn", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Weights encoder_photos: shipped" in done.stderr


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
    options = ["-m", "fashionlib", "search", *options, "--weights", "encoder.safetensors"]
    beside = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])  # the tested tree
    done = python(*options, cwd=work, MPLBACKEND="module://counting", PYTHONPATH=beside)
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


@pytest.mark.parametrize("option", [["--show"], ["--out", "x.png"]])
def test_a_backend_that_does_not_exist(work, option):
    done = search("--query", first(work / "flat"), *option, cwd=work, MPLBACKEND="nonsense")
    is_one_line(done, "unset MPLBACKEND")


# Nothing said about catalog or weights


def test_the_photos_are_searched_where_they_are(photos_here, shared_cache, work):
    options = ["--query", first(work / "clothes" / "dress"), "--weights", "encoder.safetensors"]
    done = search(*options, "--json", cwd=work, FASHIONLIB_BUDGET="full")
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
    assert said[1].startswith("Catalog drawn: 280 train")
    assert said[2] == "there is no network."
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


def test_how_far_the_nearest_is_and_how_far_it_may_be_are_told_apart():
    (line,) = search_command._too_far(0.75, {"distance_limit": 0.5})
    assert re.findall(r"0\.\d+", line) == ["0.750", "0.500"]
    assert line.startswith("Nothing is near: 0.750,")
    assert search_command._too_far(0.75, {}) == []  # nobody has measured how far it may be


def test_another_look_or_a_colour_is_not_expected_to_be_near(work):
    """The limit was measured for pictures as they are, among all."""
    encoder, _ = load_encoder(work / "looks.safetensors")
    save_encoder(work / "limited_looks.safetensors", encoder, distance_limit=-1.0)
    query = first(work / "flat")
    colour, _ = encoder.named(embed_picture(encoder, Image.open(query))[None])[0]
    start = ["--query", query, "--catalog", "flat", "--weights", "limited_looks.safetensors"]
    mores = {"plain": [], "look": ["--look", query], "weight": ["--look-weight", 0.6],
             "colour": ["--colour", colour]}  # fmt: skip
    cases = {name: [*map(str, start), *map(str, more)] for name, more in mores.items()}
    for name, arguments in cases.items():
        done = search(*arguments, cwd=work)
        assert done.returncode == 0, done.stderr
        assert ("Nothing is near" in done.stderr) == (name == "plain"), name


def test_what_cannot_be_told_does_not_cost_the_answer(work):
    """Standard error is full, or nobody reads it; the picture comes through a pipe."""
    command = f"{sys.executable} -m fashionlib search --catalog flat --weights encoder.safetensors"
    for query, errors in (("/dev/stdin", "/dev/full"), ("/proc/self/fd/0", ">(true)")):
        line = f"cat flat/000.png | {command} --json --query {query} 2> {errors}"
        done = subprocess.run(["bash", "-c", line], cwd=work, check=False,
                              capture_output=True, text=True)  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["results"][0]["id"] == "000.png"


def test_a_training_goes_on_where_no_progress_can_be_shown(work, tmp_path):
    command = "train-classifier --epochs 1 --size 32 --plan article --out c.safetensors --data"
    line = f"{sys.executable} -m fashionlib {command} {work}/clothes 2> /dev/full"
    environment = os.environ | {"TQDM_DISABLE": ""}
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, env=environment, check=False,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "c.safetensors").exists()


def test_a_place_in_the_catalog_is_known_by_any_path(tmp_path, monkeypatch):
    for name in ("clothes", "other"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    ways = ("clothes", "other/../clothes/x.png"), (tmp_path / "clothes", "clothes/x.png")
    for catalog, out in ways:
        found = partial(search_command._searched_in, str(catalog), Path(out))
        complaint(found, f"{out} is in the catalog {catalog}")


@pytest.mark.parametrize(("budget", "few"), [("full", False), ("quick", True)])
def test_all_of_a_catalog_is_searched_unless_the_budget_is_quick(monkeypatch, budget, few):
    asked, catalog = [], replace(striped_catalog(4, 4), reason="as asked: why")
    loaded = lambda name, few: asked.append((name, few)) or catalog  # noqa: E731
    monkeypatch.setenv("FASHIONLIB_BUDGET", budget)
    monkeypatch.setattr(search_command, "load_catalog", loaded)
    source, lines = search_command._searched_in("drawn", None)
    assert asked == [("drawn", few)]
    assert list(source.stamps) == list(catalog.train.names)
    assert lines == [catalog.about, "why"]


def test_a_query_has_the_category_of_its_folder_by_any_path(work, monkeypatch):
    source = folder_source(work / "clothes")
    monkeypatch.chdir(work / "clothes" / "dress")
    query = first(Path())
    for path in (query, Path("..", "dress", query), query.resolve()):
        assert search_command._category_of_query(path, source) == "dress"
    monkeypatch.chdir(work)
    assert search_command._category_of_query(Path("flat", query), source) is None


def test_a_table_has_a_place_for_categories_where_only_some_are_known(capsys):
    dress = {"rank": 1, "distance": 0.25, "category": "dress", "file": "dress/a.png"}
    loose = {"rank": 10, "distance": 1, "category": None, "file": None, "id": "b.png"}
    search_command._print_table([dress, loose])
    assert capsys.readouterr().out.splitlines() == [
        "rank  distance  category  file",
        "   1     0.250  dress     dress/a.png",
        "  10     1.000            b.png",
    ]


def test_new_pictures_and_those_that_are_gone_are_told_apart():
    refreshed = Refreshed(SearchIndex(torch.eye(4), tuple("abcd"), ""), 3, 2, ())
    (line,) = search_command._describe_refresh("clothes", refreshed)
    assert line == "Index of clothes: 4 pictures, 3 of them embedded now, 2 removed."


def test_of_many_broken_pictures_ten_are_named_and_the_others_counted():
    reasons = [f"{n}.jpg is broken" for n in range(2010)]
    assert search_command.skipped_lines(reasons[:10]) == [
        f"Skipped: {line}" for line in reasons[:10]
    ]
    lines = search_command.skipped_lines(reasons)
    assert len(lines) == 11
    assert lines[-1] == "Skipped: 2,000 more."


def test_what_is_drawn_is_what_was_found(work, monkeypatch):
    """Each with its frame, also where the nearest is of another category, or none is known."""
    monkeypatch.setattr("fashionlib.pages.result_strips.result_strip", lambda *given: given)
    source, query, lends = folder_source(work / "clothes"), *noise(2)
    names = [f"{folder}/{first(work / 'clothes' / folder).name}" for folder in ("shoes", "dress")]
    for category, right in (("dress", [False, True]), (None, None)):
        found = Results(torch.tensor([[0.25, 0.5]]), (tuple(names),))
        rows = search_command._result_rows(found, source, category)
        drawn = search_command._draw(query, lends, rows, source)
        assert drawn[0] is query
        assert torch.equal(drawn[1], torch.stack([source.read(name) for name in names]))
        assert drawn[2:5] == ([0.25, 0.5], right, ["shoes", "dress"])
        assert drawn[5] is lends
