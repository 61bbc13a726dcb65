"""A run goes on after a stop as if nothing had been, and never with what another one left."""

import math
import os
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from complaints import complaint
from tiny import same_weights, small_encoder, stopped_after, tiny_catalog, without_time
from torch import Tensor, nn
from torchvision.transforms import v2

from fashionlib.catalog import Catalog
from fashionlib.heads import build_classifier
from fashionlib.running import runs
from fashionlib.running.runs import run_training
from fashionlib.running.teachers import change_batches, learn_from
from fashionlib.siamese import OBJECTIVES, SiameseRecipe, siamese_training
from fashionlib.training import (
    Recipe,
    Training,
    classifier_training,
    finish,
    train_classifier,
)
from fashionlib.weights import load_tensors, save_tensors

RECIPE = Recipe(epochs=3, size=32, evaluation_size=32, batch_size=16, learning_rate=2e-3)
SIAMESE = SiameseRecipe(
    "looks", epochs=2, size=32, evaluation_size=32, batch_size=28, learning_rate=2e-3
)
NAME = "run.checkpoint.safetensors"


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return tiny_catalog()


def classifier(catalog: Catalog, recipe: Recipe = RECIPE, seed: int = 0) -> Training:
    torch.manual_seed(seed)
    model = build_classifier("article", len(catalog.classes))
    return classifier_training(model, catalog, recipe, seed)


def taught(catalog: Catalog) -> Training:
    """With all that `teachers` can surround it with."""
    training = classifier(catalog)
    change_batches(training, "mixup", v2.MixUp(alpha=0.2, num_classes=7))
    torch.manual_seed(7)
    learn_from(training, [build_classifier("article").eval()])
    return training


def encoder(catalog: Catalog, objective: str) -> Training:
    return siamese_training(
        small_encoder(objective), catalog, replace(SIAMESE, objective=objective)
    )


def must_go_on(make: Callable[[], Training], steps: int, path: Path) -> None:
    """Stopped after so many steps and given again, it ends as if nothing was."""
    whole, rows = finish(make())
    with stopped_after(steps):
        run_training(make(), path)
    assert path.exists()
    again = make()
    model, history = run_training(again, path)
    assert same_weights(model, whole)
    assert without_time(history) == without_time(rows)


@pytest.mark.parametrize("after", [1, 2])
def test_an_interrupted_run_resumes_to_the_same_result(catalog, tmp_path, after):
    """In the middle of an epoch: six batches each, then two of the next."""
    must_go_on(lambda: classifier(catalog), after * 6 + 2, tmp_path / NAME)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_so_does_each_objective(catalog, tmp_path, objective):
    steps = 5 if objective == "random" else 4
    must_go_on(lambda: encoder(catalog, objective), steps, tmp_path / NAME)


def test_so_does_one_with_teachers_and_mixed_pictures(catalog, tmp_path):
    must_go_on(lambda: taught(catalog), 8, tmp_path / NAME)


def test_so_does_one_whose_stem_is_frozen(catalog, tmp_path):
    def frozen() -> Training:
        training = classifier(catalog)
        training.model.backbone.blocks[0].requires_grad_(False)
        return training

    must_go_on(frozen, 8, tmp_path / NAME)


def test_a_run_without_a_stop_is_the_plain_training(catalog, tmp_path):
    torch.manual_seed(0)
    plain = train_classifier(build_classifier("article", 7), catalog, RECIPE)
    for checkpoint in (None, tmp_path / NAME):
        average, history = run_training(classifier(catalog), checkpoint)
        assert same_weights(average, plain[0])
        assert without_time(history) == without_time(plain[1])


def test_a_finished_run_has_nothing_left_to_do(catalog, tmp_path):
    first = run_training(classifier(catalog), tmp_path / NAME)
    again = classifier(catalog)
    again.batches = None  # whoever asked for them would fail
    second = run_training(again, tmp_path / NAME)
    assert same_weights(first[0], second[0])
    assert first[1] == second[1]  # the seconds too, as they were then


def of_epochs(catalog: Catalog, epochs: int = 1, **changes) -> Training:
    """A training of one epoch, say, of the tiny pictures or of others."""
    return classifier(replace(catalog, **changes), replace(RECIPE, epochs=epochs))


def test_a_checkpoint_of_another_run_is_refused(catalog, tmp_path):
    """It starts elsewhere, or learns from or is measured with other pictures, as many or not."""
    path, train = tmp_path / NAME, catalog.train
    run_training(of_epochs(catalog), path)
    before = path.read_bytes()
    elsewhere = of_epochs(catalog)
    elsewhere.model.load_state_dict(build_classifier("article", len(catalog.classes)).state_dict())
    swapped = (train.labels + 1) % len(catalog.classes)
    for made, differs in (
        (of_epochs(catalog, 2), "recipe"),
        (classifier(catalog, replace(RECIPE, epochs=1), seed=1), "seed, start"),
        (elsewhere, "start"),
        (of_epochs(catalog, train=train.at(torch.arange(90))), "pictures"),
        (of_epochs(catalog, train=replace(train, images=255 - train.images)), "pictures"),
        (of_epochs(catalog, train=replace(train, labels=swapped)), "pictures"),
        (of_epochs(catalog, validation=catalog.test), "pictures"),
        (of_epochs(catalog, classes=catalog.classes[::-1]), "classes"),
        (encoder(catalog, "looks"), "recipe, start"),
    ):
        complaint(partial(run_training, made, path), path, f"with other {differs}: move it away")
    assert path.read_bytes() == before


def test_the_same_pictures_from_another_place_are_the_same_run(catalog, tmp_path):
    run_training(of_epochs(catalog), tmp_path / NAME)
    again = of_epochs(catalog, name="elsewhere", root=tmp_path)
    again.batches = None  # whoever asked for them would fail
    run_training(again, tmp_path / NAME)


def test_looks_are_part_of_what_a_run_learns_from(catalog, tmp_path):
    run_training(encoder(catalog, "looks"), tmp_path / NAME)
    train = catalog.train
    turned = {key: values[::-1] for key, values in train.attributes.items()}
    other = replace(catalog, train=replace(train, attributes=turned))
    complaint(lambda: run_training(encoder(other, "looks"), tmp_path / NAME), "with other pictures")


def test_a_loss_that_is_no_number_ends_the_run_before_it_is_saved(catalog, tmp_path):
    made = classifier(catalog)
    next(made.epochs())
    with torch.no_grad():
        made.model.head.linear.weight[0, 0] = math.nan
    complaint(lambda: run_training(made, tmp_path / NAME), "loss became nan in epoch 2", "lower")
    assert not list(tmp_path.iterdir())


def test_a_run_with_changes_is_not_gone_on_with_by_one_without(catalog, tmp_path):
    """Nor the other way round, nor with other changes, nor in another order."""
    same = lambda inputs, labels: (inputs, labels)  # noqa: E731
    orders = [(), ("a",), ("b",), ("a", "b"), ("b", "a")]

    def changed(names: tuple[str, ...]) -> Training:
        training = classifier(catalog, replace(RECIPE, epochs=1))
        for name in names:
            change_batches(training, name, same)
        return training

    for names in orders:
        path = tmp_path / f"{'-'.join(names)}.safetensors"
        run_training(changed(names), path)
        for others in orders:
            if others != names:
                complaint(
                    partial(run_training, changed(others), path), "other changes: move it away"
                )
        run_training(changed(names), path)


def test_a_checkpoint_that_f519cf9_wrote_is_refused(catalog, tmp_path):
    """Its recipe had mixup in it, and one process went without saying."""
    path = tmp_path / NAME
    run_training(classifier(catalog, replace(RECIPE, epochs=1)), path)
    tensors, metadata = load_tensors(path)
    metadata["run"]["recipe"]["mixup"] = 0.0
    del metadata["run"]["processes"]
    save_tensors(path, tensors, metadata)
    made = classifier(catalog, replace(RECIPE, epochs=1))
    complaint(partial(run_training, made, path), path, "other processes, recipe: move it away")
    save_tensors(path, tensors, metadata | {"run": {}})
    names = "other classes, pictures, processes, recipe, seed, start: move it away"
    complaint(partial(run_training, made, path), path, names)  # in order, whatever is missing


def test_a_checkpoint_that_another_tool_changed_is_refused_before_the_work(catalog, tmp_path):
    path = tmp_path / NAME
    run_training(of_epochs(catalog, 1), path)
    tensors, about = load_tensors(path)
    (row,) = about["history"]
    trained = {name: t for name, t in tensors.items() if not name.startswith("optimizer.")}
    state = {name: tensors[f"optimizer.0.{name}"] for name in ("step", "exp_avg_sq")}
    variance = next(name for name in tensors if name.endswith("running_var"))
    nan = {name: t * math.nan for name, t in tensors.items() if name.startswith("average.")}
    cases = [
        *((tensors, about | {"run": run}) for run in ("abc", 5, [1], [[1]], True)),
        *((tensors, about | {"history": [other]})
          for other in ({}, None, "abc", {"epoch": 1}, row | {"seconds": None},
                        row | {"loss": [1.0]})),
        (trained, about),
        (tensors | nan, about),
        (tensors | {"optimizer.0.exp_avg": torch.zeros(3, 2)}, about),
        (tensors | {"optimizer.0.step": torch.zeros(2)}, about),
        *((tensors, about | {"history": rows}) for rows in ([], [row, row | {"epoch": 2}])),
        (tensors, about | {"history": [row | {"epoch": 2}]}),
        (tensors, about | {"kind": "encoder"}),
        ({key: t for key, t in tensors.items() if key != "optimizer.0.step"}, about),
        ({key: t for key, t in tensors.items() if not key.startswith("optimizer.0.")}, about),
        (tensors | {"optimizer.0.step": -state["step"]}, about),
        (tensors | {"optimizer.0.exp_avg_sq": state["exp_avg_sq"] - 1}, about),
        (tensors | {variance: tensors[variance] - 9}, about),
    ]  # fmt: skip
    for other, metadata in cases:
        save_tensors(path, other, metadata)
        complaint(lambda: run_training(of_epochs(catalog, 1), path), path, "is damaged")
    save_tensors(path, tensors, about)
    run_training(of_epochs(catalog, 1), path)


def test_a_checkpoint_that_is_no_file_is_named(catalog, tmp_path):
    os.mkfifo(tmp_path / NAME)
    complaint(lambda: run_training(of_epochs(catalog), tmp_path / NAME), NAME, "is no file")


def test_a_checkpoint_that_cannot_be_written_is_one_line(catalog, tmp_path):
    (tmp_path / "file").write_text("in the way")
    complaint(
        lambda: run_training(classifier(catalog), tmp_path / "file" / NAME), "could not write"
    )


def test_a_checkpoint_says_what_it_is_of(catalog, tmp_path):
    run_training(taught(catalog), tmp_path / NAME)
    about = load_tensors(tmp_path / NAME)[1]["run"]
    assert about["recipe"]["epochs"] == 3
    assert about["classes"] == list(catalog.classes)
    assert about["changes"][0] == "mixup"
    assert re.fullmatch("1 teachers: [0-9a-f]{16}", about["changes"][1])


# On CUDA, as far as a CPU can tell


class Watched(nn.Linear):
    """Remembers in which precision it computed."""

    kinds: list[torch.dtype]

    def forward(self, inputs: Tensor) -> Tensor:
        outputs = super().forward(inputs)
        self.kinds.append(outputs.dtype)
        return outputs


def test_in_bfloat16_the_forward_pass_alone_is():
    model = Watched(8, 4)
    model.kinds = []
    inputs = torch.randn(16, 8)
    outputs = runs.InBfloat16(model)(inputs)
    assert model.kinds == [torch.bfloat16]
    assert outputs.dtype == torch.float32
    assert torch.allclose(outputs, model(inputs), atol=0.05)
    outputs.sum().backward()
    assert model.weight.grad.dtype == torch.float32


@pytest.mark.parametrize("has_it", [True, False])
def test_a_run_is_in_bfloat16_where_the_card_has_it(catalog, monkeypatch, has_it):
    """`run_training` asks torch, without emulation; what it chooses is tried on the CPU."""
    monkeypatch.setattr(
        torch.cuda,
        "is_bf16_supported",
        lambda including_emulation=True: has_it or including_emulation,
    )
    training = classifier(catalog, replace(RECIPE, epochs=1))
    average, history = run_training(training)
    assert isinstance(training.network, runs.InBfloat16) == has_it
    assert type(average) is type(training.model)
    assert history[0]["loss"] > 0
    assert {tensor.dtype for tensor in average.parameters()} == {torch.float32}


@pytest.mark.parametrize("objective", ["random", "looks"])
def test_a_metric_training_runs_in_bfloat16(catalog, monkeypatch, tmp_path, objective):
    """The whole loop with the wrapped network: averages, checkpoints and parts find their way."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    must_train = encoder(catalog, objective)
    with stopped_after(4):
        run_training(encoder(catalog, objective), tmp_path / NAME)
    _, history = run_training(must_train, tmp_path / NAME)
    assert len(history) == 2
    assert all(row["loss"] > 0 for row in history)
