"""The weights that come with the library are what their model cards say."""

import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import shipped_weights
import ten_classes
import torch
from tiny import same_weights, sized, striped_catalog

from fashionlib.catalog import SPLITS, load_catalog, loading
from fashionlib.counting import count_parameters
from fashionlib.heads import build_classifier
from fashionlib.inference import predict
from fashionlib.look_encoder import NAMELESS
from fashionlib.metrics import count_correct
from fashionlib.retrieval import agreement_at_k, ranking
from fashionlib.weights import (
    fingerprint,
    load_classifier,
    load_encoder,
    save_classifier,
    shipped,
)

CATALOGS = ["photos", "drawn"]
NAMES = [f"{kind}_{name}" for kind in ("classifier", "encoder") for name in CATALOGS]


def load(name: str):
    return (load_classifier if name.startswith("classifier") else load_encoder)(shipped(name))


@pytest.mark.parametrize("name", NAMES)
def test_they_are_small_and_within_the_budget(name):
    model, _ = load(name)
    assert shipped(name).stat().st_size < 2_000_000
    assert count_parameters(model.backbone) <= 429_399


@pytest.mark.parametrize("name", NAMES)
def test_the_card_says_what_the_file_says(name, tmp_path, monkeypatch):
    card = (shipped_weights.SHIPPED / f"{name}.md").read_text(encoding="utf-8")
    monkeypatch.setattr(shipped_weights, "SHIPPED", tmp_path)
    shipped_weights.write_card(name, load(name)[1])
    assert (tmp_path / f"{name}.md").read_text(encoding="utf-8") == card


@pytest.mark.parametrize("name", CATALOGS)
def test_they_were_trained_by_the_recipes_as_they_are(name):
    """Another recipe in the code than in the files: train them again."""
    mixup = {"mixup": shipped_weights.MIXUP}
    for kind, recipes, more in (
        ("classifier", shipped_weights.CLASSIFIER_RECIPES, mixup),
        ("encoder", shipped_weights.ENCODER_RECIPES, {}),
    ):
        model, metadata = load(f"{kind}_{name}")
        assert metadata["recipe"] == asdict(recipes[name]) | more
        assert metadata["seed"] == shipped_weights.SEED
        assert model.preparation.size == recipes[name].evaluation_size


@pytest.mark.parametrize("name", CATALOGS)
def test_the_classifier_is_as_good_as_its_card(name, photos_here, monkeypatch):
    monkeypatch.setattr(loading, "MANY", (7, 7, 300))  # only test is looked at, and it is the same
    model, data = load(f"classifier_{name}")
    split = load_catalog(name).test
    logits = predict(model, split.images)
    measured = count_correct(logits, split.labels)
    stored = int(re.search(rf"\((\d+) of {len(split)},", data["figures"]["test accuracy"])[1])
    assert abs(measured - stored) <= 1  # another processor may round a close call otherwise


def test_the_encoder_is_as_good_as_its_card(photos_here, photo_embeddings, monkeypatch):
    model, data = load("encoder_photos")
    catalog = load_catalog("photos")
    by_count = {len(found): found for found in photo_embeddings.values()}
    monkeypatch.setattr(shipped_weights, "predict", lambda _, images: by_count[len(images)])
    measured = shipped_weights.retrieval_figures(model, catalog, catalog.test)
    for key, value in measured.items():
        stored = data["figures"][f"test {key}"]
        # another processor may round a distance so that two neighbours change places
        assert float(stored.split()[0]) == pytest.approx(float(value.split()[0]), abs=0.005)


def test_the_drawn_encoder_finds_what_looks_alike_among_few():
    """Drawing all that its card speaks of takes minutes."""
    catalog = load_catalog("drawn", few=True)
    encoder, _ = load("encoder_drawn")
    asked, known = (predict(encoder, split.images) for split in (catalog.test, catalog.train))
    found = agreement_at_k(ranking(asked, known), catalog.test, catalog.train, 5)
    for look, least in {"category": 0.8, "colour": 0.6, "pattern": 0.55}.items():
        assert found[look].mean() >= least, look


def test_figures_on_drawings_are_of_as_many_as_are_drawn():
    """What a reader measures on `load_catalog("drawn")` can be held against the cards."""
    figures = load("classifier_drawn")[1]["figures"]
    counts = [
        int(re.search(r" of (\d+),", figures[f"{split} accuracy"])[1]) for split in SPLITS[1:]
    ]
    assert counts == list(loading.MANY[1:])
    times = (shipped_weights.SHIPPED.parent / "pages" / "results" / "article.json").read_text()
    assert f"drawn, {loading.MANY[0]} pictures" in times


@pytest.mark.parametrize("name", NAMES)
def test_the_same_picture_gives_the_same_answer_twice(name):
    model, data = load(name)
    pictures = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    assert model.preparation.size == data["preprocessing"]["size"]
    assert torch.equal(predict(model, pictures), predict(model, pictures))


def test_an_encoder_without_names_has_parts_as_large_as_ours():
    """So that the two can be compared: only what the parts have learned differs."""
    encoder, _ = load("encoder_photos")
    assert tuple(map(len, NAMELESS)) == (len(encoder.colours), len(encoder.patterns))


ANSWERS = {  # all logits, and each seventh number of an embedding, at commit 629f20c
    "classifier_photos": [0.55, -2.81, 0.85, 1.62, -0.01, 0.42, -1.51],
    "classifier_drawn": [-0.24, -2.18, -1.40, 3.44, -0.27, -0.19, 0.42],
    "encoder_photos": [0.026, 0.028, 0.088, 0.022, 0.045, -0.000, -0.133, 0.348, 0.407, 0.016],
    "encoder_drawn": [0.102, 0.037, 0.064, 0.055, 0.007, -0.029, 0.007, 0.126, 0.206, 0.529],
}
FINGERPRINTS = {"encoder_photos": "27c2824854867691", "encoder_drawn": "d7594249e61debca"}


@pytest.mark.parametrize("name", NAMES)
def test_they_answer_as_they_did_when_they_were_shipped(name):
    """The code can change what weights mean; an index that was saved before would not know."""
    down, across = torch.meshgrid(torch.arange(120), torch.arange(90), indexing="ij")
    picture = torch.stack([2 * across, 2 * down, across // 9 % 2 * 255]).byte()
    found = predict(load(name)[0], picture[None])[0]
    found = found[::7] if name.startswith("encoder") else found
    assert found.tolist() == pytest.approx(ANSWERS[name], abs=0.02)


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_indexes_that_were_made_with_them_can_still_be_searched(name):
    """A fingerprint that is worked out otherwise would refuse them all."""
    assert fingerprint(load(name)[0]) == FINGERPRINTS[name]


def figure(name: str, key: str) -> float:
    return float(load(name)[1]["figures"][key].split()[0])


LEAST = {  # of the test pictures whose looks are labelled
    "photos": {"category": 0.92, "alike": 0.48, "colour": 0.60, "patterned": 0.50},
    "drawn": {"category": 0.94, "alike": 0.75, "colour": 0.93, "pattern": 0.83},
}


@pytest.mark.parametrize("name", CATALOGS)
def test_the_encoder_finds_what_looks_alike(name):
    for look, least in LEAST[name].items():
        assert figure(f"encoder_{name}", f"test {shipped_weights.LOOKS[look]}") >= least
    assert load(f"encoder_{name}")[1]["parameters"] <= 440_000


def test_the_photos_classifier_learned_from_two_that_name_fewer():
    """Chapter 2 says so. The share is the first word of a figure."""
    figures = load("classifier_photos")[1]["figures"]
    student = float(figures["validation accuracy"].split("%")[0])
    for network in ("first", "ten-class"):
        theirs = figures[f"validation accuracy of the {network} network"]
        assert student > float(theirs.split("%")[0])


@pytest.fixture
def ten_classes_kept(tmp_path, monkeypatch):
    """An untrained network of ten answers where the trained one is looked for."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    model = sized(build_classifier("fashion", 10).eval(), 32)
    save_classifier(ten_classes.kept(0), model, ten_classes.TEN)
    return model


def test_the_ten_class_network_is_asked_about_the_seven_alone(ten_classes_kept):
    pictures = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    seven = shipped_weights.ten_classes_network(7)
    assert torch.equal(predict(seven, pictures), predict(ten_classes_kept, pictures)[:, :7])


def test_the_photos_classifier_begins_as_a_copy_of_its_first_teacher(monkeypatch):
    """Which would learn along otherwise."""
    first, ten, asked = build_classifier("article", 2), build_classifier("article", 2), []
    monkeypatch.setattr(shipped_weights, "first_network", lambda _: first)
    monkeypatch.setattr(shipped_weights, "ten_classes_network", lambda _: ten)
    monkeypatch.setattr(shipped_weights, "learn_from", lambda _, teachers: asked.extend(teachers))
    monkeypatch.setattr(shipped_weights, "run_training", lambda made, _: (made.model, []))
    student, _ = shipped_weights.learn_photos(striped_catalog(16, 4), Path("kept"))
    assert asked == [first, ten]
    assert same_weights(student, first)
    theirs = {id(parameter) for network in asked for parameter in network.parameters()}
    assert not theirs & {id(parameter) for parameter in student.parameters()}


def test_the_photos_classifier_sees_mixed_pictures_and_its_teachers_are_judged_by_validation(
    monkeypatch,
):
    """As its card says, which gives the share of mixing and the two teachers' figures."""
    first, ten = build_classifier("article", 2), build_classifier("article", 2)
    catalog, changes = striped_catalog(16, 4), []
    monkeypatch.setattr(shipped_weights, "first_network", lambda _: first)
    monkeypatch.setattr(shipped_weights, "ten_classes_network", lambda _: ten)
    monkeypatch.setattr(shipped_weights, "accuracy_of", lambda *asked: asked)
    learn = lambda training, _: changes.extend(training.about.get("changes", []))  # noqa: E731
    monkeypatch.setattr(shipped_weights, "learn_from", learn)
    monkeypatch.setattr(shipped_weights, "run_training", lambda made, _: (made.model, []))
    _, figures = shipped_weights.learn_photos(catalog, Path("kept"))
    assert changes == ["mixup"]
    for name, teacher in (("first", first), ("ten-class", ten)):
        network, split = figures[f"validation accuracy of the {name} network"]
        assert network is teacher
        assert split is catalog.validation


def test_the_script_trains_what_is_missing_and_nothing_else(
    ten_classes_kept, tmp_path, monkeypatch, capsys
):
    """One epoch each on small pictures of stripes; the second time nothing is trained."""
    monkeypatch.setattr(shipped_weights, "SHIPPED", tmp_path / "shipped")
    (tmp_path / "shipped").mkdir()
    for name in ("CLASSIFIER_RECIPES", "ENCODER_RECIPES"):
        recipe = getattr(shipped_weights, name)["photos"]
        small = replace(recipe, epochs=1, size=32, evaluation_size=32, batch_size=16)
        monkeypatch.setattr(shipped_weights, name, {"photos": small})
    short = replace(shipped_weights.MILD_RECIPE, epochs=1, size=32, evaluation_size=32)
    monkeypatch.setattr(shipped_weights, "MILD_RECIPE", short)
    catalog = striped_catalog(64, 16, "photos")
    monkeypatch.setattr(shipped_weights, "load_catalog", lambda name: catalog)
    shipped_weights.main("photos")
    made = {path.name: path.read_bytes() for path in (tmp_path / "shipped").iterdir()}
    assert set(made) == {
        f"{kind}_photos.{end}"
        for kind in ("classifier", "encoder")
        for end in ("md", "safetensors")
    }
    assert "test accuracy" in capsys.readouterr().out
    monkeypatch.delattr(shipped_weights, "run_training")
    shipped_weights.main("photos")
    assert made == {path.name: path.read_bytes() for path in (tmp_path / "shipped").iterdir()}
