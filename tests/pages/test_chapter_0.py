"""Chapter 0 counts the pictures of each split under its own name."""

import torch
from chapter_cells import cells_of, code_of, the_one_with

from fashionlib.catalog import Catalog, Split
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
    assert header[1:] == ["train", "validation", "test", "share of train", "share of test"]
    assert rows == [
        ["hat", 3, 1, 1, "75%", "20%"],
        ["shoes", 1, 1, 4, "25%", "80%"],
        ["all", 4, 2, 5, "", ""],
    ]


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
