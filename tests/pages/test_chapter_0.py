"""Chapter 0 counts the pictures of each split under its own name."""

from types import SimpleNamespace

import pytest
import torch
from chapter_cells import cells_of, code_of, grid, shown_by, the_one_with

from fashionlib import inference, search, weights
from fashionlib.catalog import Catalog, Split
from fashionlib.pages import diagrams, plots
from fashionlib.pages.result_strips import result_strip_alt
from fashionlib.search import SearchIndex

CODE = code_of(cells_of("00_two_catalogs"))


def split(*labels: int) -> Split:
    names = tuple(map(str, range(len(labels))))
    return Split(torch.zeros(len(labels), 3, 1, 1), torch.tensor(labels), names)


def test_the_share_of_test_is_that_of_test():
    """Of the hats: three of four, one of two, one of five."""
    few = Catalog("few", ("hat", "shoes"), split(0, 0, 0, 1), split(0, 1), split(0, 1, 1, 1, 1))
    tables = []
    space = {"photos": None, "drawn": few, "table": lambda *given: tables.append(given)}
    exec(the_one_with('"share of train", "share of test"', CODE), space)
    ((header, rows),) = tables
    assert header == ["few", "train", "validation", "test", "share of train", "share of test"]
    assert rows == [
        ["hat", 3, 1, 1, "75%", "20%"],
        ["shoes", 1, 1, 4, "25%", "80%"],
        ["all", 4, 2, 5, "", ""],
    ]


def test_the_first_search_is_for_the_second_test_picture(monkeypatch):
    made = []
    monkeypatch.setattr(search, "build_index", lambda *given: made.append(given) or SearchIndex(
        torch.arange(8.0)[:, None], tuple("abcdefgh"), ""))  # fmt: skip
    monkeypatch.setattr(search, "embed_picture", lambda encoder, picture: picture.flatten())
    monkeypatch.setattr(weights, "load_encoder", lambda path: (f"from {path}", None))
    monkeypatch.setattr(weights, "shipped", str)
    catalog = SimpleNamespace(
        name="drawn", train=SimpleNamespace(images="pictures", names="names"),
        test=SimpleNamespace(images=torch.tensor([[0.0], [7.0]])),
    )  # fmt: skip
    found = shown_by(the_one_with("print(*results.ids[0]", CODE), catalog=catalog)
    assert made == [("from encoder_drawn", "pictures", "names")]
    assert found.printed == ["h\ng\nf\ne\nd"]


def test_both_heads_answer_for_the_query(monkeypatch):
    """Probabilities of a tenth, three tenths and six tenths."""
    logits = torch.tensor([[1.0, 3.0, 6.0]]).log()
    monkeypatch.setattr(inference, "predict", lambda classifier, pictures: logits)
    monkeypatch.setattr(weights, "load_classifier", lambda path: (path, None))
    found = shown_by(
        the_one_with("from the origin", CODE), shipped=str, query=torch.zeros(1), encoder=None,
        catalog=SimpleNamespace(name="few", classes=("hat", "shoes", "skirt")),
        embed_picture=lambda *_: torch.tensor([3.0, 4.0]),
    )  # fmt: skip
    assert [line.split() for line in found.printed[:2]] == [["skirt:", "0.60"], ["shoes:", "0.30"]]
    assert found.space["classifier"] == "classifier_few"
    assert found.printed[2] == "a point of 2 numbers, at distance 5.00 from the origin"


@pytest.mark.parametrize("name", ["photos", "drawn"])
def test_photos_are_shown_where_they_are_here(name):
    sheets, catalog = [], SimpleNamespace(name=name)
    cell = the_one_with("photos = catalog if", CODE)
    found = shown_by(cell, catalog=catalog, contact_sheet=sheets.append)
    assert found.space["photos"] is (catalog if name == "photos" else None)
    assert (len(sheets), len(found.said)) == ((1, 0) if name == "photos" else (0, 1))


def test_results_are_marked_by_the_class_of_the_query():
    """The second test picture is of shoes, the second training picture of a hat."""
    catalog = Catalog("few", ("hat", "shoes"), split(0, 0, 0, 1, 1, 1), split(), split(0, 1))
    index = SearchIndex(torch.arange(6.0)[:, None], catalog.train.names, "")
    shown = []
    space = {
        "catalog": catalog, "index": index, "encoder": None,
        "embed_picture": lambda encoder, picture: torch.tensor([6.0]),
        "result_strip": lambda *_: None, "result_strip_alt": result_strip_alt,
        "show": lambda figure, **words: shown.append(words),
    }  # fmt: skip
    exec("".join(the_one_with("def show_search", CODE).partition("def show_search")[1:]), space)
    (words,) = shown
    assert "of the class shoes. Of its 5 nearest among 6, 3 are." in words["caption"]
    assert ", 3 of 5 right: 1. shoes at 1.000, right; " in words["alt"]
    assert words["alt"].endswith("; 5. hat at 5.000, wrong.")


def test_above_a_drawn_garment_stand_its_own_class_and_looks():
    looks = {"colour": [f"colour {n}" for n in range(12)], "pattern": [f"p{n}" for n in range(12)]}
    others = {key: values[::-1] for key, values in looks.items()}
    train, validation = (
        SimpleNamespace(images=images, labels=images % 2, attributes=attributes)
        for images, attributes in ((torch.arange(12), looks), (torch.arange(12) + 1, others))
    )
    drawn = SimpleNamespace(classes=("hat", "shoes"), train=train, validation=validation)
    cell = the_one_with("Twelve drawn garments: ", CODE)
    found = shown_by(cell, drawn=drawn, picture_grid=grid)
    (figure,), (alt,) = found.figures, found.alts
    assert figure.images == list(range(12))
    assert [figure.titles[0], figure.titles[11]] == [
        "hat\ncolour 0, p0", "shoes\ncolour 11, p11",
    ]  # fmt: skip
    assert alt.startswith("Twelve drawn garments: hat, colour 0, p0; shoes, colour 1, p1; ")


def test_a_contact_sheet_has_a_row_of_each_class(monkeypatch):
    monkeypatch.setattr(plots, "picture_grid", grid)
    found = shown_by(the_one_with("def contact_sheet", CODE))
    train = SimpleNamespace(images=torch.arange(6), labels=torch.tensor([1, 0, 1, 0, 1, 0]))
    catalog = SimpleNamespace(name="few", classes=("hat", "shoes"), train=train)
    found.space["contact_sheet"](catalog, across=2)
    ((figure,), (caption,)) = found.figures, found.captions
    assert (figure.images, figure.columns) == ([1, 3, 0, 2], 2)
    assert found.alts == ["A contact sheet of the few catalog, one class a row: hat, shoes."]
    assert caption == "The few catalog. Rows from top to bottom: hat, shoes."


def test_the_two_heads_are_drawn_over_the_query(monkeypatch):
    monkeypatch.setattr(diagrams, "two_heads", lambda picture: picture)
    cell = the_one_with("One backbone, two heads. The search", CODE)
    assert shown_by(cell, query="the query").figures == ["the query"]


def test_drawn_garments_are_shown_whatever_the_catalog_is():
    sheets = []
    found = shown_by(
        the_one_with("contact_sheet(drawn)", CODE), contact_sheet=sheets.append,
        budget=lambda full, quick: full, load_catalog=lambda name, few: (name, few),
    )  # fmt: skip
    assert sheets == [found.space["drawn"]] == [("drawn", False)]
