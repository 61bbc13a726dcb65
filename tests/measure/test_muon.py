"""Muon: orthogonal steps for the 1×1 convolutions, AdamW's for everything else."""

import copy

import pytest
import torch
from muon import STEP, Muon, make_muon, orthogonalised
from tiny import same_weights, stopped_after, striped_catalog
from torch import nn
from torch.nn import functional as F

from fashionlib.heads import build_classifier
from fashionlib.running.runs import run_training
from fashionlib.training import Recipe, Training, classifier_training, finish, make_optimizer

RECIPE = Recipe(epochs=3, size=32, evaluation_size=32, batch_size=8)


@pytest.mark.parametrize("shape", [(16, 96), (96, 16), (24, 24)])
def test_every_direction_becomes_about_as_long(shape):
    matrix = torch.randn(shape, generator=torch.manual_seed(0))
    left, lengths, right = torch.linalg.svd(matrix, full_matrices=False)
    assert lengths.max() > 2 * lengths.min()
    turned = left.T @ orthogonalised(matrix) @ right.T  # in the directions of the matrix itself
    assert turned.diagonal().min() > 0.5
    assert turned.diagonal().max() < 1.5
    assert (turned - turned.diagonal().diag()).abs().max() < 1e-3


def test_a_matrix_of_zeros_stays_one():
    assert not orthogonalised(torch.zeros(4, 6)).any()


def test_the_length_of_a_gradient_does_not_matter():
    matrix = torch.randn(8, 12, generator=torch.manual_seed(0))
    assert torch.allclose(orthogonalised(matrix), orthogonalised(1000 * matrix), atol=1e-4)


def test_as_torch_does_it():
    """Which computes in bfloat16, on matrices, and takes half as long a step."""
    torch.manual_seed(0)
    kernel = nn.Parameter(torch.randn(16, 24, 1, 1))
    matrix = nn.Parameter(kernel.detach().flatten(1).clone())
    ours = Muon([kernel], lr=0.01, weight_decay=0.0)
    theirs = torch.optim.Muon(
        [matrix], lr=0.01 * STEP / 0.2, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"
    )
    start = matrix.detach().clone()
    for _ in range(4):
        matrix.grad = torch.randn(16, 24)
        kernel.grad = matrix.grad.view(16, 24, 1, 1).clone()
        ours.step()
        theirs.step()
    moved, wanted = kernel.detach().flatten(1) - start, matrix.detach() - start
    assert (moved - wanted).norm() < 0.03 * wanted.norm()


def test_the_others_are_adamws():
    torch.manual_seed(0)
    model = build_classifier("article")
    other = copy.deepcopy(model)
    ours, theirs = make_muon(model, RECIPE), make_optimizer(other, RECIPE)
    names = [name for name, _ in model.named_parameters()]
    mixes = {
        name
        for name, parameter in model.named_parameters()
        if parameter.ndim == 4 and parameter.shape[2:] == (1, 1)
    }
    assert 0 < len(mixes) < len(names)
    for network in (model, other):
        logits = network(torch.randn(4, 3, 32, 32, generator=torch.manual_seed(1)))
        F.cross_entropy(logits, torch.arange(4)).backward()
    ours.step()
    theirs.step()
    for name in names:
        same = torch.equal(model.get_parameter(name), other.get_parameter(name))
        assert same == (name not in mixes), name


def test_weights_decay():
    kernel = nn.Parameter(torch.ones(4, 4, 1, 1))
    kernel.grad = torch.zeros_like(kernel)
    Muon([kernel], lr=0.1, weight_decay=0.5).step()
    assert torch.allclose(kernel, torch.full_like(kernel, 0.95))


def begun() -> Training:
    torch.manual_seed(0)
    model = build_classifier("article", 2)
    training = classifier_training(model, striped_catalog(64, 16), RECIPE)
    training.optimizer = make_muon(model, RECIPE)
    return training


def test_a_training_repeats_and_goes_on_after_a_stop(tmp_path, two_threads):
    """The momentum is in the checkpoint."""
    whole, _ = finish(begun())
    assert same_weights(whole, finish(begun())[0])
    with stopped_after(2 * 8 + 1):  # eight batches an epoch
        run_training(begun(), tmp_path / "run.safetensors")
    assert same_weights(whole, run_training(begun(), tmp_path / "run.safetensors")[0])
