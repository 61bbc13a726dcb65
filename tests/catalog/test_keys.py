"""What decoded arrays, an index and a shard are known by: each ingredient varied alone."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from tiny import striped_catalog, tiny_encoder

from fashionlib import drawn, weights
from fashionlib.catalog import SEVEN, Catalog, cache, load_catalog, loading
from fashionlib.catalog.folder_layout import stamp
from fashionlib.running.shards import Shard

Key = tuple[str, str]


@pytest.fixture
def keys(monkeypatch) -> Iterator[list[Key]]:
    """Group and content that each catalog is looked up by; nothing is decoded or drawn."""
    asked: list[Key] = []
    catalog = striped_catalog(4, 2)

    def look_up(group: str, content: str, *_: object) -> Catalog:
        asked.append((group, content))
        return catalog

    for module in (loading, cache):  # which has what decodes through it
        monkeypatch.setattr(module, "through_cache", look_up)
    return asked


def loaded(keys: list[Key], **options: object) -> Key:
    load_catalog(**options)
    return keys[-1]


@pytest.fixture
def photos(monkeypatch, tmp_path) -> None:
    """As if they were here."""
    monkeypatch.setattr(loading, "ensure_photos", lambda: tmp_path)


@pytest.fixture
def folder(tmp_path) -> Path:
    for label in ("a", "b", "c"):
        (tmp_path / "mine" / label).mkdir(parents=True)
        for n in range(3):
            Image.new("RGB", (4, 4), (n, 0, 0)).save(tmp_path / "mine" / label / f"{n}.png")
    return tmp_path / "mine"


@pytest.mark.parametrize("source", ["photos", "drawn", "folder"])
@pytest.mark.usefixtures("photos")
def test_size_classes_and_how_pictures_are_prepared_are_in_the_key(
    keys, monkeypatch, folder, source
):
    what = {"source": folder if source == "folder" else source}
    classes = ("a", "b") if source == "folder" else SEVEN[:3]
    first = loaded(keys, **what)
    assert loaded(keys, **what) == first
    different = [first, loaded(keys, **what, size=32), loaded(keys, **what, classes=classes)]
    different.append(loaded(keys, **what, classes=classes[::-1]))
    groups = {group for group, _ in different}
    assert len(groups) == 4  # each has arrays of its own: loading one does not remove another
    for name in ("PREPROCESSING", "LAYOUT"):
        with monkeypatch.context() as patch:
            patch.setattr(cache, name, getattr(cache, name) + 1)
            different.append(loaded(keys, **what))
    assert len(set(different)) == 6


@pytest.mark.parametrize("source", ["photos", "drawn"])
@pytest.mark.usefixtures("photos")
def test_few_pictures_have_a_key_of_their_own(keys, monkeypatch, source):
    """By how few they are: they may be other ones in another version of the library."""
    groups = {loaded(keys, source=source, few=few)[0] for few in (True, False)}
    monkeypatch.setattr(loading, "EVERY", 9)
    monkeypatch.setattr(loading, "FEW", (9, 9, 9))
    groups.add(loaded(keys, source=source, few=True)[0])
    assert len(groups) == 3


@pytest.mark.usefixtures("photos")
def test_another_manifest_is_another_key(keys, monkeypatch):
    first = loaded(keys, source="photos")
    monkeypatch.setattr(loading, "manifest_hash", lambda: "0" * 64)
    assert loaded(keys, source="photos") != first


def test_seeds_and_code_of_the_drawn_catalog_are_in_its_key(keys, monkeypatch, tmp_path):
    first = loaded(keys, source="drawn")
    for split in ("train", "validation", "test"):
        with monkeypatch.context() as patch:
            patch.setitem(loading.SEEDS, split, 9)
            assert loaded(keys, source="drawn") != first
    before = Path(drawn.__file__).parent
    for name in loading.DRAWING:
        (tmp_path / f"{name}.py").write_bytes((before / f"{name}.py").read_bytes())
    monkeypatch.setattr(loading, "drawing", SimpleNamespace(__file__=str(tmp_path / "x.py")))
    assert loaded(keys, source="drawn") == first
    for name in loading.DRAWING:
        content = (tmp_path / f"{name}.py").read_bytes()
        (tmp_path / f"{name}.py").write_bytes(content + b"#")
        assert loaded(keys, source="drawn") != first, name
        (tmp_path / f"{name}.py").write_bytes(content)


def test_each_split_is_drawn_from_a_seed_of_its_own(monkeypatch):
    """A few, drawn here: no garment is in two splits."""
    monkeypatch.setattr(loading, "through_cache", lambda *arguments: arguments[3]())
    monkeypatch.setattr(loading, "FEW", (7, 7, 7))
    catalog = load_catalog("drawn", size=32, few=True)
    seeds = {
        name: {catalog.garments[picture].seed for picture in split.names}
        for name, split in catalog.splits.items()
    }
    assert sum(map(len, seeds.values())) == len(set.union(*seeds.values())) == 21


def test_a_folders_key_follows_its_files(keys, folder, tmp_path):
    """Their names, sizes and times; and the folder itself."""
    different = [loaded(keys, source=folder)]
    path = folder / "a" / "0.png"
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    different.append(loaded(keys, source=folder))
    with path.open("ab") as file:
        file.write(b" ")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    different.append(loaded(keys, source=folder))
    path.rename(folder / "a" / "9.png")
    different.append(loaded(keys, source=folder))
    folder.rename(tmp_path / "moved")
    different.append(loaded(keys, source=tmp_path / "moved"))
    assert len(set(different)) == 5
    assert len({group for group, _ in different}) == 2


def test_a_stamp_is_size_and_time(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"123")
    os.utime(path, ns=(5, 7))
    assert stamp(path) == [3, 7, path.stat().st_ctime_ns]
    (tmp_path / "link").symlink_to(path)
    assert stamp(tmp_path / "link") == stamp(path)
    (tmp_path / "lost").symlink_to(tmp_path / "none")
    assert stamp(tmp_path / "none") == stamp(tmp_path / "lost") == [0, 0, 0]


def test_files_that_change_places_or_keep_their_time_are_noticed(keys, folder):
    """As an archive unpacks them: of one size, and of one time."""
    paths = [folder / label / "0.png" for label in "ab"]
    for path in paths:
        path.write_bytes(b"123")
        os.utime(path, ns=(5, 7))
    different = [loaded(keys, source=folder)]
    for change in (lambda: paths[0].rename(folder / "c" / "0.png"),
                   lambda: paths[1].rename(paths[0]),
                   lambda: (folder / "c" / "0.png").rename(paths[1])):  # fmt: skip
        change()
    different.append(loaded(keys, source=folder))
    paths[0].write_bytes(b"321")
    os.utime(paths[0], ns=(5, 7))
    different.append(loaded(keys, source=folder))
    assert len(set(different)) == 3


def test_a_shard_says_folder_weights_and_each_of_its_files(tmp_path):
    shard = Shard(tmp_path / "s", [("a", [1, 2]), ("b", [3, 4])], tmp_path, tmp_path / "w", "me", 8)
    others = [
        replace(shard, root=tmp_path / "other"),
        replace(shard, made_by="you"),
        replace(shard, files=[("a", [1, 2])]),
        replace(shard, files=[("a", [1, 2]), ("c", [3, 4])]),
        replace(shard, files=[("a", [1, 2]), ("b", [3, 5])]),
        replace(shard, files=shard.files[::-1]),
    ]
    told = [repr(sorted(one.describe().items())) for one in (shard, *others)]
    assert len(set(told)) == len(told)
    assert shard.describe() == replace(shard, path=tmp_path / "t").describe()


@pytest.mark.parametrize("part", ["weights", "statistics", "size", "version"])
def test_each_ingredient_of_a_fingerprint(monkeypatch, part):
    encoder = tiny_encoder()
    before = weights.fingerprint(encoder)
    with torch.no_grad():
        if part == "weights":
            encoder.head.linear.bias[0] += 1e-3
        elif part == "statistics":
            encoder.backbone.blocks[1].filter[1].running_var[0] += 1e-3
    if part == "size":
        encoder.preparation = replace(encoder.preparation, size=33)
    if part == "version":
        monkeypatch.setattr(weights, "PREPROCESSING", 99)
    assert weights.fingerprint(encoder) != before


def test_a_photos_colour_and_pattern_each_come_from_their_own_column():
    """By name of the photo; blank where nobody has labelled it."""
    split = striped_catalog(3, 2).train
    looks = {"0": {"colour": "navy", "pattern": "dots"}, "2": {"colour": "red", "pattern": "plain"}}
    found = loading._with(looks, split)
    assert found.attributes == {"colour": ("navy", "", "red"), "pattern": ("dots", "", "plain")}
    assert torch.equal(found.images, split.images)
