"""Batches are changed from outside: pictures mixed, and a student who listens to its teachers."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from tiny import same_weights, tiny_catalog, without_time
from torch import Tensor
from torchvision.transforms import v2

from fashionlib import training as core
from fashionlib.heads import build_classifier
from fashionlib.inference import predict
from fashionlib.running.teachers import change_batches, learn_from, mean_answer
from fashionlib.training import Recipe, Training, classifier_training, finish

RECIPE = Recipe(epochs=4, size=32, evaluation_size=32, learning_rate=1e-2, average=0.9)
MIXUP, CUTMIX = v2.MixUp(alpha=0.5, num_classes=7), v2.CutMix(num_classes=7)


class Sure(torch.nn.Module):
    """Always answers one class; with a logit of 0 it knows nothing."""

    def __init__(self, answer: int, logit: float = 20) -> None:
        super().__init__()
        self.answer, self.logit = answer, logit

    def forward(self, x):
        answers = torch.full((len(x),), self.answer)
        return self.logit * torch.nn.functional.one_hot(answers, 7).float()


@pytest.fixture(scope="module")
def catalog():
    return tiny_catalog()


def begun(catalog, **changes) -> Training:
    torch.manual_seed(0)
    recipe = replace(RECIPE, **changes)
    return classifier_training(build_classifier("article"), catalog, recipe)


def student(catalog, teachers, **changes):
    training = begun(catalog, **changes)
    change_batches(training, "mixup 0.2", v2.MixUp(alpha=0.2, num_classes=7))
    learn_from(training, teachers)
    return finish(training)


# Changes of batches


def first_epoch(training: Training) -> list[tuple[Tensor, Tensor]]:
    """The batches of epoch 0, with the draws that the training would make."""
    with core.seeded(0, 0):
        return list(training.batches(0))


@pytest.mark.parametrize("change", [MIXUP, CUTMIX], ids=["mixup", "cutmix"])
def test_mixed_batches_have_shares_of_two_classes(catalog, change):
    """The labels that reach the loss add up to 1; without a change they are plain numbers."""
    training = begun(catalog)
    plain = first_epoch(training)
    assert all(labels.dtype == torch.int64 for _, labels in plain)
    change_batches(training, "mixed", change)
    mixed = first_epoch(training)
    assert len(mixed) == len(plain) == 6
    for inputs, shares in mixed:
        assert inputs.shape == (16, 3, 32, 32)
        assert shares.shape == (16, 7)
        assert torch.allclose(shares.sum(dim=1), torch.ones(16))
        assert ((shares > 0).sum(dim=1) <= 2).all()
    assert any(((shares > 0.02) & (shares < 0.98)).any() for _, shares in mixed)


@pytest.mark.parametrize("change", [MIXUP, CUTMIX], ids=["mixup", "cutmix"])
def test_a_change_leaves_what_it_was_given_alone(catalog, change):
    """Neither the split's pictures nor the batch of whoever loads it without the change."""
    before = catalog.train.images.clone(), catalog.train.labels.clone()
    training = begun(catalog)
    given, loaded = [], training.batches

    def kept(epoch: int) -> core.Batches:
        plain = loaded(epoch)

        def load(chosen: Tensor) -> tuple[Tensor, Tensor]:
            batch = plain.load(chosen)
            given.append((batch, tuple(part.clone() for part in batch)))
            return batch

        return replace(plain, load=load)

    training.batches = kept
    change_batches(training, "mixed", change)
    mixed = first_epoch(training)
    moved = []
    for (batch, copies), (inputs, _) in zip(given, mixed, strict=True):
        assert all(torch.equal(*pair) for pair in zip(batch, copies, strict=True))
        moved.append(not torch.equal(batch[0], inputs))
    assert any(moved)
    finish(training)
    assert torch.equal(catalog.train.images, before[0])
    assert torch.equal(catalog.train.labels, before[1])


def test_later_changes_come_later_and_all_are_named(catalog):
    calls = []

    def noted(name: str) -> Callable:
        return lambda inputs, labels: calls.append(name) or (inputs + 1, labels)

    training = begun(catalog)
    plain = first_epoch(training)
    for name in ("first", "second"):
        change_batches(training, name, noted(name))
    changed = first_epoch(training)
    assert calls == ["first", "second"] * 6
    assert all(torch.equal(a[0] + 2, b[0]) for a, b in zip(plain, changed, strict=True))
    assert training.about["changes"] == ["first", "second"]
    assert "changes" not in begun(catalog).about


def test_teachers_are_known_by_their_weights(catalog):
    about = []
    for seed in (0, 1, 0):
        torch.manual_seed(seed)
        teacher = build_classifier("article").eval()
        training = begun(catalog)
        learn_from(training, [teacher])
        about.append(training.about)
    assert about[0] == about[2] != about[1]


def test_only_change_batches_changes_what_a_classifier_learns_from(catalog):
    """Mixup, cutmix and teachers reach a training through `batches` and nothing else."""
    for change in (
        lambda training: change_batches(training, "mixup", MIXUP),
        lambda training: change_batches(training, "cutmix", CUTMIX),
        lambda training: learn_from(training, [Sure(1)]),
    ):
        training = begun(catalog)
        before = dict(vars(training))
        change(training)
        changed = {name for name, value in vars(training).items() if value is not before[name]}
        assert changed == {"batches", "about"}


def test_a_change_that_changes_nothing_trains_as_without(catalog):
    plain, changed = begun(catalog), begun(catalog)
    change_batches(changed, "none", lambda inputs, labels: (inputs, labels))
    assert same_weights(finish(plain)[0], finish(changed)[0])


# Teachers


def test_the_mean_answer_is_the_mean_of_probabilities():
    found = mean_answer([Sure(1), Sure(4)], torch.zeros(3, 3, 8, 8))
    wanted = torch.zeros(3, 7)
    wanted[:, [1, 4]] = 0.5
    assert torch.allclose(found, wanted, atol=1e-4)
    found = mean_answer([Sure(1), Sure(4, logit=0)], torch.zeros(3, 3, 8, 8))
    wanted = torch.full((3, 7), 1 / 14)
    wanted[:, 1] += 0.5
    assert torch.allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize("mixed", [False, True])
def test_half_of_what_is_to_be_answered_is_the_teachers(catalog, mixed):
    """Of what they say to the very picture that the student sees, mixed or not.

    Of a batch that does not show all classes too.
    """
    few = (catalog.train.labels < 5).nonzero()[:, 0]
    torch.manual_seed(1)
    teacher = build_classifier("article").eval()
    training = begun(replace(catalog, train=catalog.train.at(few)))
    if mixed:
        change_batches(training, "mixup", MIXUP)
    plain = first_epoch(training)
    learn_from(training, [teacher, Sure(2)])
    for (inputs, labels), (same, answers) in zip(plain, first_epoch(training), strict=True):
        assert torch.equal(inputs, same)
        shares = labels if mixed else torch.nn.functional.one_hot(labels, 7).float()
        theirs = mean_answer([teacher, Sure(2)], inputs)
        assert torch.allclose(answers, (shares + theirs) / 2, atol=1e-6)
        assert not answers.is_inference()  # what inference mode made could not be learned from
        assert not answers.requires_grad


def test_a_student_answers_as_it_is_taught(catalog):
    """Teachers that insist on a class pull the answers towards it, whatever the labels say."""
    answers = {}
    for answer in (2, 5):
        model, history = student(catalog, [Sure(answer)])
        assert [row["epoch"] for row in history] == [1, 2, 3, 4]
        answers[answer] = predict(model, catalog.test.images).softmax(dim=1).mean(dim=0)
    for own, other in ((2, 5), (5, 2)):
        assert answers[own][own] > 0.4  # half of what was wanted
        assert answers[own][own] > 2 * answers[other][own]


def test_labels_count_too(catalog):
    """With a teacher that never says class 0, the student still learns to."""
    model, _ = student(catalog, [Sure(2)], epochs=12)
    images = catalog.train.images[catalog.train.labels == 0]
    others = catalog.train.images[catalog.train.labels == 4]
    seen, unseen = (predict(model, x).softmax(dim=1)[:, 0].mean() for x in (images, others))
    assert seen > unseen + 0.1


def test_the_same_twice(catalog):
    torch.manual_seed(1)
    teachers = [build_classifier("article").eval()]
    whole, rows = student(catalog, teachers)
    again, same = student(catalog, teachers)
    assert same_weights(whole, again)
    assert without_time(rows) == without_time(same)


def test_teachers_are_not_changed(catalog):
    torch.manual_seed(1)
    teacher = build_classifier("article").eval()
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    student(catalog, [teacher], epochs=1)
    assert all(torch.equal(before[name], t) for name, t in teacher.state_dict().items())
