"""Prediction prepares as the network says, leaves it alone, and counts every picture once."""

import copy

import pytest
import torch
from complaints import complaint
from tiny import sized, tiny_catalog
from torch import nn

from fashionlib.heads import build_classifier, build_encoder
from fashionlib.inference import pick_device, predict
from fashionlib.transforms import to_input


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    return tiny_catalog().test.images


def test_predict_leaves_the_mode_and_the_statistics_alone(pictures):
    model = sized(build_classifier("article"), 32).train()
    before = copy.deepcopy(model.state_dict())
    predict(model, pictures, batch_size=7)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    answers = predict(model.eval(), pictures)
    assert not model.training
    assert not answers.requires_grad  # it would keep the activations of all batches


def test_batch_size_of_evaluation_does_not_matter(pictures):
    model = sized(build_classifier("article"), 32)
    one, many = (predict(model, pictures, batch_size=n) for n in (3, 20))
    assert one.shape == many.shape == (20, 7)
    assert torch.allclose(one, many, atol=1e-5)
    sizes = []
    model.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    predict(model, pictures, batch_size=12)
    assert sizes == [12, 8]


@pytest.mark.parametrize("size", [32, 40])
def test_pictures_are_prepared_as_the_network_says(pictures, size):
    model = sized(build_encoder("article", 16).eval(), size)
    with torch.no_grad():
        wanted = model(to_input(pictures, size))
    assert torch.allclose(predict(model, pictures), wanted, atol=1e-5)


def test_the_same_network_at_another_size_answers_otherwise(pictures):
    model = build_encoder("article", 16)
    small, large = (predict(sized(model, size), pictures) for size in (32, 40))
    assert (small - large).abs().max() > 1e-3


@pytest.mark.parametrize(("has_one", "device"), [(True, "cuda"), (False, "cpu")])
def test_a_gpu_is_taken_where_the_machine_has_one(monkeypatch, has_one, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_one)
    assert pick_device() == torch.device(device)


def test_no_pictures_and_no_size_are_mistakes(pictures):
    complaint(lambda: predict(build_classifier("article"), pictures[:0]), "no pictures")
    complaint(lambda: predict(nn.Sequential(nn.Flatten()), pictures), "preparation")
