"""What the scripts of `tools/measure` count and time, on cases that are worked out by hand."""

import itertools
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import ablation
import article
import as_printed
import export
import latency
import look_ablation
import looks
import pipeline
import pytest
import recording
import stores
import throughput
import torch
import transfer
from tiny import same_weights, striped_catalog
from torch import nn
from written import written_by

from fashionlib.catalog import SEVEN, Catalog, Split
from fashionlib.heads import build_classifier
from fashionlib.inference import predict
from fashionlib.pages.recorded_results import recorded
from fashionlib.training import Recipe
from fashionlib.transforms import AUGMENTATIONS, Preparation, augment
from fashionlib.weights import shipped, weights_hash


def logits_of(answers: list[int], classes: int = 3) -> torch.Tensor:
    return nn.functional.one_hot(torch.tensor(answers), classes).float()


# Indexes


def test_recall_is_the_share_of_the_nearest_that_are_found():
    nearest = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])
    found = iter([[4, 3, 9, 0], [5, 6, 7, 8]])
    assert stores.recall(lambda query: next(found), torch.zeros(2, 3), nearest) == 6 / 8


def test_a_larger_catalog_lies_as_its_photos_do():
    """Unit vectors, each about as far from a photo as a photo's nearest neighbour is."""
    photos = nn.functional.normalize(torch.randn(300, 6), dim=1)
    made = stores.enlarge(photos, 500, seed=1)
    assert torch.allclose(made.norm(dim=1), torch.ones(500), atol=1e-5)
    assert torch.equal(made, stores.enlarge(photos, 500, seed=1))
    assert not torch.equal(made, stores.enlarge(photos, 500, seed=2))
    between = torch.cdist(photos, photos).fill_diagonal_(9).min(dim=1).values.median()
    to_photos = torch.cdist(made, photos).min(dim=1).values.median()
    assert 0.4 * between < to_photos < 1.6 * between


def test_a_larger_catalog_lies_in_the_directions_in_which_its_photos_lie():
    """All but on a line, in pairs: what is made moves along it, as far as within a pair."""
    along = (0.1 * torch.arange(20)[:, None] + torch.tensor([0.0, 0.01])).flatten()
    photos = torch.stack([along, along, torch.ones(40)], dim=1) + 1e-4 * torch.randn(40, 3)
    made = stores.enlarge(photos, 500, seed=1)
    x, y = made[:, 0] / made[:, 2], made[:, 1] / made[:, 2]
    assert (x - y).abs().median() < 1e-3
    to_photos = (x[:, None] - photos[:, 0]).abs().min(dim=1).values.median()
    assert 2e-3 < to_photos < 1e-2


def test_times_are_of_each_index_and_ratios_to_the_first():
    """One that computes five times as long; by the processor's clock, in each round."""

    def busy(milliseconds: float) -> None:
        until = time.process_time() + milliseconds / 1000
        while time.process_time() < until:
            pass

    rows = [{"search": lambda _, ms=ms: busy(ms)} for ms in (5.0, 1.0)]
    stores.measure_times(rows, torch.zeros(10, 2))
    slow, fast = rows
    assert slow["processor_ms"][1] == pytest.approx(5, rel=0.2)
    assert fast["processor_ms"][1] == pytest.approx(1, rel=0.3)
    assert fast["ms"][1] >= 0.9 * fast["processor_ms"][1]
    assert slow["times_as_fast"] == [1.0] * stores.ROUNDS
    assert all(3 < ratio < 7 for ratio in fast["times_as_fast"])


# What 8 bits cost


def test_classifiers_are_compared_by_right_and_by_equal_answers():
    catalog = striped_catalog(4, 4)
    labels = catalog.validation.labels.tolist()
    exact = {"validation": logits_of(labels)}
    rounded = {"validation": logits_of([labels[0], 2, 2, labels[3]])}
    found = export.compare_classifiers(exact, rounded, catalog, "validation")
    assert found == {"right": {"exact": 4, "int8": 2}, "same": 2, "photos": 4}
    assert export.agreement(found) == 2


def test_encoders_are_compared_by_what_they_find():
    """On a line, by hand: the second query, rounded, lies among the other class."""
    catalog = striped_catalog(12, 2)
    places = torch.arange(12.0)[:, None]
    by_class = torch.where(catalog.train.labels[:, None] == 0, places, places + 100)
    exact = {"train": by_class, "validation": torch.tensor([[0.0], [101.0]])}
    rounded = {"train": by_class, "validation": torch.tensor([[0.0], [0.0]])}
    found = export.compare_encoders(exact, rounded, catalog, "validation")
    assert catalog.validation.labels.tolist() == [0, 1]
    means = {name: row["mean"] for name, row in found["precision"].items()}
    assert means == {"exact": 1.0, "int8": 0.5, "mixed": 0.5}
    assert found["same"] == {"int8": 5, "mixed": 5}
    assert found["results"] == 10
    assert export.agreement(found) == 5
    assert export.agreement({"same": {"int8": 3, "mixed": 4}}) == 3


def test_scales_are_chosen_by_the_validation_photos_and_test_is_asked_of_that_choice_alone(
    tmp_path, monkeypatch
):
    catalog = striped_catalog(40, 10)
    asked, given = [], []

    def outputs(run, _, splits):
        asked.append((run, splits))
        return {split: logits_of([int(run)] * 4) for split in splits}

    monkeypatch.setattr(export, "load_onnx", lambda path: (path.stem[-1], {}))
    monkeypatch.setattr(export, "quantise_onnx", lambda _, __, pictures: given.append(pictures))
    monkeypatch.setattr(export, "CALIBRATION", (10, 31, 20))  # the best is not the last
    monkeypatch.setattr(export, "outputs", outputs)
    compare = lambda exact, rounded, _, split: {  # noqa: E731
        "exact": int(exact[split][0].argmax()),
        "same": int(rounded[split][0].argmax()),
        "split": split,
    }
    monkeypatch.setattr(export, "compare_classifiers", compare)
    path, found = export.cost("classifier", tmp_path / "exported2.onnx", tmp_path, catalog)
    of_validation = {"exact": 2, "split": "validation"}
    assert found["tried"] == [
        {"pictures": count, "validation": of_validation | {"same": count % 10}}
        for count in (10, 31, 20)
    ]
    assert (found["chosen"], path.name) == (31, "classifier_31.onnx")
    assert found["test"] == {"exact": 2, "same": 1, "split": "test"}
    with_test = [run for run, splits in asked if "test" in splits]
    assert with_test == ["2", "1"]  # the exported file, and the chosen one
    known = [image.tolist() for image in catalog.train.images]
    for count, pictures in zip((10, 31, 20), given, strict=True):
        places = {known.index(picture.tolist()) for picture in pictures}
        assert len(places) == len(pictures) == count
        assert max(places) >= count  # from all of the catalog, which is in order of its classes


def test_how_many_times_as_fast_a_way_runs_is_by_what_the_processor_does(monkeypatch):
    """By the clock all took as long: the faster ones were made to wait."""
    ways = "eager", "compiled", "onnxruntime", "onnxruntime int8"
    clock = {name: [8.0, 8.0] for name in ways}
    processor = {name: [8.0 / times] * 2 for times, name in enumerate(ways, start=1)}
    run = lambda images: images  # noqa: E731
    monkeypatch.setattr(export, "ROUNDS", {1: 2})
    monkeypatch.setattr(export, "compiled", lambda *_: (run, {}))
    for name in ("of_torch", "of_onnx"):
        monkeypatch.setattr(export, name, lambda *_: run)
    monkeypatch.setattr(export, "take_turns", lambda *_: (clock, processor))
    path = Path("network.onnx")
    rows, _ = export.measure_times(nn.Identity(), 8, path, path, torch.zeros(1, 3, 8, 8))
    assert [(row["way"], row["batch"]) for row in rows] == [(way, 1) for way in ways]
    assert [row["ms"] for row in rows] == [[8.0] * 3] * 4
    assert [row["processor_ms"] for row in rows] == [[ms] * 3 for ms in (8.0, 4.0, 2.667, 2.0)]
    assert [row["times_as_fast"] for row in rows] == [[times] * 3 for times in (1, 2, 3, 4)]


# Networks and looks


class Brightness(nn.Module):
    """Answers 1 where the left half is brighter, else 0; 0 and a little 1 where both are alike."""

    def __init__(self) -> None:
        super().__init__()
        self.preparation, self.unused = Preparation(8), nn.Parameter(torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left, right = x[..., :4].mean(dim=(1, 2, 3)), x[..., 4:].mean(dim=(1, 2, 3))
        return torch.stack([torch.full_like(left, 0.1), left - right], dim=1)


def test_pictures_named_right_plain_and_with_the_mirror_image():
    """A picture and its mirror image cancel out, so together they always answer 0."""
    images = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    images[:2, :, :, :4] = 200
    split = Split(images, torch.tensor([1, 0, 0, 1]), ("a", "b", "c", "d"))
    assert ablation.right(Brightness(), split) == {"plain": 2, "with mirror image": 2}
    split = replace(split, labels=torch.tensor([1, 1, 0, 0]))
    assert ablation.right(Brightness(), split) == {"plain": 4, "with mirror image": 2}


def test_balanced_classes_come_equally_often():
    labels = torch.tensor([0] * 900 + [1] * 100)
    split = Split(torch.zeros(1000, 1), labels, tuple(map(str, range(1000))))
    found = ablation.balanced(split)
    assert len(found) == 1000
    assert 430 < int((found.labels == 1).sum()) < 570


def test_shares_of_five_are_counts():
    assert looks.plain({"a": torch.tensor([0.2, 1.0])}) == {"a": [1.0, 5.0]}


def dressed(count: int) -> Split:
    """Labels of two classes, three colours and two patterns, and no pictures."""
    colours = tuple(("red", "blue", "grey")[n] for n in torch.randint(3, (count,)).tolist())
    patterns = tuple(("plain", "dots")[n] for n in torch.randint(2, (count,)).tolist())
    looks_of = {"colour": colours, "pattern": patterns}
    labels = torch.randint(2, (count,))
    return Split(torch.zeros(count, 1), labels, tuple(map(str, range(count))), looks_of)


def test_a_wanted_look_is_another_and_there_is_enough_of_it():
    """Pairs by hand: for each query the other's colour and pattern both differ, and five exist."""
    queries, train = dressed(21), dressed(60)
    firsts, seconds = looks.pairs(queries, train)
    assert len(firsts) > 10

    def look(split: Split, n: int) -> tuple[str, str]:
        return split.attributes["colour"][n], split.attributes["pattern"][n]

    for first, second in zip(firsts.tolist(), seconds.tolist(), strict=True):
        wanted = look(queries, second)
        assert queries.labels[first] != queries.labels[second]
        assert all(a != b for a, b in zip(look(queries, first), wanted, strict=True))
        stock = sum(
            bool(train.labels[n] == queries.labels[first]) and look(train, n) == wanted
            for n in range(60)
        )
        assert stock >= looks.K
    assert torch.equal(looks.pairs(queries, train)[1], seconds)


def test_class_and_colour_together_are_less_than_either():
    queries, train = dressed(7), dressed(35)
    order = torch.stack([torch.randperm(35) for _ in range(7)])
    found = looks.both(order, queries, train)["category and colour"]
    for n, row in enumerate(order.tolist()):
        right = [
            bool(train.labels[p] == queries.labels[n])
            and train.attributes["colour"][p] == queries.attributes["colour"][n]
            for p in row[: looks.K]
        ]
        assert float(found[n]) == pytest.approx(sum(right) / looks.K)


def test_trials_differ_from_the_first_and_from_each_other():
    trials = list(ablation.TRIALS.items())
    for (one, first), (other, second) in itertools.combinations(trials, 2):
        assert first != second, (one, other)


# Trainings that are recorded


def test_a_recorded_classifier_is_counted_on_both_splits():
    catalog = striped_catalog(32, 8)
    recipe = Recipe(epochs=1, size=32, evaluation_size=40, batch_size=16)
    model, found = article.run(build_classifier("article", 2), catalog, recipe, seed=0)
    for name in ("validation", "test"):
        split = catalog.splits[name]
        answers = predict(model, split.images).argmax(dim=1)
        assert found["right"][name] == [int((answers == split.labels).sum()), len(split)]
    assert found["parameters"] == sum(p.numel() for p in model.parameters())
    assert [row["epoch"] for row in found["history"]] == [1]


def test_the_articles_encoder_has_any_length_and_its_own_backbone():
    classifier = build_classifier("article").eval()
    encoder = article.plain_encoder(classifier).eval()
    embeddings = encoder(torch.rand(5, 3, 32, 32)).detach()
    assert embeddings.shape == (5, 64)
    assert embeddings.norm(dim=1).std() > 1e-4
    assert same_weights(encoder.backbone, classifier.backbone)
    assert encoder.backbone is not classifier.backbone


def test_only_the_first_encoder_of_the_transfer_table_starts_from_the_classifier(monkeypatch):
    classifier, starts = build_classifier("fashion", 2), []

    def train(encoder, *_):
        starts.append(same_weights(encoder.backbone, classifier.backbone))
        return encoder, []

    monkeypatch.setattr(transfer, "train_classifier", lambda *_: (classifier, []))
    monkeypatch.setattr(transfer, "train_siamese", train)
    histories = transfer.run_seed(striped_catalog(4, 4), 3)
    assert starts == [True, False, False]
    assert list(histories) == ["classifier", "transfer", "scratch", "scratch, twice as long"]


def test_triplets_to_the_letter_train_the_classifiers_own_backbone(monkeypatch):
    """What they leave of the classifier is asked of that very network, after them."""
    model, trained = as_printed.build(as_printed.NETWORKS["to the letter"], 2), []
    train = lambda encoder, *_: (trained.append(encoder), [])  # noqa: E731
    monkeypatch.setattr(as_printed, "train_siamese", train)
    monkeypatch.setattr(as_printed, "evaluate_encoder", lambda *_: {"precision@5": len(trained)})
    monkeypatch.setattr(as_printed, "right", lambda network, _: (network, len(trained)))
    found = as_printed.triplets(model, striped_catalog(4, 4), 0)
    assert trained[0].backbone is model.backbone
    assert found["precision@5 before"] == 0
    assert found["right after triplets"] == (model, 1)


def test_other_light_changes_brightness_more_than_white_balance():
    """Of a grey picture every pixel alike; channels drift apart less than all of them together."""
    torch.manual_seed(0)
    grey = torch.full((3, 8, 8), 100, dtype=torch.uint8)
    lit = torch.stack([look_ablation.other_light(grey) for _ in range(400)]).float()
    assert torch.equal(lit.amin(dim=(2, 3)), lit.amax(dim=(2, 3)))
    gains = lit[:, :, 0, 0] / 100
    assert gains.mean().item() == pytest.approx(1, abs=0.02)
    brightness, cast = gains.mean(dim=1).std(), (gains - gains.mean(dim=1, keepdim=True)).std()
    assert 0.09 < brightness < 0.16
    assert 0.03 < cast < 0.08
    white = look_ablation.other_light(torch.full((3, 2, 2), 255, dtype=torch.uint8))
    assert white.min() > 100  # cut off at white, not begun again at black


def test_in_other_light_what_is_red_stays_red():
    red = torch.zeros(1, 3, 40, 40, dtype=torch.uint8)
    red[0, 0] = 200
    seen = augment(red.expand(20, -1, -1, -1), look_ablation.in_other_light(32))
    assert (seen[:, 0] > 90).all()
    assert (seen[:, 1:] == 0).all()
    assert "other light" not in AUGMENTATIONS  # until the script runs


def test_only_trials_and_seeds_that_are_missing_are_run():
    done = [{"trial": name, "seed": 0} for name in list(look_ablation.TRIALS)[1:]]
    missing = look_ablation.missing(done, [0, 1])
    first = next(iter(look_ablation.TRIALS))
    assert missing == [(first, 0), *((name, 1) for name in look_ablation.TRIALS)]


def test_what_a_script_has_measured_is_read_again(monkeypatch, tmp_path):
    monkeypatch.setattr(recording, "RESULTS", tmp_path)
    monkeypatch.setattr(recording, "recorded", lambda name: {"runs": [name]})
    assert recording.measured("none", "runs") == []
    (tmp_path / "some.json").touch()
    assert recording.measured("some", "runs") == ["some"]


def test_a_round_of_training_takes_so_many_batches_and_moves_the_weights(monkeypatch):
    taken = []

    def batches():
        while True:
            taken.append(1)
            yield torch.zeros(4, 3, 32, 32, dtype=torch.uint8), torch.arange(4)

    monkeypatch.setattr(throughput, "BATCHES", 3)
    train = throughput.trainer(7, batches())
    train()
    assert len(taken) == 3
    train()
    assert len(taken) == 6


def test_a_ratio_of_throughput_is_how_many_times_as_long_a_way_takes(monkeypatch, tmp_path):
    """The third round was slow for all; the ratio does not see it."""
    ours = [100.0, 200.0, 1000.0]
    clock = {"ours": ours, "ImageFolder, no workers": [3 * ms for ms in ours]}
    written = written_by(throughput, monkeypatch)
    catalog = replace(striped_catalog(4, 4, "photos"), root=tmp_path)
    monkeypatch.setattr(throughput, "load_catalog", lambda _: catalog)
    monkeypatch.setattr(throughput, "ImageFolder", lambda *_: SimpleNamespace(classes="ab"))
    for name in ("from_files", "trainer", "parts_of_a_step"):
        monkeypatch.setattr(throughput, name, lambda *_: None)
    monkeypatch.setattr(throughput, "take_turns", lambda *_: (clock, {}))
    throughput.main()
    assert written[0]["ratios"] == {"ours": [1.0] * 3, "ImageFolder, no workers": [3.0] * 3}
    pictures = throughput.BATCHES * throughput.RECIPE.batch_size
    assert written[0]["rates"]["ours"] == [10 * pictures, 5 * pictures, pictures]


class LeftHalf(Brightness):
    """As sure of 1 as the left half is bright."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left = (x[..., :4].mean(dim=(1, 2, 3)) + 1) / 2
        return torch.stack([torch.full_like(left, 0.2), left], dim=1)


def test_the_mirror_image_adds_to_the_picture_and_does_not_replace_it():
    """Bright on the left: 1 against 0.2; its mirror image: 0 against 0.2; both: 1 against 0.4."""
    images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    images[..., :4] = 255
    split = Split(images, torch.tensor([1, 1]), ("a", "b"))
    assert ablation.right(LeftHalf(), split) == {"plain": 2, "with mirror image": 2}


LOOKS = {"colour": ("red", "blue"), "pattern": ("plain", "dots")}


def placed(rows: list[tuple[int, int]]) -> Split:
    """Instead of pictures their embeddings: the class, then twice the look."""
    attributes = {name: tuple(own[look] for _, look in rows) for name, own in LOOKS.items()}
    embeddings = torch.tensor([[label, look, look] for label, look in rows]).float()
    return Split(embeddings, embeddings[:, 0].long(), tuple(map(str, range(len(rows)))), attributes)


def test_a_query_of_two_pictures_asks_for_the_class_of_the_first_in_the_look_of_the_second(
    monkeypatch,
):
    stock = [(label, look) for label in (0, 1) for look in (0, 1)] * looks.K
    test = placed([(0, 0), (1, 1)])
    catalog = Catalog("drawn", ("a", "b"), placed(stock), test, test)
    blended = SimpleNamespace(blended=lambda what, look: torch.cat([what[:1], look[1:]]))
    own = {shipped("encoder_drawn"): (blended, {})}
    monkeypatch.setattr(looks, "load_encoder", own.__getitem__)
    monkeypatch.setattr(looks, "predict", lambda _, embeddings: embeddings)
    assert looks.mean_of(torch.tensor([0.0, 2.0]), torch.tensor([4.0, 0.0])).tolist() == [2, 1]
    found = looks.two_pictures(catalog)["blended"]
    assert found["category"] == found["colour"] == found["alike"] == [5.0, 5.0]
    assert found["category and colour"] == [5.0, 5.0]


def test_recipes_of_looks_are_compared_by_the_validation_pictures(monkeypatch):
    """Of them all is found, and of the test pictures nothing."""
    stock = placed([(label, look) for label in (0, 1) for look in (0, 1)] * looks.K)
    right = placed([(0, 0), (1, 1)])
    wrong = replace(right, labels=1 - right.labels, attributes=placed([(0, 1), (1, 0)]).attributes)
    for name in ("load_classifier", "train_siamese"):
        monkeypatch.setattr(look_ablation, name, lambda *_: (None, None))
    monkeypatch.setattr(look_ablation, "encoder_for", lambda *_: None)
    monkeypatch.setattr(look_ablation, "predict", lambda _, embeddings: embeddings)
    catalog = Catalog("photos", ("a", "b"), stock, right, wrong)
    found = look_ablation.run(look_ablation.BASE, 0, catalog)
    assert found["alike"] == found["category"] == found["colour"] == 1.0


def halves(left: int, right: int) -> torch.Tensor:
    """A picture of two greys."""
    return torch.tensor([left, right], dtype=torch.uint8).expand(3, 4, 2)


def test_a_mean_colour_weighs_as_much_as_is_said(monkeypatch):
    """Three fifths of the way from black to white are 1.02 in three channels; features say √2.

    So the class is found where colours weigh no more than features, and lost where they weigh
    twice as much.
    """
    query, alike, other = halves(40, 60), halves(190, 210), halves(60, 40)
    images = torch.stack([alike, other] * looks.K)
    attributes = {"colour": ("red",) * len(images), "pattern": ("plain",) * len(images)}
    labels = torch.tensor([0, 1] * looks.K)
    train = Split(images, labels, tuple(map(str, range(len(images)))), attributes)
    alone = {name: values[:1] for name, values in attributes.items()}
    test = Split(query[None], torch.tensor([0]), ("query",), alone)
    catalog = Catalog("photos", ("a", "b"), train, test, test)

    def features(_: object, images: torch.Tensor) -> torch.Tensor:
        return nn.functional.one_hot((images[:, 0, 0, 0] > images[:, 0, 0, 1]).long(), 2).float()

    for name in ("load_classifier", "load_encoder", "train_siamese"):
        monkeypatch.setattr(looks, name, lambda *_: (None, {}))
    for name in ("Features", "encoder_for"):
        monkeypatch.setattr(looks, name, lambda *_: None)
    monkeypatch.setattr(looks, "recorded", lambda _: {"photos": {"rows": {looks.BEFORE: {}}}})
    monkeypatch.setattr(looks, "predict", features)
    rows = looks.rows_of(catalog)
    for weight, right in ((1, 5.0), (2, 0.0)):
        assert rows[f"features and {weight} × mean colour"]["category"] == [right]


def test_each_class_that_no_network_was_trained_for_is_asked_about(monkeypatch):
    test = placed([(label, 0) for label in range(len(looks.TEN))])
    train = test.at(torch.arange(len(test)).repeat(looks.K))
    catalog = Catalog("photos", looks.TEN, train, test, test)
    monkeypatch.setattr(looks, "load_catalog", lambda *_, **__: catalog)
    for name in ("load_classifier", "load_encoder"):
        monkeypatch.setattr(looks, name, lambda _: (None, {}))
    monkeypatch.setattr(looks, "Features", lambda classifier: classifier)
    monkeypatch.setattr(looks, "predict", lambda _, embeddings: embeddings)
    found = looks.unseen()
    assert set(found) == set(looks.TEN) - set(SEVEN)
    assert all(rows == {"classifier features": [5], looks.OURS: [5]} for rows in found.values())


def test_the_rate_of_embedding_leaves_out_what_starting_takes(tmp_path, monkeypatch):
    """One picture takes 2 s, 21 take 12 s: twenty more in ten."""
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a.jpg").touch()
    clock = iter([0.0, 2.0, 100.0, 112.0])
    monkeypatch.setattr(pipeline, "ensure_photos", lambda: tmp_path)
    monkeypatch.setattr(pipeline.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(pipeline, "embed_folder", lambda folder, *_: SimpleNamespace(
        pictures=1 if folder.name == "one" else 21))  # fmt: skip
    row = pipeline.embedding(2)
    assert (row["processes"], row["pictures"]) == (2, 21)
    assert (row["start_seconds"], row["seconds"]) == (2.0, 12.0)
    assert row["pictures_per_second"] == 2.0


def test_what_onnx_runtime_is_timed_with_is_the_network_in_evaluation_mode(tmp_path):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
    network(torch.rand(8, 3, 8, 8))
    session = latency.onnxruntime_session(network.train(), 8, tmp_path)
    run = latency.given(session, 2, 8)
    wanted = network.eval()(torch.zeros(2, 3, 8, 8)).detach()
    assert torch.allclose(torch.from_numpy(run()[0]), wanted, atol=1e-5)
    options = session.get_session_options()
    assert options.intra_op_num_threads == options.inter_op_num_threads == 1


def test_each_part_of_a_step_is_done_when_it_is_timed(monkeypatch):
    """The average is moved in each step; what a step does not do would be timed as nothing.

    The first five of eight steps warm up. By the clock, each part takes a second more than the one
    before: 6 parts a step, and the sixth step begins with 30.
    """
    moved, update, ticks = [], throughput.update_average, itertools.count()
    clock = lambda: (tick := next(ticks)) // 2 * (tick % 2)  # noqa: E731
    monkeypatch.setattr(throughput, "time", SimpleNamespace(perf_counter=clock))
    monkeypatch.setattr(throughput, "quartiles", list)
    monkeypatch.setattr(throughput, "BATCHES", 4)
    monkeypatch.setattr(throughput, "RECIPE", Recipe(batch_size=4, size=32))
    monkeypatch.setattr(throughput, "update_average", lambda *given: moved.append(update(*given)))
    images = torch.zeros(8, 3, 40, 40, dtype=torch.uint8)
    parts = throughput.parts_of_a_step(images, AUGMENTATIONS["fashion"](32), 7)
    names = ["augment", "to floats", "forward", "backward", "optimizer", "average"]
    assert list(parts) == names
    for n, name in enumerate(names):
        assert parts[name] == [1000 * (first + n) for first in (30, 36, 42)]
    assert len(moved) == 8


PICTURES = torch.arange(100, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 2, 2)


@pytest.mark.parametrize(
    "batches",
    [
        throughput.from_memory(PICTURES, nn.Identity()),
        throughput.from_files([(picture, n % 7) for n, picture in enumerate(PICTURES)], 0),
    ],
    ids=["ours", "ImageFolder"],
)
def test_either_loop_takes_each_picture_once_with_its_label(batches):
    """In any order. The last few that make no whole batch are left out; then it begins anew."""
    for _ in range(2):
        whole = [next(batches) for _ in range(100 // throughput.RECIPE.batch_size)]
        pictures = torch.cat([augmented[:, 0, 0, 0] for augmented, _ in whole]).long()
        assert len(set(pictures.tolist())) == len(pictures) > 90
        assert pictures.tolist() != sorted(pictures.tolist())
        assert torch.equal(torch.cat([labels for _, labels in whole]), pictures % 7)


def test_each_network_is_exported_in_three_ways_and_its_own_weights_are_named(monkeypatch):
    """Files of as many bytes as their names have letters; the test photos are what is timed."""
    catalog, exports, timed, threads = striped_catalog(4, 4, "photos"), [], [], []
    written = written_by(export, monkeypatch)
    networks = {kind: nn.Linear(2, n) for n, kind in enumerate(("classifier", "encoder"), start=1)}

    def write(path: Path) -> Path:
        path.write_text(path.name)
        return path

    def cost(kind: str, exported: Path, folder: Path, given: Catalog) -> tuple[Path, dict]:
        assert (exported.name, given) == (f"{kind}.onnx", catalog)
        return write(folder / f"{kind}_small.onnx"), {"of": kind}

    def times(model: nn.Module, *given: object) -> tuple[list, dict]:
        timed.append(given)
        return [model.out_features], {}

    for kind, network in networks.items():
        network.preparation = Preparation(32 * network.out_features)
        own = {shipped(f"{kind}_photos"): (network, {})}
        monkeypatch.setattr(export, f"load_{kind}", own.__getitem__)
    monkeypatch.setattr(export, "load_catalog", lambda _: catalog)
    monkeypatch.setattr(
        export, "export_onnx", lambda *paths: exports.append((paths[0], write(paths[1])))
    )
    monkeypatch.setattr(export, "cost", cost)
    monkeypatch.setattr(export, "measure_times", times)
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    export.main()
    assert threads == [1]
    ours = recorded("export")
    for (kind, network), (weights, exported), given in zip(
        networks.items(), exports, timed, strict=True
    ):
        found = written[0]["networks"][kind]
        assert {"tried", "chosen", "test", *found} - {"of"} == set(ours["networks"][kind])
        assert weights == shipped(f"{kind}_photos")
        assert found["bytes"] == {
            "safetensors": weights.stat().st_size,
            "onnx": len(f"{kind}.onnx"),
            "onnx int8": len(f"{kind}_small.onnx"),
        }
        assert (found["of"], found["rows"]) == (kind, [network.out_features])
        assert found["weights"] == weights_hash(network)
        assert found["size"] == network.preparation.size
        small = exported.with_name(f"{kind}_small.onnx")
        assert given == (found["size"], exported, small, catalog.test.images)
