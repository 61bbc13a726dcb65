"""The front page opens with a search that our encoder made, and with what surprised us."""

import base64
import io
import re
from dataclasses import replace
from types import SimpleNamespace

import front_page
import numpy as np
import pytest
import readme_picture
import torch
from chapters import ROOT
from PIL import Image

from fashionlib.catalog import load_catalog
from fashionlib.inference import predict
from fashionlib.search import build_index
from fashionlib.weights import load_encoder, shipped

INDEX = (ROOT / "book" / "index.md").read_text()


@pytest.fixture(scope="module")
def few():
    """A few drawn garments: forty to search in, and all test pictures."""
    catalog = load_catalog("drawn", few=True)
    return replace(catalog, train=catalog.train.at(torch.arange(40)))


@pytest.fixture(scope="module")
def made(few) -> str:
    return front_page.made(few)


def test_the_search_stands_before_the_first_section():
    assert 0 < INDEX.index(front_page.MARK) < INDEX.index("{button-ref} try_it")
    assert INDEX.index("{button-ref} try_it") < INDEX.index("```{glue} surprises")
    assert INDEX.index("```{glue} surprises") < INDEX.index("{grid-item-card}")


def test_it_takes_the_place_of_its_mark(monkeypatch):
    monkeypatch.setattr(front_page, "first_search", lambda: "<figure>")
    source, other = [f"# A\n\n{front_page.MARK}\n"], [front_page.MARK]
    front_page.fill(None, "index", source)
    front_page.fill(None, "other", other)
    assert source == ["# A\n\n<figure>\n"]
    assert other == [front_page.MARK]
    assert "\n\n" not in front_page.FIGURE.template  # an empty line would end the HTML


def test_a_query_and_its_five_results_with_words(few, made):
    assert made.count("<li ") == 6
    alts = re.findall(r'alt="([^"]+)"', made)
    assert alts[0] == "the query: dress"
    assert [alt.partition(":")[0] for alt in alts[1:]] == [f"result {n}" for n in range(1, 6)]
    right = sum(alt.endswith(": dress") for alt in alts[1:])
    assert f"the 5 nearest of 40 drawn garments: {right} of 5 are dresses" in made
    queries = int((few.test.labels == few.classes.index("dress")).sum())
    assert f"Of the {queries} dresses kept for testing, this one has the nearest results." in made
    below = re.findall(r"<span>(.+?)</span>", made)
    assert below == ["query", *(alt.removeprefix("result ").replace(":", ".") for alt in alts[1:])]


def test_the_results_are_those_of_the_encoder_for_its_nearest_query(few, made):
    encoder, _ = load_encoder(shipped("encoder_drawn"))
    index = build_index(encoder, few.train.images, few.train.names)
    own = (few.test.labels == few.classes.index("dress")).nonzero()[:, 0]
    results = index.search(predict(encoder, few.test.images[own]), 5)
    best = min(range(len(own)), key=lambda n: float(results.distances[n].mean()))
    wanted = [few.test.images[own[best]], *few.train.images[results.positions[best]]]
    for data, picture in zip(re.findall(r"base64,([^\"]+)", made), wanted, strict=True):
        shown = Image.open(io.BytesIO(base64.b64decode(data)))
        assert shown.size == (160, 160)
        small = np.asarray(shown.resize((8, 8)), dtype=float)
        same = Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy()).resize((8, 8))
        assert np.abs(small - np.asarray(same, dtype=float)).mean() < 5


def test_a_book_without_photos_says_so_once_and_shortly(few, made):
    line = "This copy of the book was made without the photos."
    assert made.count(line) == 1
    assert "http" not in made
    assert line not in front_page.about(replace(few, name="photos"), 40, 20, ["dress"] * 5)


def test_it_is_kept_until_the_catalog_or_the_library_changes(tmp_path, monkeypatch, few):
    calls = []
    monkeypatch.setattr(front_page, "BOOK_CACHE", tmp_path / "cache")
    monkeypatch.setattr(front_page, "made", lambda catalog: calls.append(catalog) or "<figure>")
    fewer = replace(few, test=few.test.at(torch.arange(20)))  # other queries to choose from
    for catalog in (few, few, fewer, replace(few, name="photos")):
        monkeypatch.setattr(front_page, "load_catalog", lambda *_, found=catalog, **__: found)
        assert front_page.first_search() == "<figure>"
    assert [catalog.name for catalog in calls] == ["drawn", "drawn", "photos"]
    monkeypatch.setattr(front_page, "library_hash", lambda text: "another")
    front_page.first_search()
    assert len(calls) == 4


def test_the_readme_opens_with_a_searched_strip():
    text = (ROOT / "README.md").read_text()
    [path] = re.findall(r"!\[[^\]]{30,}\]\((.+?)\)", text.partition("\n## ")[0])
    picture = ROOT / path
    assert picture.stat().st_size < 100_000
    width, height = Image.open(picture).size
    assert width > 5 * 140
    assert height > 140


def test_the_icon_is_a_picture_of_our_own():
    settings = (ROOT / "book" / "conf.py").read_text()
    for path in set(re.findall(r'"(_static/\w+\.svg)"', settings)):
        text = (ROOT / "book" / path).read_text()
        assert text.startswith("<svg ")
        assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert 'html_favicon = "_static/icon.svg"' in settings


def test_each_build_reads_the_front_page():
    """Its text stays the same when the encoder changes."""
    env = SimpleNamespace(found_docs={"index", "other"})
    assert front_page.outdated(None, env) == ["index"]
    assert front_page.outdated(None, SimpleNamespace(found_docs={"other"})) == []


def test_the_picture_of_the_readme_shows_a_query_and_what_was_found_in_the_catalog(
    tmp_path, monkeypatch
):
    """Test pictures are nearly black, training pictures nearly white: a row for each query."""

    def split(shade: int, labels: torch.Tensor) -> SimpleNamespace:
        images = torch.full((len(labels), 3, 8, 8), shade, dtype=torch.uint8)
        return SimpleNamespace(images=images, labels=labels, names=())

    asked = []
    classes = ("dress", "hat", "longsleeve", "shorts")
    catalog = SimpleNamespace(
        classes=classes,
        train=split(230, torch.arange(9) % 4),
        test=split(20, torch.arange(8).flip(0) % 4),
    )
    catalog.test.images += torch.arange(8, dtype=torch.uint8)[:, None, None, None]

    def search(queries: torch.Tensor, k: int) -> SimpleNamespace:
        asked.append((queries[:, 0, 0, 0].tolist(), k))
        return SimpleNamespace(positions=torch.zeros(3, k, dtype=torch.int64))

    monkeypatch.setattr(readme_picture, "load_catalog", lambda *_, **__: catalog)
    monkeypatch.setattr(readme_picture, "load_encoder", lambda _: (None, None))
    monkeypatch.setattr(readme_picture, "build_index", lambda *_: SimpleNamespace(search=search))
    monkeypatch.setattr(readme_picture, "predict", lambda _, images: images)
    monkeypatch.setattr(readme_picture, "TARGET", tmp_path / "searched.jpg")
    readme_picture.main()
    assert asked == [([23, 21, 20], 5)]  # the first dress, longsleeve and pair of shorts
    sheet = np.asarray(Image.open(tmp_path / "searched.jpg").convert("L"), dtype=int)
    places = range(70, sheet.shape[1], 146)
    for row in range(3):
        query, *results = (sheet[70 + 146 * row, place + 18 * (place > 70)] for place in places)
        assert abs(query - 22) < 6
        assert len(results) == 5
        assert max(abs(result - 230) for result in results) < 6
