"""Who sent what is taken from the list as it is, photo by photo."""

from pathlib import PurePosixPath

import senders

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


def test_what_is_recorded_is_of_all_the_photos(photos_here):
    stored, catalog = recorded("senders"), load_catalog("photos")
    assert sum(stored["train"].values()) == len(catalog.train)
    for name in ("validation", "test"):
        assert set(stored[name]) == set(catalog.splits[name].names)
    assert senders.COMMIT in stored["list"]
    children = stored["for children"]
    assert set(children) == {"train", "validation", "test"}
    assert all(0 <= count <= len(catalog.splits[name]) for name, count in children.items())
