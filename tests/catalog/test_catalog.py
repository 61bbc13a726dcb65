"""Catalogs: the photos, the drawn garments, and folders of every shape, whole and broken."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from complaints import complaint
from PIL import Image, JpegImagePlugin
from tiny import drawn_split, tiny_catalog

from fashionlib import drawn, files
from fashionlib.catalog import (
    SEVEN,
    SPLITS,
    Catalog,
    Split,
    cache,
    folder_layout,
    load_catalog,
    loading,
)
from fashionlib.catalog.contents import labels_of
from fashionlib.catalog.photos import PHOTO_CLASSES, read_manifest
from fashionlib.catalog.pictures import read_picture, to_square
from fashionlib.errors import FashionError


@pytest.fixture
def own_cache(tmp_path_factory, monkeypatch) -> Path:
    """An empty cache for one test."""
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("FASHIONLIB_CACHE", str(cache))
    return cache


def save_picture(path: Path, seed: int | None = None) -> Path:
    """A small picture; the same path or the same seed gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(list(str(path).encode()) if seed is None else seed)
    Image.fromarray(rng.integers(0, 256, (12, 10, 3), np.uint8)).save(path)
    return path


def class_folders(root: Path, count: int = 10, classes: tuple[str, ...] = ("dress", "hat")) -> Path:
    for label in classes:
        for n in range(count):
            save_picture(root / label / f"{n:02d}.png")
    return root


def split_folders(root: Path, names: tuple[str, ...] = SPLITS) -> Path:
    for name in names:
        class_folders(root / name, 3)
    return root


def load(root: Path, **options) -> Catalog:
    return load_catalog(root, size=8, **options)


def counts(catalog: Catalog) -> list[int]:
    return [len(getattr(catalog, split)) for split in SPLITS]


def splits(catalog: Catalog) -> dict[str, Split]:
    return {split: getattr(catalog, split) for split in SPLITS}


def where(catalog: Catalog) -> dict[str, str]:
    return {name: split for split, part in splits(catalog).items() for name in part.names}


def place_of(name: str) -> float:
    """From 0 to 1, by the hash of a file's name: this decides its split."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) / 2**256


def check_consistent(catalog: Catalog, size: int) -> None:
    for split in splits(catalog).values():
        assert split.images.dtype == torch.uint8
        assert split.images.shape == (len(split), 3, size, size)
        assert split.labels.dtype == torch.int64
        assert split.labels.shape == (len(split),)
        for name, label in zip(split.names, split.labels.tolist(), strict=True):
            assert f"{catalog.classes[label]}/" in name
    assert len(where(catalog)) == sum(counts(catalog))  # no name twice


# The photos


def test_photos(photos_here):
    catalog = load_catalog("photos")
    assert catalog.name == "photos"
    assert catalog.classes == SEVEN
    assert counts(catalog) == [2482, 276, 296]
    assert catalog.train.labels.bincount().tolist() == [241, 123, 455, 468, 198, 202, 795]
    assert catalog.skipped == ()
    check_consistent(catalog, 160)
    assert catalog.about == (
        "Catalog photos: 2,482 train, 276 validation, 296 test pictures in 7 classes, as asked."
    )
    assert load_catalog().about == catalog.about.replace("as asked", "since the photos are here")


def test_few_photos_are_every_eighth(photos_here):
    few, all_of_them = load_catalog("photos", few=True), load_catalog("photos")
    assert counts(few) == [310, 34, 38]
    check_consistent(few, 160)
    for part, whole in zip(splits(few).values(), splits(all_of_them).values(), strict=True):
        places = [whole.names.index(name) for name in part.names]
        assert torch.equal(part.images, whole.images[places])
        assert part.attributes["colour"] == tuple(whole.attributes["colour"][n] for n in places)


def test_photo_splits_share_no_file(photos_here):
    assert load_catalog("photos").duplicates == ()
    hashes = {split: set() for split in SPLITS}
    for name, digest in read_manifest().items():
        hashes[name.split("/")[0]].add(digest)
    assert sum(map(len, hashes.values())) == len(set.union(*hashes.values())) == 3781


def test_photos_are_decoded_as_a_query_would_be(photos_here):
    catalog = load_catalog("photos")
    for split in splits(catalog).values():
        picture = catalog.open(split.names[-1])
        assert picture.width == 400  # the original, not the square
        assert (to_square(picture, 160) == split.images[-1].numpy()).all()


@pytest.mark.clock
def test_second_load_is_quick(photos_here):
    load_catalog("photos")
    started = time.process_time()  # what else runs does not count
    load_catalog()
    assert time.process_time() - started < 1


def test_all_ten_photo_classes(photos_here, own_cache):
    catalog = load_catalog("photos", size=16, classes=PHOTO_CLASSES)
    assert counts(catalog) == [3068, 341, 372]
    assert catalog.classes == PHOTO_CLASSES
    complaint(lambda: load_catalog("photos", classes=("dress", "sock")), "'sock'")


def test_no_network_gives_the_drawn_garments_and_says_so(private_cache, own_cache, monkeypatch):
    arrays = Path(private_cache, "arrays")
    arrays.mkdir(parents=True, exist_ok=True)
    (own_cache / "arrays").symlink_to(arrays)  # so that they are drawn once for all tests
    monkeypatch.delenv("FASHIONLIB_DATA", raising=False)
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens there
    catalog = load_catalog(few=True)
    assert catalog.name == "drawn"
    assert "drawn: 280 train, 70 validation, 70 test" in catalog.about
    assert catalog.about.endswith("in 7 classes, since there are no photos.")
    assert "no connection" in catalog.reason
    assert catalog.hint.startswith("could not download the photos from https://")
    assert catalog.hint.endswith('or use load_catalog("drawn").')  # it is a line of its own
    complaint(lambda: load_catalog("photos"), "could not download", "FASHIONLIB_DATA")


def test_photos_from_an_archive_that_is_not_one(own_cache, tmp_path, monkeypatch):
    (tmp_path / "clothing-dataset-small.zip").write_text("not a zip")
    monkeypatch.setenv("FASHIONLIB_DATA", str(tmp_path))
    complaint(lambda: load_catalog("photos"), tmp_path / "clothing-dataset-small.zip")


# The drawn garments


def test_drawn():
    catalog = load_catalog("drawn", few=True)
    assert counts(catalog) == [280, 70, 70]
    assert catalog.classes == SEVEN
    check_consistent(catalog, 160)
    assert "drawn: 280 train" in catalog.about
    for split in splits(catalog).values():
        looks = {"kind", "colour", "pattern", "sleeve", "length", "display", "backdrop"}
        assert split.attributes.keys() == looks
        for look, values in split.attributes.items():
            assert values == tuple(getattr(catalog.garments[name], look) for name in split.names)
    assert set(catalog.train.attributes["colour"]) == set(drawn.COLOURS)


def test_few_or_many_whatever_the_budget(own_cache, monkeypatch):
    monkeypatch.setattr(loading, "MANY", (14, 9, 7))
    monkeypatch.setattr(loading, "FEW", (7, 7, 7))
    for setting in ("full", "quick"):
        monkeypatch.setenv("FASHIONLIB_BUDGET", setting)
        assert counts(load_catalog("drawn", size=32)) == [14, 9, 7]
        assert counts(load_catalog("drawn", size=32, few=True)) == [7, 7, 7]


def test_loading_prints_nothing(own_cache, tmp_path, capsys):
    load_catalog("drawn", size=32, few=True)
    load(class_folders(tmp_path))
    assert capsys.readouterr().out == ""


def test_a_catalog_made_by_hand_gives_no_reason():
    about = "Catalog tiny: 96 train, 40 validation, 20 test pictures in 7 classes."
    assert tiny_catalog().about == about


def test_drawn_splits_share_no_garment():
    catalog = load_catalog("drawn", few=True)
    assert len(set(catalog.garments.values())) == sum(counts(catalog))
    pictures = {image.numpy().tobytes() for x in splits(catalog).values() for image in x.images}
    assert len(pictures) == sum(counts(catalog))


def test_a_drawn_picture_is_opened_larger():
    catalog = load_catalog("drawn", few=True)
    garment = catalog.garments[catalog.test.names[3]]
    assert (
        to_square(drawn.draw_garment(garment, 160), 160) == catalog.test.images[3].numpy()
    ).all()
    picture = catalog.open(catalog.test.names[3])
    assert picture.size == (480, 480)
    gaps = [
        np.abs(to_square(picture, 160).astype(int) - other.numpy()).mean()
        for other in catalog.test.images[:20]
    ]
    assert int(np.argmin(gaps)) == 3


def test_drawn_classes_can_be_chosen(own_cache):
    catalog = load_catalog("drawn", size=32, classes=("shoes", "dress"), few=True)
    assert catalog.classes == ("shoes", "dress")
    check_consistent(catalog, 32)
    assert catalog.train.labels.bincount().tolist() == [40, 40]
    for name, image in zip(catalog.train.names[:9], catalog.train.images[:9], strict=True):
        assert (drawn.draw_pixels(catalog.garments[name], 32) == image.numpy()).all()
    _, first_seven = drawn.drawn_pictures(7, loading.SEEDS["train"], 32)
    for n, garment in enumerate(first_seven):  # named as in the catalog of all classes
        if garment.category in catalog.classes:
            assert catalog.garments[f"train/{garment.category}/{n:04d}"] == garment
    complaint(lambda: load_catalog("drawn", classes=("dress", "skirt")), "'skirt'")


def test_the_seven_classes_are_those_drawn():
    assert tuple(drawn.LINES) == SEVEN


def test_the_files_that_draw_are_all_in_the_cache_key():
    code = "import sys, fashionlib.drawn; print(*(x for x in sys.modules if 'fashionlib.' in x))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    drawing = {name for name in output.decode().split() if name.startswith("fashionlib.drawn")}
    files = {name.removeprefix("fashionlib.drawn").strip(".") or "__init__" for name in drawing}
    assert files == set(loading.DRAWING)


# Folders, as they should be


def test_folder_with_splits(tmp_path, own_cache):
    root = split_folders(tmp_path / "Kleider für alle")
    catalog = load(root)
    assert catalog.name == str(root)
    assert catalog.classes == ("dress", "hat")
    assert counts(catalog) == [6, 6, 6]
    check_consistent(catalog, 8)
    assert catalog.validation.names[0] == "validation/dress/00.png"
    assert catalog.train.attributes == {}
    expected = to_square(read_picture(root / "test/hat/02.png"), 8)
    assert (catalog.test.images[-1].numpy() == expected).all()
    assert catalog.open("test/hat/02.png").size == (10, 12)
    assert f"{root}: 6 train, 6 validation, 6 test" in catalog.about


@pytest.mark.parametrize(
    "names",
    [
        ("train", "valid", "test"),
        ("train", "val", "test"),
        ("Train", "Valid", "Test"),
        ("training", "validation", "testing"),
        ("TRAINING", "dev", "TESTING"),
        ("train_images", "val-set", "Test Images"),
        ("trainset", "valset", "testset"),
        ("train2017", "val2017", "test2017"),
        ("01-train", "02-valid", "03-test"),
        ("images_train", "images_val", "images_test"),
        ("train_set_images", "val.pics", "(test) photos"),
        ("Train ", "Val ", "Test "),
        ("ｔｒａｉｎ", "ｖａｌ", "ｔｅｓｔ"),
        ("trn", "vld", "tst"),
        ("tr", "eval", "te"),
        ("train", "evaluation", "holdout"),
        ("train_data", "valid folder", "test-split"),
    ],
)
def test_splits_are_known_by_the_names_that_people_give_them(tmp_path, own_cache, names):
    catalog = load(split_folders(tmp_path, names))
    assert counts(catalog) == [6, 6, 6]
    assert catalog.classes == ("dress", "hat")
    firsts = [split.names[0] for split in catalog.splits.values()]
    assert firsts == [f"{name}/dress/00.png" for name in names]


AFFIXES = "data set split image images img imgs photo photos picture pictures pic pics folder dir"


@pytest.mark.parametrize("word", AFFIXES.split())
def test_each_word_that_people_put_beside_the_name_of_a_split_is_passed_over(word):
    for name in (f"{word}_val", f"val-{word}", f"val{word}", f"{word} VAL {word} {word}"):
        assert folder_layout._split_of(name) == "validation"
    assert folder_layout._split_of(f"{word}s of val") is None


def test_splits_beside_classes_or_twice_are_refused(tmp_path, own_cache):
    """A network would learn to tell train from test, or never see the test pictures."""
    split_folders(tmp_path, ("train", "test"))
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "boxes.json").write_text("{}")
    assert counts(load(tmp_path))[2] == 6
    class_folders(tmp_path, 3, ("dress",))
    complaint(lambda: load(tmp_path), tmp_path / "dress", "stands beside", "Move or rename")
    shutil.rmtree(tmp_path / "dress")
    split_folders(tmp_path, ("Testing",))
    complaint(lambda: load(tmp_path), "Testing and test, both for test: keep one")


@pytest.mark.parametrize(
    "names",
    [("clothes_train", "clothes_test"), ("train_x", "val_x"), ("Trainingsdaten", "Testdaten")],
)
def test_splits_under_other_names_are_no_classes(tmp_path, names):
    split_folders(tmp_path, names)
    complaint(lambda: load(tmp_path), *names, "look like splits of one set: call splits train")


@pytest.mark.parametrize(
    "names",
    [
        ("clothes_train", "clothes_test"),
        ("trainA", "testA"),
        ("my training", "my validation"),
    ],
)
def test_splits_without_class_folders_are_no_classes(tmp_path, names):
    """They became two classes: a network that tells train from test."""
    for name in names:
        for n in range(3):
            save_picture(tmp_path / name / f"{n}.png")
    complaint(lambda: load(tmp_path), *names, "look like splits of one set")


TO_TRAIN = ["train", "training", "trn"]
HELD_OUT = ["validation", "valid", "val", "vld", "dev", "eval", "evaluation"]
HELD_OUT += ["test", "testing", "tst", "holdout"]


@pytest.mark.parametrize("word", TO_TRAIN + HELD_OUT)
def test_each_word_for_a_split_tells_splits_under_other_names(tmp_path, word):
    other = "testing" if word in TO_TRAIN else "training"
    for name in (f"my_{word}", f"my_{other}"):
        save_picture(tmp_path / name / "0.png")
    complaint(lambda: load(tmp_path), f"my_{word}", f"my_{other}", "look like splits of one set")


def test_splits_in_folders_of_their_own_names_are_no_classes(tmp_path):
    """As Kaggle's archives unpack: seg_train/seg_train/hat."""
    split_folders(tmp_path, ("seg_train/seg_train", "seg_test/seg_test"))
    save_picture(tmp_path / "seg_pred" / "seg_pred" / "0.png")
    complaint(lambda: load(tmp_path), "seg_test and seg_train, which look like splits of one set")


@pytest.mark.parametrize("names", [("seg_train", "seg_test"), ("train-v2", "test-v2")])
def test_splits_under_other_names_within_class_folders_are_refused(tmp_path, own_cache, names):
    """In all of them: in one alone, these are its own words."""
    class_folders(tmp_path, 3)
    for label in ("dress", "hat"):
        assert load(tmp_path).classes == ("dress", "hat")
        for name in names:
            save_picture(tmp_path / label / name / "0.png")
    complaint(lambda: load(tmp_path), tmp_path / "dress", "has splits in it (test, train)")


def test_kinds_that_sound_like_splits_are_kinds(tmp_path, own_cache):
    for label in ("men", "women"):
        for kind in ("trainers", "latest", "oval"):
            save_picture(tmp_path / label / kind / "0.png")
    save_picture(tmp_path / "men" / "test" / "0.png")  # nor does one alone divide anything
    assert load(tmp_path).classes == ("men", "women")


@pytest.mark.parametrize(
    ("one", "other"),
    [("hat", "Hat"), ("caf\xe9", "cafe\u0301"), ("hat", "hat "), ("hat", "hat\u200b")],
)
@pytest.mark.parametrize("places", [("", ""), ("train", "test")])
def test_class_names_that_look_alike_are_refused(tmp_path, one, other, places):
    """Two classes in silence, or 'hat' that is missing where a person sees it."""
    for place in {*places}:
        class_folders(tmp_path / place, 3, ("dress",))
    class_folders(tmp_path / places[0], 3, (one,))
    class_folders(tmp_path / places[1], 3, (other,))
    complaint(lambda: load(tmp_path), tmp_path, ascii(one), ascii(other), "look alike")


@pytest.mark.parametrize("inner", ["hat/{}", "hat/raw/{}", "photos/{}/hat"])
def test_splits_within_class_folders_are_refused(tmp_path, inner):
    """The test pictures were trained with."""
    class_folders(tmp_path, 3, ("dress",))
    for split in ("Train", "test"):
        save_picture(tmp_path / inner.format(split) / "0.png")
    complaint(lambda: load(tmp_path), "has splits in it (test, train)", "at its top")


@pytest.mark.parametrize("within", ["", "men", "men women", "men/old men/new"])
def test_classes_that_sound_like_splits_are_classes(tmp_path, own_cache, within):
    names = ("test prints", "trainers", "training shoes")
    for label in names:
        for place in ("", *within.split()):
            save_picture(tmp_path / label / place / "0.png")
            save_picture(tmp_path / label / place / "1.png")
    assert load(tmp_path).classes == names


def test_classes_that_share_one_kind_are_classes(tmp_path, own_cache):
    """Splits of one set would have all classes in common."""
    kinds = {"test prints": "men boys", "trainers": "men women", "training shoes": "men women"}
    for label, within in kinds.items():
        for kind in within.split():
            save_picture(tmp_path / label / kind / "0.png")
    assert load(tmp_path).classes == tuple(kinds)  # nor are two by one word, be they alike inside


def test_train_alone_gives_a_tenth_to_validation_and_leaves_test_empty(tmp_path, own_cache):
    class_folders(tmp_path / "train", 40)
    catalog = load(tmp_path)
    assert sum(counts(catalog)) == 80
    assert counts(catalog)[2] == 0
    for name, split in where(catalog).items():
        assert split == ("validation" if place_of(name) >= 0.9 else "train")
    check_consistent(catalog, 8)
    check_consistent(load(tmp_path), 8)  # an empty array comes back from the cache, too
    class_folders(tmp_path / "test", 3)  # with pictures to test with, the same ones
    tested = load(tmp_path)
    assert tested.validation.names == catalog.validation.names
    assert counts(tested) == [*counts(catalog)[:2], 6]


def test_class_folders_are_split_by_name(tmp_path, own_cache):
    catalog = load(class_folders(tmp_path, 200))
    train, validation, test = counts(catalog)
    assert train + validation + test == 400
    assert 290 <= train <= 350
    assert 20 <= validation <= 60
    assert 20 <= test <= 60
    for name, split in where(catalog).items():
        p = place_of(name)
        assert split == ("train" if p < 0.8 else "validation" if p < 0.9 else "test")
    check_consistent(catalog, 8)
    assert all(list(split.names) == sorted(split.names) for split in catalog.splits.values())


def test_a_file_stays_in_its_split_when_others_come_and_go(tmp_path, own_cache):
    before = where(load(class_folders(tmp_path, 60)))
    for n in range(0, 60, 7):
        (tmp_path / "hat" / f"{n:02d}.png").unlink()
    for n in range(60, 90):
        save_picture(tmp_path / "dress" / f"{n:02d}.png")
    after = where(load(tmp_path))
    assert len(after) == 120 - 9 + 30
    assert all(after[name] == before[name] for name in after.keys() & before.keys())


@pytest.mark.parametrize("seed", [0, 1, 9, 12, 34])
def test_two_pictures_of_a_class_suffice_to_train_and_validate(tmp_path, own_cache, seed):
    """Of 9 and 12 one picture, and of 34 both would be for tests, by their names."""
    for label in ("dress", "hat"):
        for n in range(2):
            save_picture(tmp_path / label / f"{seed}-{n}.png")
    catalog = load(tmp_path)
    assert catalog.train.labels.tolist() == catalog.validation.labels.tolist() == [0, 1]


def test_names_that_are_not_unicode(tmp_path, own_cache):
    class_folders(tmp_path, 3)
    odd = os.fsdecode(b"d\xfcnn.png")  # Latin-1, as old archives have it
    save_picture(tmp_path / "hat" / "00.png").rename(tmp_path / "hat" / odd)
    for _ in ("decoded", "from the cache"):
        assert f"hat/{odd}" in where(load(tmp_path))


def test_one_picture_trains(tmp_path, own_cache):
    class_folders(tmp_path, 5, ("dress",))
    save_picture(tmp_path / "hat" / "only.png")
    assert where(load(tmp_path))["hat/only.png"] == "train"


def test_classes_are_chosen_in_their_order(tmp_path, own_cache):
    class_folders(tmp_path, 5, ("dress", "hat", "shoes"))
    (tmp_path / "documents").mkdir()
    catalog = load(tmp_path, classes=("shoes", "dress"))
    assert catalog.classes == ("shoes", "dress")
    assert sum(counts(catalog)) == 10
    check_consistent(catalog, 8)


def test_hidden_files_and_other_files_are_ignored(tmp_path, own_cache):
    class_folders(tmp_path, 4)
    (tmp_path / ".git").mkdir()
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / "hat" / ".DS_Store").write_bytes(b"\0")
    (tmp_path / "hat" / "._00.png").write_bytes(b"\0")
    (tmp_path / "hat" / "notes.txt").write_text("a hat")
    for place in ("@eaDir/dress", "__MACOSX", "hat/@eaDir", "hat/__MACOSX"):  # a disk's thumbnails
        save_picture(tmp_path / place / "00.png")
    for place in (
        "#recycle",
        "@Recycle/a",
        "$RECYCLE.BIN",
        "lost+found",
        "hat/@eadir",
        "hat/#snapshot",
    ):
        save_picture(tmp_path / place / "00.png")  # what was deleted
    save_picture(tmp_path / "System Volume Information" / "00.png")
    for name in ("Thumbs.db", "desktop.ini", "00.xml", "labels.csv"):
        (tmp_path / "hat" / name).write_bytes(b"\0")
    (tmp_path / "hat" / "encoder.safetensors").write_bytes(b"\0")
    (tmp_path / "._loose.png").write_bytes(b"\0")
    (tmp_path / "hat" / "film.MOV").write_bytes(b"\0")
    catalog = load(tmp_path)
    assert catalog.classes == ("dress", "hat")
    assert sum(counts(catalog)) == 8
    assert catalog.skipped == ()


NOT_WANTED = """.trash/|desktop.ini|__MACOSX/|thumbs/|Thumbs.DB|@eaDir/|@__thumb/|@tmp/|@sharebin/
@snapshot/|#snapshot/|@Recently-Snapshot/|#recycle/|@Recycle/|$Recycle.Bin/|RECYCLER/|lost+found/
System Volume Information/|Network Trash Folder/|a.txt|a.md|a.csv|a.tsv|a.json|a.jsonl|a.xml|a.XMP
a.htm|a.html|a.css|a.js|a.yml|a.yaml|a.log|a.safetensors|a.mp3|a.MP4|a.mpg|a.mpeg|a.m4v|a.mov|a.avi
a.mkv|a.webm|a.3gp|a.wav"""


def test_what_disks_and_systems_put_there_and_texts_and_films_are_no_pictures():
    names = NOT_WANTED.replace("\n", "|").split("|")
    assert [name for name in names if folder_layout._is_wanted(name)] == []
    like_them = [
        "thumbs up/",
        "recyclers/",
        "snapshot/",
        "desktop.ini.png",
        "a.txt/",
        "json",
        "a.mp5",
    ]
    assert [name for name in like_them if not folder_layout._is_wanted(name)] == []


def test_no_picture_is_left_out_without_a_word(tmp_path, own_cache):
    class_folders(tmp_path, 4)
    odd = [
        "a.jfif",
        "a.jpe",
        "a.JPEG",
        "a.mpo",
        "a.apng",
        "a.dib",
        "none",
        "a.jpg~",
        "a.webp_large",
        "a.jpg.bak",
        "Size.M",
        "a.bin",
        "data:x,a.jpg",
    ]
    for name in odd:  # told by what is in them, whatever they are called
        save_picture(tmp_path / "hat" / "a.png").rename(tmp_path / "hat" / name)
    for name in ("b.heic", "b.psd", "b", "b.eps", "b.zip"):
        (tmp_path / "hat" / name).write_bytes(b"something else")
    save_picture(tmp_path / "loose.jpg")
    shutil.copy(tmp_path / "loose.jpg", tmp_path / "IMG_1")
    for name in ("c.HEIC", "d.heif", "e.tiff"):
        (tmp_path / name).write_bytes(b"something else")
    for name in ("LICENSE", "download.py"):
        (tmp_path / name).write_text("no picture")
    for _ in ("decoded", "from the cache"):
        catalog = load(tmp_path)
        assert where(catalog).keys() >= {f"hat/{name}" for name in odd}
        assert sorted(line.split(" ")[0] for line in catalog.skipped) == [
            "IMG_1", "c.HEIC", "d.heif", "e.tiff",
            "hat/b", "hat/b.eps", "hat/b.heic", "hat/b.psd", "hat/b.zip", "loose.jpg",
        ]  # fmt: skip
        assert "loose.jpg lies in no class folder." in catalog.skipped
        assert "Skipped 10: hat/b is not a picture" in catalog.about
        assert catalog.about.splitlines()[0].endswith(" …")


@pytest.mark.parametrize("name", ["IMG_1", "a.heic"])
def test_pictures_beside_splits_are_seen_whatever_they_are_called(tmp_path, name):
    split_folders(tmp_path)
    save_picture(tmp_path / "more" / "hat" / "a.png").rename(tmp_path / "more" / "hat" / name)
    complaint(lambda: load(tmp_path), tmp_path / "more", "stands beside")


def test_which_files_are_pictures_is_the_same_on_every_machine(tmp_path, own_cache, monkeypatch):
    """A list of the system's left out what it knew as something else."""
    monkeypatch.setattr("mimetypes.guess_type", lambda *_, **__: ("text/plain", None))
    assert sum(counts(load(class_folders(tmp_path, 3)))) == 6


def test_what_is_away_or_no_file_beside_the_classes_is_named(tmp_path, own_cache):
    class_folders(tmp_path, 4)
    for name in ("No. 5", "gone.jpg"):
        (tmp_path / name).symlink_to(tmp_path / "away" / name)
    os.mkfifo(tmp_path / "pipe.jpg")
    assert load(tmp_path).skipped == tuple(
        f"{name} lies in no class folder." for name in ("No. 5", "gone.jpg", "pipe.jpg")
    )


def test_a_picture_beside_the_classes_of_a_split_is_named(tmp_path, own_cache):
    split_folders(tmp_path)
    save_picture(tmp_path / "test" / "loose.png")
    assert load(tmp_path).skipped == ("test/loose.png lies in no class folder.",)


def test_a_class_folder_may_be_a_link_and_others_are_named(tmp_path, own_cache):
    class_folders(tmp_path / "here", 4, ("dress",))
    class_folders(tmp_path / "elsewhere", 4, ("hat",))
    (tmp_path / "here" / "hat").symlink_to(tmp_path / "elsewhere" / "hat")
    (tmp_path / "here" / "dress" / "loop").symlink_to(tmp_path / "here")
    catalog = load(tmp_path / "here")
    assert catalog.classes == ("dress", "hat")
    assert sum(counts(catalog)) == 8
    assert len(catalog.skipped) == 1
    assert catalog.skipped[0].startswith("dress/loop is a folder")


def test_what_could_not_be_read_once_is_tried_again(tmp_path, own_cache, monkeypatch):
    """A disk was away, a permission missing: nothing about the file changed."""
    class_folders(tmp_path, 4)
    read = cache.read_square

    def away(root: Path, name: str, size: int) -> np.ndarray:
        if name == "hat/02.png":
            raise FashionError(f"{name} cannot be read (Input/output error).")
        return read(root, name, size)

    with monkeypatch.context() as lost:  # an undo would take the cache of this test away too
        lost.setattr(cache, "read_square", away)
        assert len(load(tmp_path).skipped) == 1
    catalog = load(tmp_path)
    assert catalog.skipped == ()
    assert "hat/02.png" in where(catalog)


def test_photos_that_could_not_be_read_once_are_tried_again(photos_here, own_cache):
    read = cache.read_square

    def away(root: Path, name: str, size: int) -> np.ndarray:
        if name.endswith("0.jpg"):
            raise FashionError(f"{name} cannot be read (Input/output error).")
        return read(root, name, size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "read_square", away)
        assert load_catalog("photos", size=8, few=True).skipped
    assert load_catalog("photos", size=8, few=True).skipped == ()


def test_a_file_that_goes_away_once_it_was_decoded_is_skipped(tmp_path, own_cache, monkeypatch):
    class_folders(tmp_path, 4)
    read = cache.read_square

    def gone(root: Path, name: str, size: int) -> np.ndarray:
        square = read(root, name, size)
        if name == "hat/02.png":
            (root / name).unlink()
        return square

    monkeypatch.setattr(cache, "read_square", gone)
    catalog = load(tmp_path)
    assert catalog.skipped == ("hat/02.png cannot be read any more (No such file or directory).",)
    assert sum(counts(catalog)) == 7
    check_consistent(catalog, 8)


def test_folders_within_a_class_folder_belong_to_it(tmp_path, own_cache):
    class_folders(tmp_path, 4)
    save_picture(tmp_path / "hat" / "straw" / "summer.png")
    assert "hat/straw/summer.png" in where(load(tmp_path))


def test_an_original_is_opened_at_its_full_size(tmp_path, own_cache, monkeypatch):
    class_folders(tmp_path, 3)
    Image.new("RGB", (40, 30), "red").save(tmp_path / "hat" / "camera.jpg")
    catalog = load(tmp_path)
    smaller = lambda *_: pytest.fail("it was decoded at a smaller size")  # noqa: E731
    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "draft", smaller)
    assert catalog.open("hat/camera.jpg").size == (40, 30)


def test_equal_files_in_different_splits_are_reported(tmp_path, own_cache):
    split_folders(tmp_path)
    shutil.copy(tmp_path / "train/hat/00.png", tmp_path / "test/hat/copy.png")
    shutil.copy(tmp_path / "train/hat/01.png", tmp_path / "train/hat/copy.png")  # no leak
    for split, side in (("train", 20), ("test", 30)):  # nor are these, though alike when shrunk
        Image.new("RGB", (side, side)).save(tmp_path / split / "hat/black.png")
    for _ in ("decoded", "from the cache"):
        catalog = load(tmp_path)
        assert catalog.duplicates == (("train/hat/00.png", "test/hat/copy.png"),)
        lines = catalog.about.splitlines()
        assert len(lines) == 2
        assert lines[1].startswith("Leak: 1 pictures are in two splits")
        assert "train/hat/00.png = test/hat/copy.png" in lines[1]


def test_a_name_with_a_line_break_in_it_begins_no_line(tmp_path, own_cache):
    root = split_folders(tmp_path / "my\nclothes")
    shutil.copy(root / "train/hat/00.png", root / "test/hat/a\nLeak: b.png")
    save_picture(root / "c\nd.png")
    (root / "test/hat/e\nf.jpg").write_text("not a picture")
    catalog = load(root)
    assert catalog.skipped[0].startswith("test/hat/e?f.jpg is not a picture")
    lines = catalog.about.splitlines()
    assert [line.split(" ")[0] for line in lines] == ["Catalog", "Leak:"]
    assert "my?clothes" in lines[0]
    assert "c?d.png lies in no class folder." in lines[0]
    assert lines[1].endswith("test/hat/a?Leak: b.png.")


# Folders, as they come


def test_no_folder_and_a_file_in_its_place(tmp_path):
    root, what = tmp_path / "nowhere", "a catalog is a folder with class folders in it."
    assert complaint(lambda: load(root)) == f"{root} does not exist: {what}"
    root.write_text("a file")
    assert complaint(lambda: load(root)) == f"{root} is a file: {what}"


WRONG_FOLDERS = {  # folders with a picture each, or "empty/", or "link->there"; and what is said
    "nothing": ("", "{root} has no class folders: make one for each class."),
    "pictures alone": (".", "{root} has no class folders: make one for each class."),
    "one class": ("dress", "{root} has only the class 'dress': two or more are needed."),
    "a class without pictures": (
        "dress hat shoes/",
        "the class folder {root}/shoes holds no pictures: fill or remove it.",
    ),
    "a class that test lacks": (
        "train/dress train/hat train/hats test/dress test/hat",
        "{root}: the class folder 'hats' is in train but not in test; each split needs the same "
        "class folders.",
    ),
    "a class that only test has": (
        "train/dress train/hat test/dress test/hat test/hats",
        "{root}: the class folder 'hats' is in test but not in train; each split needs the same "
        "class folders.",
    ),
    "nothing to train with": (
        "test/dress test/hat validation/dress validation/hat",
        "{root} has a test folder but no train folder.",
    ),
    "a split twice": (
        "train/dress Testing/dress test/dress",
        "{root} has Testing and test, both for test: keep one.",
    ),
    "a class beside splits": (
        "train/dress validation/dress hats/felt",
        "{root}/hats stands beside {root}/train: a catalog has class folders, or splits with class "
        "folders in them. Move or rename one of the two.",
    ),
    "splits under other names": (
        "my_test/dress my_train/dress",
        "{root} has my_test and my_train, which look like splits of one set: call splits train, "
        "validation and test; call classes by names without these words.",
    ),
    "splits in a class": (
        "dress hat/Train hat/val hat/test",
        "the class folder {root}/hat has splits in it (test, train, validation): a catalog has the "
        "splits at its top, and class folders in each of them.",
    ),
    "classes that look alike": (
        "dress hat Hat",
        "{root}: 'Hat' and 'hat' look alike: rename one of them.",
    ),
    "a class that is another": (
        "dress hat cap->hat",
        "{root}/cap and {root}/hat have the same pictures: remove the one that is a link.",
    ),
    "a class that is a part of another": (
        "dress hat/straw cap->hat/straw",
        "{root}/hat and {root}/cap have the same pictures: remove the one that is a link.",
    ),
    "a class that is all of them": (
        "dress hat all->.",
        "{root}/all and {root}/dress have the same pictures: remove the one that is a link.",
    ),
    "a class on a disk that is away": (
        "dress hat shoes->away/shoes",
        "{root}/shoes cannot be listed: No such file or directory.",
    ),
}


@pytest.mark.parametrize("what", WRONG_FOLDERS)
def test_what_is_wrong_with_a_folder_is_said_in_full(tmp_path, what):
    places, said = WRONG_FOLDERS[what]
    for place in places.split():
        link, _, there = place.partition("->")
        if there:
            (tmp_path / link).symlink_to(tmp_path / there)
        elif place.endswith("/"):
            (tmp_path / place).mkdir()
        else:
            save_picture(tmp_path / place / "0.png")
    assert complaint(lambda: load(tmp_path)) == said.format(root=tmp_path)


WRONG_CLASSES = {
    ("glove", "sock"): "{root} has no class folders named glove, sock: make one for each class.",
    ("hat", "sock"): "{root} has no class 'sock': choose among its class folders.",
    ("hat",): "classes ('hat',): name two or more, each once.",
}


@pytest.mark.parametrize("classes", WRONG_CLASSES)
def test_classes_that_a_folder_does_not_have_or_that_are_too_few(tmp_path, classes):
    class_folders(tmp_path, 1)
    said = WRONG_CLASSES[classes].format(root=tmp_path)
    assert complaint(lambda: load(tmp_path, classes=classes)) == said


def test_a_path_no_file_system_has():
    complaint(lambda: load("x" * 300), "x" * 300)


@pytest.mark.parametrize("closed", [".", "dress/closed"])
def test_a_folder_that_may_not_be_listed(closed):
    nobody, root = 65534, Path(tempfile.mkdtemp())
    root.chmod(0o755)
    class_folders(root, 3)
    (root / "dress" / "closed").mkdir()
    (root / closed).chmod(0)
    as_root = os.geteuid() == 0  # root may list every folder: become somebody who may not
    try:
        if as_root:
            os.seteuid(nobody)
        complaint(lambda: load(root), root / closed, "cannot be listed")
    finally:
        if as_root:
            os.seteuid(0)
        (root / closed).chmod(0o755)
        shutil.rmtree(root)


@pytest.mark.parametrize("classes", [("hat",), ("hat", "hat"), (), ("hat", "dress", "hat")])
def test_too_few_classes_chosen(tmp_path, classes):
    complaint(lambda: load(class_folders(tmp_path), classes=classes), "two or more")


@pytest.mark.parametrize("size", [0, 4097, 10**6])
def test_size_of_none_or_of_more_than_memory(tmp_path, size):
    complaint(
        lambda: load_catalog(class_folders(tmp_path), size=size), f"{size} pixels", "1 to 4096"
    )


@pytest.mark.parametrize("size", [1, 4096])
def test_the_smallest_and_the_largest_size_are_taken(tmp_path, size):
    """What is wrong is the folder alone: no test needs pictures of 50 MB."""
    complaint(lambda: load_catalog(tmp_path / "nowhere", size=size), "does not exist")


def test_unreadable_pictures_are_skipped_by_name(tmp_path, own_cache):
    class_folders(tmp_path, 10)
    jpeg = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(jpeg, "JPEG")
    (tmp_path / "hat" / "half.jpg").write_bytes(jpeg.getvalue()[:700])
    (tmp_path / "hat" / "text.jpg").write_text("not a picture")
    (tmp_path / "dress" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    for _ in ("decoded", "from the cache"):
        catalog = load(tmp_path)
        assert sum(counts(catalog)) == 20
        assert len(catalog.skipped) == 3
        check_consistent(catalog, 8)
        assert len(catalog.about.splitlines()) == 1
        for name in ("hat/half.jpg", "hat/text.jpg", "dress/gone.jpg"):
            assert sum(reason.startswith(f"{name} ") for reason in catalog.skipped) == 1
            assert name in catalog.about
        assert catalog.about.endswith(catalog.skipped[-1])  # no more than these
        expected = to_square(read_picture(tmp_path / catalog.train.names[-1]), 8)
        assert (catalog.train.images[-1].numpy() == expected).all()


def test_pictures_behind_a_broken_one_are_still_their_own(tmp_path, own_cache):
    root = split_folders(tmp_path)
    broken = [f"{split}/dress/01.png" for split in SPLITS]
    for name in broken:
        (root / name).write_text("not a picture")
    catalog = load(root)
    assert counts(catalog) == [5, 5, 5]
    assert [line.split(" ")[0] for line in catalog.skipped] == broken  # split by split
    check_consistent(catalog, 8)
    for split in catalog.splits.values():
        for name, image in zip(split.names, split.images, strict=True):
            assert (image.numpy() == to_square(read_picture(root / name), 8)).all(), name


def test_a_class_that_can_be_tested_and_not_trained(tmp_path, own_cache):
    root = split_folders(tmp_path)
    for path in (root / "train" / "hat").iterdir():
        path.write_text("not a picture")
    complaint(lambda: load(root), root, "no readable picture to train 'hat' with: train/hat/00.png")


def test_a_class_with_broken_pictures_only(tmp_path, own_cache):
    class_folders(tmp_path)
    class_folders(tmp_path, 2, ("snowshoes",))
    (tmp_path / "snowshoes" / "0.jpg").write_text("not a picture")
    (tmp_path / "shoes").mkdir()
    for n in range(3):
        (tmp_path / "shoes" / f"{n}.jpg").write_text("not a picture")
    complaint(lambda: load(tmp_path), tmp_path, "'shoes'", "shoes/")
    assert "snowshoes" not in complaint(lambda: load(tmp_path), tmp_path)
    assert list((own_cache / "arrays").glob("*")) == []


def test_a_picture_that_is_gone_when_opened(tmp_path, own_cache):
    catalog = load(class_folders(tmp_path))
    (tmp_path / "hat" / "03.png").unlink()
    complaint(lambda: catalog.open("hat/03.png"), tmp_path / "hat" / "03.png")
    complaint(lambda: catalog.open("../secret.png"), "'../secret.png'")


# The cache


def entries(cache: Path) -> list[Path]:
    return sorted((cache / "arrays").iterdir())


def test_a_folder_is_decoded_once(tmp_path, own_cache):
    first = load(class_folders(tmp_path))
    (entry,) = entries(own_cache)
    made = entry.stat().st_mtime_ns, entry.stat().st_ino
    second = load(tmp_path)
    assert (entry.stat().st_mtime_ns, entry.stat().st_ino) == made
    for split in SPLITS:
        a, b = getattr(first, split), getattr(second, split)
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.labels, b.labels)
        assert a.names == b.names


def known(catalog: Catalog) -> dict[str, object]:
    """All that is known of a catalog, as it can be compared."""
    everything = {**vars(catalog)}
    for name, split in splits(catalog).items():
        tensors = {key: getattr(split, key) for key in ("images", "labels")}
        listed = {key: (tensor.dtype, tensor.tolist()) for key, tensor in tensors.items()}
        everything[name] = vars(split) | listed
    return everything


@pytest.mark.parametrize("source", ["drawn", "a folder"])
def test_all_that_is_known_of_a_catalog_comes_back_from_the_cache(
    tmp_path, own_cache, monkeypatch, source
):
    monkeypatch.setattr(loading, "FEW", (14, 7, 7))
    if source == "a folder":  # without a test split, with a broken file and a leak
        source = split_folders(tmp_path, ("train", "validation"))
        (source / "train/hat/broken.png").write_text("not a picture")
        shutil.copy(source / "train/hat/00.png", source / "validation/hat/copy.png")
    options = {"size": 32, "classes": ("hat", "dress"), "few": True}
    made = load_catalog(source, **options)
    for module, name in ((cache, "decode"), (loading, "_draw")):
        monkeypatch.setattr(module, name, lambda *_: pytest.fail("it was made again"))
    assert known(load_catalog(source, **options)) == known(made)
    assert made.garments or (made.skipped and made.duplicates)


def test_a_folder_is_named_as_it_was_given(tmp_path, own_cache):
    """Decoded by one path, and found in the cache by another."""
    root, link = class_folders(tmp_path / "here"), tmp_path / "link"
    link.symlink_to(root)
    for path in (root, link, root):
        catalog = load(path)
        assert catalog.name == str(path)
        assert catalog.about.startswith(f"Catalog {path}: ")
    assert len(entries(own_cache)) == 1


@pytest.mark.parametrize("change", ["content", "another file", "a file less"])
def test_a_changed_folder_is_decoded_anew_and_the_old_arrays_go(tmp_path, own_cache, change):
    load(class_folders(tmp_path))
    (before,) = entries(own_cache)
    path = tmp_path / "hat" / "00.png"
    if change == "content":
        save_picture(path, seed=7)
    elif change == "another file":
        save_picture(tmp_path / "hat" / "new.png")
    else:
        path.unlink()
    catalog = load(tmp_path)
    (after,) = entries(own_cache)
    assert after != before
    pictures = {name: n for n, name in enumerate(catalog.train.names)}
    for name in ("hat/00.png", "hat/01.png"):
        if name in pictures:
            expected = to_square(read_picture(tmp_path / name), 8)
            assert (catalog.train.images[pictures[name]].numpy() == expected).all()


def test_sizes_and_classes_have_arrays_of_their_own(tmp_path, own_cache):
    class_folders(tmp_path, 5, ("dress", "hat", "shoes"))
    load_catalog(tmp_path, size=8)
    assert load_catalog(tmp_path, size=9).train.images.shape[-1] == 9
    assert load_catalog(tmp_path, size=8, classes=("hat", "dress")).classes == ("hat", "dress")
    assert len(entries(own_cache)) == 3


@pytest.mark.parametrize("file", ["train.bin", "test.bin", "index.json"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "missing", "changed"])
def test_damaged_arrays_are_made_again(tmp_path, own_cache, file, damage):
    first = load(class_folders(tmp_path, 30))
    expected = {split: part.images.clone() for split, part in splits(first).items()}
    (entry,) = entries(own_cache)
    path = entry / file
    content = bytearray(path.read_bytes())
    content[-2] ^= 0xFF
    path.unlink()  # not written over: `first` still maps it
    if damage != "missing":
        cut = {"truncated": len(content) // 2, "empty": 0, "changed": len(content)}[damage]
        path.write_bytes(content[:cut])
    again = load(tmp_path)
    for split, images in expected.items():
        assert torch.equal(getattr(again, split).images, images)
    assert entries(own_cache) == [entry]
    load(tmp_path)


@pytest.mark.parametrize("text", ["[" * 10**5, "[]", "3", '{"name": 1}'])
def test_an_impossible_index_is_made_again(tmp_path, own_cache, text):
    names = load(class_folders(tmp_path, 30)).train.names
    (entry,) = entries(own_cache)
    (entry / "index.json").write_text(text)
    assert load(tmp_path).train.names == names


INDEX_CHANGES = {
    "a label": lambda index: index["train"]["labels"].__setitem__(0, 1),
    "no label": lambda index: index["train"]["labels"].clear(),
    "names": lambda index: index["train"]["names"].reverse(),
    "classes": lambda index: index["classes"].reverse(),
    "skipped": lambda index: index["skipped"].append("x"),
    "a shape": lambda index: index["train"]["shape"].reverse(),
}


@pytest.mark.parametrize("change", INDEX_CHANGES)
def test_a_changed_index_is_made_again(tmp_path, own_cache, change):
    """A flipped bit was another label, without a word."""
    first = load(class_folders(tmp_path, 12))
    (entry,) = entries(own_cache)
    digest, text = (entry / "index.json").read_text().split("\n")
    assert digest == hashlib.sha256(text.encode()).hexdigest()
    index = json.loads(text)
    INDEX_CHANGES[change](index)
    (entry / "index.json").write_text(f"{digest}\n{json.dumps(index)}")
    again = load(tmp_path)
    assert again.train.names == first.train.names
    assert torch.equal(again.train.labels, first.train.labels)
    assert torch.equal(again.train.images, first.train.images)
    assert (again.classes, again.skipped) == (first.classes, first.skipped)


@pytest.mark.parametrize("place", ["index.json", "train.bin", "."])
@pytest.mark.parametrize("what", ["a pipe", "a lost link", "a folder", "a file"])
def test_other_things_in_the_caches_places_are_replaced(tmp_path, own_cache, place, what):
    names = load(class_folders(tmp_path, 12)).train.names
    (entry,) = entries(own_cache)
    path = entry / place
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    make = {
        "a pipe": os.mkfifo,
        "a lost link": lambda path: path.symlink_to("nowhere"),
        "a folder": Path.mkdir,
        "a file": lambda path: path.write_bytes(b"PK\3\4"),
    }
    make[what](path)
    assert load(tmp_path).train.names == names
    assert entries(own_cache) == [entry]
    assert sorted(path.name for path in entry.iterdir() if path.is_file()) == [
        "index.json", "test.bin", "train.bin", "validation.bin",
    ]  # fmt: skip


def test_what_killed_processes_left_of_older_content_goes(tmp_path, own_cache):
    load(class_folders(tmp_path))
    (entry,) = entries(own_cache)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    group = entry.name.split("-")[0]
    left = entry.with_name(f".{group}-{'0' * 16}.{files._host()}-{ended.pid}-00000000")
    left.mkdir()
    save_picture(tmp_path / "hat" / "new.png")
    load(tmp_path)
    assert not left.exists()


def test_older_arrays_that_another_program_removes_first_are_in_nobodys_way(
    tmp_path, own_cache, monkeypatch
):
    load(class_folders(tmp_path))
    save_picture(tmp_path / "hat" / "new.png")
    remove = shutil.rmtree

    def late(path: Path, **options: bool) -> None:
        remove(path, ignore_errors=True)
        remove(path, **options)

    monkeypatch.setattr(shutil, "rmtree", late)
    load(tmp_path)
    assert len(entries(own_cache)) == 1


def test_writing_into_the_images_does_not_reach_the_cache(tmp_path, own_cache):
    before = load(class_folders(tmp_path)).train.images.clone()
    (entry,) = entries(own_cache)
    stored = (entry / "train.bin").read_bytes()
    load(tmp_path).train.images.zero_()
    assert (entry / "train.bin").read_bytes() == stored
    assert torch.equal(load(tmp_path).train.images, before)


def test_two_processes_decode_the_same_folder(tmp_path, own_cache):
    class_folders(tmp_path, 20)
    code = f"""
from fashionlib.catalog import load_catalog
print(load_catalog({str(tmp_path)!r}, size=8).train.images.sum().item())
"""
    command = [sys.executable, "-c", code]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    sums = [int(process.communicate(timeout=100)[0].split()[-1]) for process in processes]
    assert sums == [load(tmp_path).train.images.sum().item()] * 2
    assert len(entries(own_cache)) == 1
    assert not [name for name in os.listdir(own_cache / "arrays") if name.startswith(".")]


def test_full_disk(tmp_path, own_cache):
    class_folders(tmp_path, 20)
    code = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
from fashionlib.catalog import load_catalog
from fashionlib.errors import FashionError
try:
    load_catalog({str(tmp_path)!r}, size=64)
except FashionError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 1
    assert "could not write" in done.stdout
    assert str(own_cache) in done.stdout
    assert os.listdir(own_cache / "arrays") == []


def test_a_cache_that_cannot_be_written_is_told_before_anything_is_decoded(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("FASHIONLIB_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(cache, "decode", lambda *_: pytest.fail("all pictures were decoded first"))
    root = class_folders(tmp_path / "mine", 3)
    complaint(lambda: load(root), "could not write", f"{tmp_path / 'file'} is no folder")


def test_drawing_needs_no_guard_in_a_script(tmp_path, own_cache):
    script = tmp_path / "mine.py"
    script.write_text(
        "from fashionlib.catalog import load_catalog\n"
        "print(load_catalog('drawn', size=32, few=True).about)"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert "drawn: 280 train" in done.stdout


def test_pictures_at_positions_keep_all_that_is_known_of_them():
    split = drawn_split(4, 1)
    part = split.at(torch.tensor([3, 1]))
    assert part.names == (split.names[3], split.names[1])
    assert torch.equal(part.images, split.images[[3, 1]])
    assert part.labels.tolist() == [split.labels[3], split.labels[1]]
    known = {key: (values[3], values[1]) for key, values in split.attributes.items()}
    assert part.attributes == known
    assert known["colour"]
    assert len(split.at(torch.tensor([], dtype=torch.int64))) == 0


def test_labels_are_those_that_are_known():
    """Half of the photos may have no look: theirs is left out, and not the look of no name."""
    looks = {"colour": ("navy", ""), "pattern": ("", "dots")}
    images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    split = Split(images, torch.tensor([1, 0]), ("a.jpg", "b.jpg"), looks)
    assert labels_of(Catalog("mine", ("dress", "hat"), split, split, split)) == {
        "a.jpg": {"category": "hat", "colour": "navy"},
        "b.jpg": {"category": "dress", "pattern": "dots"},
    }
