"""Recorded results say where they come from, and hold what the chapter reads of them."""

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from zipfile import ZipFile

import ablation
import article
import as_printed
import doubted_labels
import latency
import looks
import pytest
import rivals
import small_networks
import ten_classes
import torch
import transfer

from fashionlib.catalog import SEVEN, load_catalog
from fashionlib.counting import count_macs, count_parameters
from fashionlib.errors import FashionError
from fashionlib.heads import build_classifier
from fashionlib.pages import recorded_results
from fashionlib.retrieval import agreement_at_k, labelled, labelled_positions, ranking
from fashionlib.weights import load_classifier, load_encoder, shipped, weights_hash


@pytest.mark.parametrize(
    "path", sorted(recorded_results.RESULTS.glob("*.json")), ids=lambda p: p.stem
)
def test_every_file_says_where_it_comes_from(path):
    results = recorded_results.recorded(path.stem)
    line = recorded_results.about(results)
    assert (recorded_results.RESULTS.parents[2] / results["made_by"]).is_file()
    versions = [f"{name} {version}" for name, version in results["versions"].items()]
    assert any(version.startswith("torch ") for version in versions)
    assert line == ", ".join([results["made_by"], results["date"], results["machine"], *versions])
    assert path.stat().st_size < 1_000_000


def test_there_is_something_recorded():
    names = {path.stem for path in recorded_results.RESULTS.glob("*.json")}
    assert names == {
        "ablation",
        "article",
        "as_printed",
        "export",
        "labels",
        "latency",
        "look_ablation",
        "looks",
        "phone",
        "pipeline",
        "rivals",
        "senders",
        "small",
        "solutions",
        "stores",
        "ten_classes",
        "throughput",
        "transfer",
    }


def test_no_such_results():
    with pytest.raises(FashionError, match="no recorded results 'nothing'"):
        recorded_results.recorded("nothing")


def test_results_that_are_cut_off(tmp_path, monkeypatch):
    whole = (recorded_results.RESULTS / "small.json").read_text(encoding="utf-8")
    monkeypatch.setattr(recorded_results, "RESULTS", tmp_path)
    (tmp_path / "small.json").write_text(whole[:-100], encoding="utf-8")
    with pytest.raises(FashionError, match=r"small\.json is damaged"):
        recorded_results.recorded("small")


def test_transfer_was_run_by_the_script_as_it_is():
    """Other recipes or seeds in the script than in the file: run it again."""
    results = recorded_results.recorded("transfer")
    assert results["encoder"] == json.loads(json.dumps(asdict(transfer.ENCODER)))
    assert results["classifier"] == json.loads(json.dumps(asdict(transfer.CLASSIFIER)))
    assert tuple(run["seed"] for run in results["runs"]) == transfer.SEEDS
    for run in results["runs"]:
        epochs = {name: len(rows) for name, rows in run["histories"].items()}
        count = transfer.ENCODER.epochs
        assert epochs == {
            "classifier": transfer.CLASSIFIER.epochs,
            "transfer": count,
            "scratch": count,
            "scratch, twice as long": 2 * count,
        }


def test_looks_were_measured_by_the_script_as_it_is():
    results = recorded_results.recorded("looks")
    recipes = {name: asdict(recipe) for name, recipe in looks.RECIPES.items()}
    assert results["recipes"] == json.loads(json.dumps(recipes))
    for catalog, queries in (("photos", 151), ("drawn", 300)):
        rows = results[catalog]["rows"]
        assert list(rows)[-2:] == [looks.BEFORE, looks.OURS]
        assert set(recipes) < set(rows)
        for name, row in rows.items():
            assert {len(row[key]) for key in ("category", "colour", "pattern", "alike")} == {
                queries
            }
            counts = [row[key] for key in ("category", "colour", "pattern", "alike", "patterned")]
            assert all(0 <= count <= looks.K for each in counts for count in each), name
        assert set(results[catalog]["two pictures"]) == {"blended", "mean of both"}
    assert set(results["photos"]["unseen"]) == set(ten_classes.TEN) - set(SEVEN)


def test_what_is_recorded_of_our_encoder_is_what_it_does(photos_here, photo_embeddings):
    """The photos again, from the shipped weights: the same queries, one by one."""
    catalog = load_catalog("photos")
    queries, train = labelled(catalog.test), catalog.train
    asked = photo_embeddings["test"][labelled_positions(catalog.test)]
    order = ranking(asked, photo_embeddings["train"])
    found = looks.plain(agreement_at_k(order, queries, train, looks.K))
    stored = recorded_results.recorded("looks")["photos"]["rows"][looks.OURS]
    for name, counts in found.items():
        # another processor may round a distance so that two neighbours change places
        pairs = zip(counts, stored[name], strict=True)
        assert sum(a != b for a, b in pairs) <= 0.02 * len(counts)


def test_the_articles_figures_were_measured_by_the_script_as_it_is():
    results = recorded_results.recorded("article")
    recipes = {
        "classifiers": {name: asdict(recipe) for name, recipe in article.CLASSIFIERS.items()},
        "triplets": {name: asdict(recipe) for name, (recipe, _) in article.TRIPLETS.items()},
    }
    assert results["recipes"] == json.loads(json.dumps(recipes))
    assert tuple(run["seed"] for run in results["runs"]) == article.SEEDS
    for run in results["runs"]:
        assert list(run["classifiers"]) == list(recipes["classifiers"])
        assert list(run["triplets"]) == list(recipes["triplets"])
        assert all(len(rows) == 15 for rows in run["triplets"].values())
        assert all(len(one["history"]) == 10 for one in run["classifiers"].values())
    assert len(results["controls"]) == 2  # photos and drawn


def test_the_article_to_the_letter_was_measured_by_the_script_as_it_is():
    results = recorded_results.recorded("as_printed")
    recipes = {"classifier": article.ARTICLE_RECIPE, "triplets": as_printed.TRIPLETS}
    wanted = {name: asdict(recipe) for name, recipe in recipes.items()}
    assert results["recipes"] == json.loads(json.dumps(wanted))
    ran = [(run["network"], run["seed"]) for run in results["runs"]]
    assert ran == [(name, seed) for seed in as_printed.SEEDS for name in as_printed.NETWORKS]
    for run in results["runs"]:
        assert run["parameters"] == (429_399 if "without groups" in run["network"] else 33_039)
        assert len(run["losses"]) == 10
        if as_printed.NETWORKS[run["network"]].triplets:
            assert len(run["triplets"]) == 15


@pytest.mark.parametrize("name", as_printed.NETWORKS)
def test_networks_to_the_letter(name):
    """What the name says: which activations there are, and whether one ends the block."""
    network = as_printed.build(as_printed.NETWORKS[name], 7)
    kinds = {type(m) for m in network.modules() if isinstance(m, torch.nn.ReLU | torch.nn.ReLU6)}
    first = network.backbone.blocks[:2](torch.randn(4, 3, 32, 32))
    if name == "linear end":
        assert kinds == {torch.nn.ReLU6}
        assert first.min() < 0
        return
    assert first.min() == 0
    assert (torch.nn.ReLU6 in kinds) == (name == "ReLU after the sum")


def test_the_same_training_was_recorded_alike():
    """Three scripts trained the same network by the same recipe and seed, on one kind of processor.

    Sums are rounded by the processor, so what an Intel one trained (the third seed of the
    ablation) drifts away from what an AMD one did.
    """
    letters = {
        run["seed"]: run["losses"]
        for run in recorded_results.recorded("as_printed")["runs"]
        if run["network"] == "linear end"
    }
    ours = {
        run["seed"]: run["losses"]
        for run in recorded_results.recorded("ablation")["runs"]
        if run["trial"] == "as it is" and not run.get("processor", "").startswith("Intel")
    }
    assert len(ours) >= 2
    for run in recorded_results.recorded("article")["runs"]:
        for plan, losses in (("article", letters), ("fashion", ours)):
            recorded = [round(row["loss"], 4) for row in run["classifiers"][plan]["history"]]
            assert recorded == losses.get(run["seed"], recorded)


def test_times_were_measured_by_the_script_as_it_is():
    results = recorded_results.recorded("latency")
    assert list(results["networks"]) == list(latency.NETWORKS)
    settings = {(row["network"], row["way"], row["size"], row["batch"]) for row in results["rows"]}
    assert settings == {
        (network, way, size, batch)
        for network in latency.NETWORKS
        for way in ("eager", "onnxruntime")
        for size in latency.SIZES
        for batch in latency.ROUNDS
    }
    for row in results["rows"]:
        assert len(row["milliseconds"]) == latency.ROUNDS[row["batch"]]


def test_the_parameters_beside_the_times_are_those_of_the_networks():
    for name, network in recorded_results.recorded("latency")["networks"].items():
        assert network["parameters"] == count_parameters(latency.NETWORKS[name]())


def test_rivals_were_trained_by_the_script_as_it_is():
    results = recorded_results.recorded("rivals")
    assert results["recipe"] == json.loads(json.dumps(asdict(rivals.RECIPE)))
    trained = [(run["network"], run["seed"]) for run in results["runs"]]
    wanted = [(name, seed) for seed in rivals.SEEDS for name in rivals.TRAINED]
    assert sorted(trained) == sorted(wanted)
    for run in results["runs"]:
        assert [total for _, total in run["right"].values()] == [276, 296]
        assert len(run["history"]) == rivals.RECIPE.epochs


def test_the_ablation_was_measured_by_the_script_as_it_is():
    results = recorded_results.recorded("ablation")
    recipes = {name: ablation.recipe_of(trial) for name, trial in ablation.TRIALS.items()}
    assert results["recipes"] == json.loads(json.dumps(recipes))
    ran = [(run["trial"], run["seed"]) for run in results["runs"]]
    assert len(set(ran)) == len(ran)
    assert set(ran) == {(name, seed) for name in recipes for seed in ablation.SEEDS}
    assert max(run["parameters"] for run in results["runs"]) <= ablation.LIMIT


def test_the_labels_were_judged_by_the_script_as_it_is():
    results = recorded_results.recorded("labels")
    assert results["recipe"] == json.loads(json.dumps(asdict(doubted_labels.RECIPE)))
    assert (results["parts"], results["seed"]) == (doubted_labels.PARTS, doubted_labels.SEED)
    doubts = results["doubted"]
    assert 0 < len({row["name"] for row in doubts}) == len(doubts) < results["pictures"]
    for row in doubts:
        assert row["label"] != row["answer"]
        assert row["probability of the answer"] >= row["of the label"]


def test_the_ablation_left_out_the_labels_in_doubt(photos_here):
    """As many pictures fewer as are in doubt: the names are those of the catalog."""
    train = load_catalog("photos").train
    left = ablation.without_doubted(train)
    assert len(left) == len(train) - len(recorded_results.recorded("labels")["doubted"])


def test_the_small_networks_were_trained_by_the_script_as_it_is():
    results = recorded_results.recorded("small")
    assert results["recipe"] == json.loads(json.dumps(asdict(small_networks.RECIPE)))
    assert {run["network"] for run in results["runs"]} == set(small_networks.PLANS)
    assert max(run["parameters"] for run in results["runs"]) <= small_networks.LIMIT
    for run in results["runs"]:
        network = build_classifier(small_networks.PLANS[run["network"]])
        assert run["parameters"] == count_parameters(network)
        assert run["macs"] == count_macs(network, small_networks.RECIPE.evaluation_size)


def test_the_ten_classes_were_trained_by_the_script_as_it_is(photos_archive):
    results = recorded_results.recorded("ten_classes")
    assert results["recipe"] == json.loads(json.dumps(asdict(small_networks.RECIPE)))
    with ZipFile(photos_archive) as archive:  # decoding the photos of ten classes takes its time
        places = [Path(name).parts[-3:] for name in archive.namelist() if name.endswith(".jpg")]
    assert results["of"] == Counter(split for split, _, _ in places)
    of_class = Counter(label for split, label, _ in places if split == "test")
    counts = [of_class[label] for label in ten_classes.TEN]
    assert results["classes"] == dict(zip(ten_classes.TEN, counts, strict=True))
    assert results["runs"]
    network = build_classifier("fashion", len(ten_classes.TEN))
    for run in results["runs"]:
        assert run["parameters"] == count_parameters(network)
        assert run["macs"] == count_macs(network, small_networks.RECIPE.evaluation_size)
        assert sum(run["test right"].values()) == run["right"]["test"]["plain"]
        assert run["seven of ten"]["test"][1] == sum(counts[:7]) == 296


def test_seven_of_ten_asks_about_the_pictures_of_the_seven_alone():
    logits = torch.zeros(4, 10)
    logits[0, 2], logits[1, 1], logits[2, 9], logits[3, 9] = 1, 1, 1, 1
    logits[2, 5] = 0.5  # with ten answers it is wrong, with seven it is right
    right = ten_classes.seven_of_ten(logits, torch.tensor([2, 0, 5, 7]))  # 7 is the eighth
    assert right == [2, 3]


def test_export_and_stores_were_measured_with_the_weights_that_are_shipped():
    """New weights in the library: run export.py and stores.py again."""
    networks = recorded_results.recorded("export")["networks"]
    for name, load in (("classifier", load_classifier), ("encoder", load_encoder)):
        model, _ = load(shipped(f"{name}_photos"))
        assert networks[name]["weights"] == weights_hash(model)
    assert recorded_results.recorded("stores")["encoder"] == networks["encoder"]["weights"]
