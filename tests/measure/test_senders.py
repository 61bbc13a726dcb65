"""Who sent what is taken from the list as it is, photo by photo."""

import sys
from pathlib import PurePosixPath

import senders
from tiny import striped_catalog
from written import written_by

from fashionlib.catalog import load_catalog
from fashionlib.catalog.photos import read_manifest
from fashionlib.pages.recorded_results import recorded


def test_each_photo_of_the_manifest_has_its_row_of_the_list(tmp_path):
    names = sorted(read_manifest())
    lines = ["image,sender_id,label,kids", "another,99,Hat,True"]
    lines += [f"{PurePosixPath(name).stem},{n},Hat,False" for n, name in enumerate(names)]
    listing = tmp_path / "images.csv"
    listing.write_text("\n".join([lines[0], *reversed(lines[1:])]))
    found = senders.read_list(listing)
    assert {name: int(row["sender_id"]) for name, row in found.items()} == {
        name: n for n, name in enumerate(names)
    }


def test_photos_for_children_are_those_that_the_list_calls_so(monkeypatch):
    """Of 8, 4 and 10 pictures, whose names are 0, 1 and so on; who sent most comes first."""
    rows = {
        str(n): {"sender_id": str((n + 1) // 3), "kids": str(n in (2, 5, 9))} for n in range(10)
    }
    written = written_by(senders, monkeypatch)
    monkeypatch.setattr(sys, "argv", ["senders.py", "images.csv"])
    monkeypatch.setattr(senders, "read_list", lambda _: rows)
    monkeypatch.setattr(senders, "load_catalog", lambda name: striped_catalog(8, 4, name))
    senders.main()
    assert written[0]["for children"] == {"train": 2, "validation": 1, "test": 3}
    assert list(written[0]["train"].items()) == [("1", 3), ("2", 3), ("0", 2)]
    assert written[0]["validation"] == {"0": "0", "1": "0", "2": "1", "3": "1"}
    senders_of_all = [0, 0, 1, 1, 1, 2, 2, 2, 3, 3]
    assert list(map(int, written[0]["test"].values())) == senders_of_all
    assert written[0]["photos"] == senders_of_all


def test_what_is_recorded_is_of_all_the_photos(photos_here):
    stored, catalog = recorded("senders"), load_catalog("photos")
    assert sum(stored["train"].values()) == len(catalog.train)
    for name in ("validation", "test"):
        assert set(stored[name]) == set(catalog.splits[name].names)
    assert senders.COMMIT in stored["list"]
    children = stored["for children"]
    assert set(children) == {"train", "validation", "test"}
    assert all(0 <= count <= len(catalog.splits[name]) for name, count in children.items())
