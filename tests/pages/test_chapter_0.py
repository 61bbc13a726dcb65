"""Chapter 0 counts the pictures of each split under its own name."""

import torch
from chapter_cells import cells_of, code_of, the_one_with

from fashionlib.catalog import Catalog, Split

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
