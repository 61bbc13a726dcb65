"""Two processes do what one does: real torchrun, on the CPU.

Under torchrun this file is a program: `python -m torch.distributed.run … test_processes.py OUT`
runs `work` in two processes, and the tests look at what each of them left behind in OUT.
"""

import os
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from complaints import complaint
from PIL import Image
from tiny import (
    drawn_split,
    same_weights,
    small_encoder,
    stopped_after,
    striped_catalog,
    tiny_catalog,
    without_time,
)
from torch import Tensor, nn
from torchvision.transforms import v2

from fashionlib.catalog import Catalog
from fashionlib.drawn import SEVEN, drawn_pictures
from fashionlib.errors import FashionError
from fashionlib.heads import build_classifier
from fashionlib.running import processes, runs, training_commands
from fashionlib.running.runs import run_training
from fashionlib.running.teachers import learn_from
from fashionlib.settings import progress_bar
from fashionlib.siamese import OBJECTIVES, SiameseRecipe, siamese_training
from fashionlib.training import Recipe, Training, classifier_training, evaluate, seeded
from fashionlib.transforms import AUGMENTATIONS
from fashionlib.weights import load_classifier, load_encoder

RECIPE = Recipe(epochs=8, size=32, evaluation_size=32, learning_rate=4e-3)
SIAMESE = SiameseRecipe("looks", epochs=12, size=32, evaluation_size=32, batch_size=16, margin=0.5)


# What both processes do


def stripes() -> Catalog:
    return striped_catalog(128, 60)


def classifier_run(recipe: Recipe = RECIPE) -> Training:
    torch.manual_seed(0)
    return classifier_training(build_classifier("article", 2), stripes(), recipe)


def encoder_run() -> Training:
    torch.manual_seed(0)
    return siamese_training(small_encoder("looks"), stripes(), SIAMESE)


def ran(training: Training, checkpoint: Path | None = None) -> tuple:
    """Model, average and rows."""
    average, history = run_training(training, checkpoint)
    return training.model, average, history


def resumed(out: Path) -> tuple:
    """All processes stop in the second epoch, and go on."""
    recipe = replace(RECIPE, epochs=3)
    path = out / "run.checkpoint.safetensors"
    with stopped_after(8 + 3):  # eight batches an epoch
        run_training(classifier_run(recipe), path)
    return ran(classifier_run(recipe)), ran(classifier_run(recipe), path)


def many_labels() -> Catalog:
    """35 times the same picture, each with a label of its own."""
    images = drawn_split(1, 1).images.expand(35, -1, -1, -1)
    split = replace(drawn_split(35, 1), images=images, labels=torch.arange(35))
    return Catalog("labels", tuple(map(str, range(35))), split, split, split)


def seen_in_an_epoch() -> list[tuple[Tensor, Tensor]]:
    """This process's inputs, and the labels, of each batch of an epoch."""
    torch.manual_seed(0)
    training = classifier_training(build_classifier("article", 35), many_labels(), RECIPE)
    processes.share_training(training)
    with seeded(training.seed, 0):
        return list(training.batches(0))


def one_batch(training: Training, chosen: Tensor) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradients of the pictures at these positions, by what `share_training` left.

    In evaluation mode and without draws, so that nothing depends on the share.
    """
    batches = training.batches
    training.batches = lambda epoch: replace(batches(epoch), order=[chosen])
    processes.share_training(training)
    (batch,) = training.batches(0)
    loss = training.loss_of(training.network.eval(), *batch)
    loss.backward()
    gradients = {name: p.grad for name, p in training.model.named_parameters()}
    return loss.item(), gradients


def still(recipe: Recipe | SiameseRecipe) -> Recipe | SiameseRecipe:
    """Without an augmentation."""
    AUGMENTATIONS["still"] = lambda size: v2.Resize([size, size])
    return replace(recipe, augmentation="still")


def objective_batch(objective: str) -> tuple[float, dict[str, Tensor]]:
    recipe = still(replace(SIAMESE, objective=objective, swap=False, margin=1.0))
    training = siamese_training(small_encoder(objective), tiny_catalog(), recipe)
    return one_batch(training, torch.arange(28))


def classifier_batch() -> tuple[float, dict[str, Tensor]]:
    torch.manual_seed(0)
    model = build_classifier("article", 7)
    training = classifier_training(model, tiny_catalog(), still(RECIPE))
    return one_batch(training, torch.arange(16))


def taught_batch() -> tuple[float, dict[str, Tensor]]:
    """The targets, which each process asks its teacher for, are gathered too."""
    torch.manual_seed(0)
    model, teacher = build_classifier("article", 7), build_classifier("article", 7).eval()
    training = classifier_training(model, tiny_catalog(), still(RECIPE))
    learn_from(training, [teacher])
    return one_batch(training, torch.arange(16))


BATCHES = {
    "classifier": classifier_batch,
    "taught": taught_batch,
    **{name: partial(objective_batch, name) for name in OBJECTIVES},
}


def agreement() -> dict:
    """Of processes that each have something else."""
    own = processes.rank()
    few = "no complaint"
    try:
        processes.agree([torch.tensor([own])])
    except FashionError as error:
        few = str(error)
    buffers = nn.BatchNorm1d(2)
    buffers.running_mean.fill_(own)
    processes.average_buffers(buffers)
    return {
        "agreed": processes.agree([torch.arange(k) + 100 * own for k in (5, 4, 3, 1)]),
        "too few": few,
        "from the first": processes.from_first(lambda: own),
        "gathered": processes.gather(processes.share(torch.arange(6.0)[:, None])),
        "running mean": buffers.running_mean,
    }


def on_cuda() -> list[str]:
    """The kinds of layers that a GPU would get; torch refuses to share these on a CPU."""
    training = classifier_run()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "DistributedDataParallel", lambda module, **_: module)
        patch.setattr(processes, "pick_device", lambda: torch.device("cuda"))
        processes.share_training(training)
    return [type(layer).__name__ for layer in training.network.modules()]


def who_saves(out: Path) -> list[str]:
    """What this process would write in a run of the command; the functions are replaced."""
    saved = []
    for module, name in ((runs, "save_checkpoint"), (training_commands, "save_classifier")):
        setattr(module, name, lambda *_, name=name, **__: saved.append(name))
    root = clothes_in(out / f"clothes {processes.rank()}")
    training_commands.train_classifier(1, str(root), "fashion", 32, 0, out / "c.safetensors")
    return saved


def clothes_in(root: Path) -> Path:
    """Class folders, 20 drawn garments in each of three."""
    images, garments = drawn_pictures(140, 5, 64)
    for number, (image, garment) in enumerate(zip(images, garments, strict=True)):
        if garment.category in SEVEN[:3]:
            place = root / garment.category / f"{number:03d}.png"
            place.parent.mkdir(exist_ok=True, parents=True)
            Image.fromarray(np.moveaxis(image, 0, -1)).save(place)
    return root


def work(out: Path) -> None:
    results = {
        "size": processes.world_size(),
        "shows progress": not progress_bar([], "some", "thing").disable,
        "agreement": agreement(),
        "seen": seen_in_an_epoch(),
        "one batch": {name: batch() for name, batch in BATCHES.items()},
        "classifier": ran(classifier_run()),
        "encoder": ran(encoder_run()),
        "resumed": resumed(out),
        "on cuda": on_cuda(),
        "saves": who_saves(out),
    }
    print(f"process {processes.rank()} speaks")
    torch.save(results, out / f"{processes.rank()}.pt")


def fail(out: Path) -> None:
    """The second process cannot go on; the first waits for it."""
    (out / f"{processes.rank()}.pid").write_text(str(os.getpid()))
    if processes.rank() == 1:
        raise FashionError("this one is broken.")
    processes.from_first(lambda: 0)


if __name__ == "__main__":
    with processes.joined():
        {"work": work, "fail": fail}[sys.argv[1]](Path(sys.argv[2]))


# What the tests see of it


def torchrun(*arguments: object, cwd: Path, **more: str) -> subprocess.CompletedProcess:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [sys.executable, *launcher, *map(str, arguments)]
    # beside which pytest finds them itself; and the library that is tested, wherever it lies
    helpers = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": helpers} | more
    return subprocess.run(command, cwd=cwd, check=False, capture_output=True, text=True,
                          timeout=300, env=environment)  # fmt: skip


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> tuple[dict, dict]:
    """What the two processes found."""
    out = tmp_path_factory.mktemp("two")
    done = torchrun(__file__, "work", out, cwd=out, TQDM_DISABLE="")
    assert done.returncode == 0, done.stderr
    assert "process 0 speaks" in done.stdout
    assert "process 1 speaks" not in done.stdout
    first, second = (torch.load(out / f"{rank}.pt", weights_only=False) for rank in (0, 1))
    assert first["size"] == second["size"] == 2
    assert first["shows progress"]
    assert not second["shows progress"]
    return first, second


def test_processes_agree_on_the_batches_of_the_first(two):
    """Cut so that both get as much; one with fewer than two pictures for each is left out."""
    for found in two:
        assert [batch.tolist() for batch in found["agreement"]["agreed"]] == [[0, 1, 2, 3]] * 2
        assert found["agreement"]["too few"] == "2 processes share too few pictures: start fewer."


def test_what_processes_tell_each_other(two):
    for found in two:
        assert found["agreement"]["from the first"] == 0
        assert found["agreement"]["gathered"].flatten().tolist() == [0, 1, 2, 3, 4, 5]
        assert found["agreement"]["running mean"].tolist() == [0.5, 0.5]


def test_each_process_loads_its_rows_of_a_batch_and_augments_in_its_own_way(two):
    """35 pictures, batches of 16: each loads 8 of them, and knows the labels of all."""
    first, second = (found["seen"] for found in two)
    assert [len(inputs) for inputs, _ in first + second] == [8] * 4
    for (_, labels), (_, same) in zip(first, second, strict=True):
        assert torch.equal(labels, same)
        assert len(labels) == 16
    assert len(set(torch.cat([labels for _, labels in first]).tolist())) == 32
    views = torch.cat([inputs for seen in (first, second) for inputs, _ in seen])
    assert len(views.flatten(1).unique(dim=0)) > 28  # a draw is seldom made twice


@pytest.mark.parametrize("what", BATCHES)
def test_loss_and_gradients_are_those_of_one_process_with_the_whole_batch(two, what):
    loss, alone = BATCHES[what]()
    largest = max(float(gradient.abs().max()) for gradient in alone.values())
    assert largest > 1e-4
    for found in two:
        shared_loss, gradients = found["one batch"][what]
        assert shared_loss == pytest.approx(loss, rel=1e-4)
        for name, gradient in gradients.items():
            assert torch.allclose(gradient, alone[name], atol=1e-4 * largest), name


@pytest.mark.parametrize("what", ["classifier", "encoder"])
def test_both_processes_end_with_the_same_result(two, what):
    (model, average, history), (model_2, average_2, history_2) = (found[what] for found in two)
    assert same_weights(model, model_2)
    assert same_weights(average, average_2)
    assert history == history_2 or without_time(history) == without_time(history_2)


def test_two_processes_are_as_good_as_one(two):
    for what, alone, figure in (
        ("classifier", ran(classifier_run()), "validation_accuracy"),
        ("encoder", ran(encoder_run()), "precision@5"),
    ):
        reached = [history[-1][figure] for _, _, history in (alone, two[0][what])]
        assert min(reached) > {"classifier": 0.9, "encoder": 0.7}[what], what
        assert abs(reached[0] - reached[1]) < 0.08, what


def test_what_is_reported_is_the_averaged_network(two):
    _, average, history = two[1]["classifier"]
    again = evaluate(average, stripes().validation)
    assert again["validation_accuracy"] == history[-1]["validation_accuracy"]
    assert again["validation_loss"] == pytest.approx(history[-1]["validation_loss"], abs=1e-5)


def test_an_interrupted_run_resumes_to_the_same_result(two):
    for found in two:
        whole, again = found["resumed"]
        assert same_weights(whole[0], again[0])
        assert same_weights(whole[1], again[1])
        assert without_time(whole[2]) == without_time(again[2])
        assert len(again[2]) == 3


def test_only_the_first_process_saves(two):
    first, second = (found["saves"] for found in two)
    assert first == ["save_checkpoint", "save_classifier"]
    assert second == []


def test_on_cuda_batch_norm_sees_the_whole_batch(two):
    for found in two:
        assert "SyncBatchNorm" in found["on cuda"]
        assert "BatchNorm2d" not in found["on cuda"]


def test_when_one_process_fails_all_stop(tmp_path):
    started = time.monotonic()
    done = torchrun(__file__, "fail", tmp_path, cwd=tmp_path)
    assert done.returncode != 0
    assert time.monotonic() - started < 90
    assert "this one is broken." in done.stderr
    for rank in (0, 1):
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / f"{rank}.pid").read_text()), 0)


# The command line


@pytest.fixture(scope="module")
def clothes(tmp_path_factory) -> Path:
    return clothes_in(tmp_path_factory.mktemp("clothes"))


def test_torchrun_trains_a_classifier_and_an_encoder(clothes, tmp_path, monkeypatch):
    monkeypatch.setenv("FASHIONLIB_CACHE", str(tmp_path / "cache"))  # nothing is decoded yet
    short = ["--epochs", "1", "--size", "32", "--data", clothes]
    for command, load in (("classifier", load_classifier), ("siamese", load_encoder)):
        done = torchrun("-m", "fashionlib", f"train-{command}", *short, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(f"Catalog {clothes}") == 1
        assert done.stdout.count("trained in") == 1
        lines = [line.split()[0] for line in done.stdout.splitlines()]
        assert lines.count("validation") == {"classifier": 1, "siamese": 2}[command]
        saved = tmp_path / "runs" / f"{command.replace('siamese', 'encoder')}.safetensors"
        model, metadata = load(saved)
        assert metadata["recipe"]["epochs"] == 1
        assert model(torch.zeros(1, 3, 32, 32)).isfinite().all()
    assert sorted(os.listdir(tmp_path / "runs")) == [
        "classifier.safetensors",
        "encoder.safetensors",
    ]


def test_a_mistake_is_told_once(tmp_path):
    done = torchrun("-m", "fashionlib", "train-classifier", "--data", "none", cwd=tmp_path)
    assert done.returncode != 0
    assert done.stderr.count("fashionlib: none does not exist") == 1
    assert "gloo" not in done.stderr  # what the other process failed with, as the first was gone


# A single process


def test_alone_nothing_changes():
    training = classifier_run()
    before = dict(vars(training))
    processes.share_training(training)
    assert vars(training) == before
    with processes.joined(), processes.first_alone():
        assert (processes.rank(), processes.world_size()) == (0, 1)


def test_more_processes_than_gpus_are_a_mistake(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    complaint(lambda: processes.joined().__enter__(), "2 processes for 1 GPUs")


def test_each_process_has_a_gpu_of_its_own(monkeypatch):
    """On a second machine of four GPUs: by its place there, not by that among all processes.

    And an hour's time to wait for the others, one of which may download the photos.
    """
    told = []
    for name, value in {"TORCHELASTIC_RUN_ID": "1", "LOCAL_RANK": "1", "RANK": "5"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", told.append)
    distributed = torch.distributed
    join = lambda kind, timeout: told.append((kind, timeout))  # noqa: E731
    monkeypatch.setattr(distributed, "init_process_group", join)
    monkeypatch.setattr(distributed, "destroy_process_group", lambda: told.append("done"))
    with processes.joined():
        assert told == [1, ("nccl", timedelta(hours=1))]
    assert told[2:] == ["done"]


@pytest.mark.parametrize("rank", [0, 1])
def test_all_but_the_first_are_silent_and_slow_to_fail(monkeypatch, rank):
    """When one process fails, the others do because of it: it is the one to be heard."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("TQDM_DISABLE", "")
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda *_, **__: None)
    monkeypatch.setattr(processes, "rank", lambda: rank)
    waited, loud, out = [], [], sys.stdout
    monkeypatch.setattr(processes, "time", SimpleNamespace(sleep=waited.append))

    def fail() -> None:
        with processes.joined():
            loud.extend([sys.stdout is out, not os.environ["TQDM_DISABLE"]])
            raise FashionError("this one is broken.")

    complaint(fail, "this one is broken.")
    assert loud == [rank == 0] * 2
    assert waited == [processes.GRACE] * rank


@pytest.mark.parametrize(
    ("rank", "order"), [(0, ["loads", "others may go"]), (1, ["others may go", "loads"])]
)
def test_the_first_process_loads_before_the_others(monkeypatch, rank, order):
    """Which wait meanwhile, and find the photos downloaded."""
    seen = []
    monkeypatch.setattr(processes, "rank", lambda: rank)
    monkeypatch.setattr(processes, "world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "barrier", lambda: seen.append("others may go"))
    with processes.first_alone():
        seen.append("loads")
    assert seen == order


def test_in_an_epoch_each_process_keeps_its_own_running_statistics(monkeypatch):
    """Torch would give all of them the first one's in each step, and the mean would be that."""
    given = []

    def shared(network: nn.Module, **options: bool) -> nn.Module:
        given.append(options)
        return network

    monkeypatch.setattr(processes, "world_size", lambda: 2)
    monkeypatch.setattr(processes, "DistributedDataParallel", shared)
    processes.share_training(classifier_run())
    assert given in ([{"forward_sync_buffers": False}], [{"broadcast_buffers": False}])


@pytest.mark.parametrize("kind", [LookupError, ValueError, RuntimeError])
def test_of_a_failed_start_the_first_line_is_told(monkeypatch, kind):
    """Torch adds where in C++ it was, in dozens of lines."""

    def fail(*_: object, **__: object) -> None:
        raise kind("nobody is there\nException raised from listen at socket.cpp:500")

    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.distributed, "init_process_group", fail)
    complaint(lambda: processes.joined().__enter__(), "not found (nobody is there): start with")


@pytest.mark.parametrize("settings", [{}, {"RANK": "abc"}, {"RANK": "0", "MASTER_PORT": "99999"}])
def test_what_another_torchrun_left_in_the_shell_is_named(monkeypatch, settings):
    """A variable of a job around this one; `torchrun` itself sets all of them."""
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    some = {"WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
    settings = some | settings if settings else {}
    for name, value in {"TORCHELASTIC_RUN_ID": "1", **settings}.items():
        monkeypatch.setenv(name, value)
    words = "start with torchrun", "unset TORCHELASTIC_RUN_ID"
    complaint(lambda: processes.joined().__enter__(), *words)
    assert not torch.distributed.is_initialized()
