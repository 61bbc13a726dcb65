"""Everything that computes, with networks on `cuda`: a tensor left elsewhere fails here too.

On a machine without CUDA, by `pretend_cuda`, which says what it cannot see. `tools/check_cuda.sh`
runs the chapters on a GPU.
"""

import math
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from pretend_cuda import CUDA, WrongDevice, place_of, pretend_cuda
from solved import must_accept, solved
from tiny import noise, sized, small_encoder, stopped_after, tiny_answers, tiny_catalog
from torch import Tensor, nn
from torchvision.transforms import v2

from fashionlib import detection, inference, siamese, training, transforms
from fashionlib.catalog import Catalog
from fashionlib.checks import losses, mining, more_classes
from fashionlib.counting import count_macs, footprint
from fashionlib.detection import DetectionRecipe, detect, frozen_maps, train_head
from fashionlib.heads import DetectionHead, build_classifier
from fashionlib.inference import predict
from fashionlib.running.distance_limit import calibrated_limit
from fashionlib.running.drift import nearest_distances
from fashionlib.running.folder_index import embed_named
from fashionlib.running.live_index import Searcher
from fashionlib.running.runs import run_training
from fashionlib.running.teachers import change_batches, learn_from
from fashionlib.search import SearchIndex, build_index, embed_picture, visual_search
from fashionlib.siamese import OBJECTIVES, Objective, SiameseRecipe, mined_triplets, train_siamese
from fashionlib.stores import open_store
from fashionlib.training import Recipe, classifier_training, train_classifier
from fashionlib.weights import fingerprint, load_encoder, save_encoder

RECIPE = Recipe(epochs=2, size=32, evaluation_size=32, batch_size=16)
SIAMESE = SiameseRecipe("looks", epochs=1, size=32, evaluation_size=32, batch_size=28)
THREE, FIVE = solved("3_other_losses", CLASSES=7), solved("5_hard_negatives")


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return tiny_catalog()


@pytest.fixture
def cuda(monkeypatch) -> Iterator[None]:
    """The library finds a GPU, wherever it looks for one."""
    pick = inference.pick_device
    for name, module in list(sys.modules.items()):
        if name.startswith("fashionlib") and getattr(module, "pick_device", None) is pick:
            monkeypatch.setattr(module, "pick_device", lambda: CUDA)
    with pretend_cuda():
        yield


def there(*parts: nn.Module | Tensor) -> bool:
    """Whether all of it is on the device."""
    tensors = [t for p in parts for t in (p.state_dict().values() if hasattr(p, "eval") else [p])]
    return {place_of(tensor) for tensor in tensors} == {CUDA}


def finite(rows: list[dict[str, float]]) -> bool:
    return all(math.isfinite(value) for row in rows for value in row.values())


def new_classifier() -> nn.Sequential:
    torch.manual_seed(0)
    return sized(build_classifier("article", 7), 32)


# Training


def test_a_classifier(cuda, catalog):
    """And it learns there what it learns here: the draws are all made on the CPU."""
    model = new_classifier()
    average, history = train_classifier(model, catalog, RECIPE)
    assert there(model, average)
    logits = predict(average, catalog.test.images)
    assert not there(logits)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "pick_device", lambda: torch.device("cpu"))
        _, plain = train_classifier(new_classifier(), catalog, RECIPE)
    # resized as floats on CUDA, so a level's difference here and there
    assert history[0]["loss"] == pytest.approx(plain[0]["loss"], rel=0.02)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_each_objective(cuda, catalog, objective):
    encoder = small_encoder(objective)
    recipe = SiameseRecipe(objective, epochs=1, size=32, evaluation_size=32, batch_size=28)
    average, history = train_siamese(encoder, catalog, recipe)
    assert there(encoder, average)
    assert finite(history)


def test_a_detection_head_on_frozen_maps(cuda, catalog):
    classifier = new_classifier().to(CUDA)
    images = catalog.test.images
    maps = frozen_maps(classifier, images, (3,))
    assert not any(there(part) for part in maps.values())
    train, validation = tiny_answers()
    head = DetectionHead(2, 2, hidden=8)
    average, history = train_head(head, train, validation, DetectionRecipe(2, batch_size=10))
    assert there(head)
    assert not there(average)  # as it says
    assert finite(history)
    logits, boxes = detect(head, validation.maps)
    assert not there(logits)
    assert not there(boxes)


@pytest.mark.filterwarnings("ignore:CUDA is not available")
def test_what_surrounds_a_training(cuda, catalog, tmp_path, monkeypatch):
    """Mixed pictures, a teacher, bfloat16, a stop and going on."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)

    def made() -> training.Training:
        begun = classifier_training(new_classifier(), catalog, RECIPE)
        change_batches(begun, "cutmix", v2.CutMix(num_classes=7))
        learn_from(begun, [new_classifier().eval()])
        return begun

    path = tmp_path / "run.checkpoint.safetensors"
    with stopped_after(8):
        run_training(made(), path)
    average, history = run_training(made(), path)
    assert there(average)
    assert len(history) == 2
    assert finite(history)


# Searching


def test_search(cuda, catalog, tmp_path):
    """Embeddings come to the CPU; queries and rows may also come from the device as they are."""
    encoder = small_encoder("looks").eval().to(CUDA)
    images, ids = catalog.train.images[:20], catalog.train.names[:20]
    index = build_index(encoder, images, ids)
    assert not there(index.embeddings)
    with torch.no_grad():
        rows = encoder(encoder.preparation(images, CUDA))
    assert there(rows)
    raw = SearchIndex(rows[:10], ids[:10], fingerprint(encoder)).add(rows[10:], ids[10:])
    store = open_store(tmp_path / "store.safetensors", fingerprint(encoder), rows.shape[1])
    store.upsert(ids, rows, [""] * 20)
    for place in (3, 17):
        wanted = [ids[position] for _, position in visual_search(images[place], images, encoder, 3)]
        embedding = embed_picture(encoder, images[place])
        for query in (embedding, rows[place]):
            for searched in (index, raw, store):
                assert list(searched.search(query, 3).ids[0]) == wanted
        assert list(Searcher(encoder, index).search(images[place], 3).ids[0]) == wanted
    assert nearest_distances(index, rows).max() < 1e-3
    path = tmp_path / "index.safetensors"
    raw.save(path)
    assert SearchIndex.load(path, encoder).ids == ids


def test_an_encoder_on_the_device_is_the_same_encoder(cuda, tmp_path):
    encoder = small_encoder("looks").eval()
    before = fingerprint(encoder)
    encoder.to(CUDA)
    assert fingerprint(encoder) == before
    save_encoder(tmp_path / "encoder.safetensors", encoder)
    assert fingerprint(load_encoder(tmp_path / "encoder.safetensors")[0]) == before


def test_measures_and_files(cuda, catalog):
    encoder = small_encoder("all").eval().to(CUDA)
    assert finite([siamese.evaluate_encoder(encoder, catalog)])
    assert calibrated_limit(encoder, catalog) > 0
    found = dict(embed_named("abc", lambda name: noise(1, seed=ord(name))[0], encoder))
    assert not any(there(row) for row in found.values())


def test_counting(cuda):
    """Of a network that was trained there; what it sees comes to the CPU, to be drawn."""
    blocks = new_classifier().to(CUDA).backbone.blocks
    assert count_macs(blocks, 32) > 0
    assert not there(footprint(blocks, 32))
    assert there(blocks)


def test_a_network_that_stays_on_the_cpu_is_asked_there(cuda):
    """As one that was just loaded, on a machine with a GPU."""
    assert predict(new_classifier(), noise(3)).shape == (3, 7)


# Exercises


def moved(answer: Callable[..., Any]) -> Callable[..., Any]:
    """The answer, given its tensors on the device; what it says comes back from there."""

    def on_device(*given: Any, **more: Any) -> Any:
        found = answer(*(x.to(CUDA) if isinstance(x, Tensor) else x for x in given), **more)
        if isinstance(found, tuple):
            assert there(*found)
            return tuple(part.cpu() for part in found)
        return found.cpu() if isinstance(found, Tensor) and there(found) else found

    return on_device


TASKS = {
    "center_loss": (losses.center_loss, 1),
    "moved_centers": (losses.moved_centers, 2),
    "arcface_logits": (losses.arcface_logits, 3),
    "tightness": (losses.tightness, 4),
    "masks": (mining.masks, 1),
    "draw_triplets": (mining.draw_triplets, 2),
    "semi_hard": (mining.semi_hard, 3),
    "batch_hard": (mining.batch_hard, 4),
}


@pytest.mark.parametrize("name", TASKS)
def test_the_right_answers_are_right_there_too(cuda, capsys, name):
    check, number = TASKS[name]
    must_accept(check, moved((THREE | FIVE)[name]), number, capsys)


def test_a_classifier_that_was_trained_there_is_right_too(cuda, capsys):
    answer = solved("1_more_classes")["own_classifier"]
    must_accept(more_classes.own_classifier, answer, 4, capsys)


@pytest.mark.parametrize("name", ["softmax", "triplets", "softmax_and_center", "arcface"])
def test_the_objectives_of_exercise_3(cuda, catalog, name):
    """By the exercise's own `train`, in the library's loop."""
    given = {
        "CLASSES": 7,
        "classifier": new_classifier(),
        "recipe": SiameseRecipe("", epochs=1, size=32, batch_size=28, average=0.0),
        "data": siamese.TripletDataset(catalog.train.images, catalog.train.labels),
    }
    names = solved("3_other_losses", **given)
    model, history = names["train"](names[name])
    assert there(model)
    assert finite(history)


@pytest.mark.parametrize("name", ["draw_triplets", "semi_hard", "batch_hard"])
def test_the_miners_of_exercise_5(cuda, catalog, monkeypatch, name):
    miner = {
        "draw_triplets": lambda embeddings, labels: FIVE["draw_triplets"](labels),
        "semi_hard": partial(FIVE["semi_hard"], margin=0.3),
        "batch_hard": FIVE["batch_hard"],
    }[name]
    find = partial(mined_triplets, miner=miner)
    monkeypatch.setitem(OBJECTIVES, "mine", Objective(siamese.one_view, find))
    recipe = SiameseRecipe("mine", epochs=1, size=32, evaluation_size=32, batch_size=28)
    _, history = train_siamese(small_encoder("mine"), catalog, recipe)
    assert finite(history)


# What would be forgotten, and the pretence itself


def elsewhere(*arguments: Any, device: Any = None, **more: Any) -> Tensor:
    """`to_input` that forgets the device."""
    return transforms.to_input(*arguments[:2], **more)


FORGOTTEN = {
    "a classifier's pictures": (training, "to_input", elsewhere),
    "an encoder's pictures": (siamese, "to_input", elsewhere),
    "an encoder's labels": (siamese, "pick_device", lambda: torch.device("cpu")),
    "a head's maps": (detection, "pick_device", lambda: torch.device("cpu")),
}


@pytest.mark.parametrize("what", FORGOTTEN)
def test_a_tensor_that_is_left_on_the_cpu_fails(cuda, catalog, monkeypatch, what):
    monkeypatch.setattr(*FORGOTTEN[what])
    with pytest.raises(WrongDevice, match="different devices"):
        {
            "classifier": lambda: train_classifier(new_classifier(), catalog, RECIPE),
            "encoder": lambda: train_siamese(small_encoder("looks"), catalog, SIAMESE),
            "head": lambda: train_head(
                DetectionHead(2, 2, hidden=8), *tiny_answers(), DetectionRecipe(1, batch_size=10)
            ),
        }[what.split("'", maxsplit=1)[0].split()[-1]]()


def test_a_prediction_that_forgets_the_device_fails(cuda):
    model = new_classifier().to(CUDA)
    model.preparation = lambda images, _: transforms.to_input(images, 32)
    with pytest.raises(WrongDevice, match="conv2d"):
        predict(model, noise(3))


def test_the_pretence_fails_where_a_gpu_would():
    with pretend_cuda():
        x, y = torch.ones(3, device="cuda"), torch.ones(3)
        for wrong in (
            lambda: x + y,
            lambda: torch.cat([x, y]),
            lambda: y[torch.tensor([0]).cuda()],
            lambda: y.add_(x),
            x.numpy,
            lambda: nn.Linear(3, 2)(x),
            lambda: nn.functional.cross_entropy(x, torch.tensor([1])),
        ):
            with pytest.raises(WrongDevice):
                wrong()


def test_the_pretence_allows_what_a_gpu_does():
    with pretend_cuda():
        x = torch.arange(4.0).to("cuda")
        assert (x.device, x.is_cuda, x.cpu().is_cuda) == (CUDA, True, False)
        for here in (x * torch.tensor(2.0), x[torch.tensor([0, 1])], x[1:], x.clone(), -x,
                     torch.zeros_like(x), x.new_ones(2), torch.ones(2).to(x)):  # fmt: skip
            assert place_of(here) == CUDA
        assert float(x.sum()) == 6
        assert x.tolist() == [0, 1, 2, 3]
        assert torch.ones(4).copy_(x).numpy().tolist() == [0, 1, 2, 3]
        weight = torch.ones(4, requires_grad=True)
        (weight.to("cuda") * x).sum().backward()
        assert weight.grad.tolist() == [0, 1, 2, 3]
        assert place_of(weight.grad) != CUDA
        layer = nn.BatchNorm1d(4).to("cuda")
        layer(x.repeat(3, 1)).sum().backward()
        assert there(layer, layer.weight.grad)
