"""The loop: learns, repeats itself for a seed, resumes to the same result, never sees test."""

import copy
from dataclasses import replace

import pytest
import torch
from tiny import Interrupted, drawn_split, same_weights, tiny_catalog, without_time

from fashionlib import training
from fashionlib.catalog import Catalog
from fashionlib.errors import FashionError
from fashionlib.heads import build_classifier
from fashionlib.inference import predict

RECIPE = training.Recipe(epochs=3, size=32, evaluation_size=32, batch_size=16, learning_rate=2e-3)


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return tiny_catalog()


def trained(catalog, recipe=RECIPE, seed=0, checkpoint=None):
    torch.manual_seed(seed)
    model = build_classifier("article", len(catalog.classes))
    return training.train_classifier(model, catalog, recipe, seed, checkpoint)


def test_training_learns_what_it_is_shown(catalog):
    """Twelve epochs on 96 pictures: the training pictures are known far better than by chance."""
    average, history = trained(catalog, replace(RECIPE, epochs=12, learning_rate=4e-3))
    logits = predict(average, catalog.train.images, 32)
    assert (logits.argmax(1) == catalog.train.labels).float().mean() > 0.5
    assert history[-1]["loss"] < history[0]["loss"]
    assert [row["epoch"] for row in history] == list(range(1, 13))


def test_a_seed_gives_the_same_result_twice(catalog, two_threads):
    first, second = trained(catalog), trained(catalog)
    assert same_weights(first[0], second[0])
    assert without_time(first[1]) == without_time(second[1])
    assert not same_weights(first[0], trained(catalog, seed=1)[0])


def test_training_gives_the_callers_random_numbers_back(catalog):
    torch.manual_seed(0)
    model = build_classifier("article")
    expected = copy.deepcopy(torch.get_rng_state())
    training.train_classifier(model, catalog, replace(RECIPE, epochs=1), 0)
    assert torch.equal(torch.get_rng_state(), expected)


@pytest.mark.parametrize("after", [1, 2])
def test_an_interrupted_run_resumes_to_the_same_result(catalog, tmp_path, monkeypatch, after):
    """Stop in the middle of an epoch, start again: weights and history as if nothing was."""
    whole = trained(catalog)
    step, steps = training.train_step, []

    def stops(*arguments, **options):
        steps.append(1)
        if len(steps) > after * 6 + 2:  # six batches an epoch, then two of the next
            raise Interrupted
        return step(*arguments, **options)

    path = tmp_path / "run.checkpoint.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr(training, "train_step", stops)
        with pytest.raises(Interrupted):
            trained(catalog, checkpoint=path)
    model, history = trained(catalog, checkpoint=path)
    assert same_weights(model, whole[0])
    assert without_time(history) == without_time(whole[1])


def test_a_checkpoint_of_another_run_is_refused(catalog, tmp_path):
    path = tmp_path / "run.checkpoint.safetensors"
    trained(catalog, replace(RECIPE, epochs=1), checkpoint=path)
    before = path.read_bytes()
    with pytest.raises(FashionError, match=r"other settings: delete it") as caught:
        trained(catalog, replace(RECIPE, epochs=2), checkpoint=path)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before


def test_test_pictures_and_validation_labels_do_not_influence_training(catalog):
    other = replace(
        catalog,
        test=replace(catalog.test, images=torch.zeros_like(catalog.test.images)),
        validation=replace(catalog.validation, labels=catalog.validation.labels.roll(1)),
    )
    assert same_weights(trained(catalog)[0], trained(other)[0])


def test_validation_is_evaluated_without_augmentation(catalog):
    """Its figures are those of plain pictures, recomputed here."""
    average, history = trained(catalog)
    logits = predict(average, catalog.validation.images, RECIPE.evaluation_size)
    right = (logits.argmax(1) == catalog.validation.labels).sum().item()
    assert history[-1]["validation_accuracy"] == right / len(catalog.validation.labels)
    assert torch.equal(logits, predict(average, catalog.validation.images, 32))


def test_predict_leaves_the_mode_and_the_statistics_alone(catalog):
    model = build_classifier("article").train()
    before = copy.deepcopy(model.state_dict())
    predict(model, catalog.test.images, 32, batch_size=7)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_batch_size_of_evaluation_does_not_matter(catalog):
    model = build_classifier("article")
    one, many = (predict(model, catalog.test.images, 32, batch_size=n) for n in (3, 20))
    assert one.shape == many.shape == (20, 7)
    assert torch.allclose(one, many, atol=1e-5)


def test_one_cycle_rises_then_falls_to_zero():
    assert training.one_cycle(0.0) == pytest.approx(0.04)
    assert training.one_cycle(0.3) == pytest.approx(1.0)
    assert training.one_cycle(1.0) == pytest.approx(0.0, abs=1e-12)
    rates = [training.one_cycle(n / 100) for n in range(101)]
    assert rates[:31] == sorted(rates[:31])
    assert rates[30:] == sorted(rates[30:], reverse=True)


def test_update_average_is_the_formula():
    average, model = torch.nn.BatchNorm1d(3), torch.nn.BatchNorm1d(3)
    with torch.no_grad():
        model.weight.fill_(5.0)
        model.running_mean.fill_(2.0)
        model.num_batches_tracked.fill_(9)
    training.update_average(average, model, keep=0.75)
    assert torch.allclose(average.weight, torch.full((3,), 0.75 * 1 + 0.25 * 5))
    assert torch.allclose(average.running_mean, torch.full((3,), 0.5))
    assert average.num_batches_tracked == 9


def test_mixup_trains_and_blends(catalog, monkeypatch):
    """With mixup the labels that reach the loss are shares of two classes that add up to 1."""
    seen, step = [], training.train_step

    def watch(model, optimizer, inputs, labels, label_smoothing):
        seen.append(labels)
        return step(model, optimizer, inputs, labels, label_smoothing)

    monkeypatch.setattr(training, "train_step", watch)
    trained(catalog, replace(RECIPE, epochs=1, mixup=0.5))
    assert seen[0].shape == (16, 7)
    assert torch.allclose(seen[0].sum(dim=1), torch.ones(16))
    assert any(((share > 0.02) & (share < 0.98)).any() for share in seen)
    seen.clear()
    trained(catalog, replace(RECIPE, epochs=1))
    assert seen[0].dtype == torch.int64


def test_norms_and_biases_are_not_decayed():
    model = build_classifier("article")
    decayed, free = training.make_optimizer(model, RECIPE).param_groups
    assert decayed["weight_decay"] == RECIPE.weight_decay
    assert free["weight_decay"] == 0
    assert all(p.ndim > 1 for p in decayed["params"])
    assert len(decayed["params"]) + len(free["params"]) == len(list(model.parameters()))


def test_a_catalog_smaller_than_a_batch_still_trains(catalog):
    few = replace(catalog, train=drawn_split(9, 4))
    _, history = trained(few)
    assert len(history) == 3
