"""A student listens to its teachers, and to its labels as much."""

from dataclasses import replace

import pytest
import torch
from tiny import same_weights, tiny_catalog, without_time

from fashionlib.heads import build_classifier
from fashionlib.inference import predict
from fashionlib.running.teachers import distil_classifier, opinion
from fashionlib.training import Recipe

RECIPE = Recipe(epochs=4, size=32, evaluation_size=32, mixup=0.2, learning_rate=1e-2, average=0.9)


class Sure(torch.nn.Module):
    """Always answers one class."""

    def __init__(self, answer: int) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, x):
        return 20 * torch.nn.functional.one_hot(torch.full((len(x),), self.answer), 7).float()


@pytest.fixture(scope="module")
def catalog():
    return tiny_catalog()


def student(catalog, teachers, checkpoint=None, **changes):
    torch.manual_seed(0)
    recipe = replace(RECIPE, **changes)
    return distil_classifier(build_classifier("article"), teachers, catalog, recipe, 0, checkpoint)


def test_the_opinion_is_the_mean_of_probabilities():
    found = opinion([Sure(1), Sure(4)], torch.zeros(3, 3, 8, 8))
    wanted = torch.zeros(3, 7)
    wanted[:, [1, 4]] = 0.5
    assert torch.allclose(found, wanted, atol=1e-4)


def test_a_student_answers_as_it_is_taught(catalog):
    """Teachers that insist on a class pull the answers towards it, whatever the labels say."""
    answers = {}
    for answer in (2, 5):
        model, history = student(catalog, [Sure(answer)])
        assert [row["epoch"] for row in history] == [1, 2, 3, 4]
        answers[answer] = predict(model, catalog.test.images, 32).softmax(dim=1).mean(dim=0)
    for own, other in ((2, 5), (5, 2)):
        assert answers[own][own] > 0.4  # half of what was wanted
        assert answers[own][own] > 2 * answers[other][own]


def test_labels_count_too(catalog):
    """With a teacher that never says class 0, the student still learns to."""
    model, _ = student(catalog, [Sure(2)], epochs=12)
    images = catalog.train.images[catalog.train.labels == 0]
    others = catalog.train.images[catalog.train.labels == 4]
    seen, unseen = (predict(model, x, 32).softmax(dim=1)[:, 0].mean() for x in (images, others))
    assert seen > unseen + 0.1


def test_the_same_twice_and_after_an_interruption(catalog, tmp_path):
    torch.manual_seed(1)
    teachers = [build_classifier("article").eval()]
    whole, rows = student(catalog, teachers)
    path = tmp_path / "run.checkpoint.safetensors"
    student(catalog, teachers, path)
    again, resumed = student(catalog, teachers, path)  # nothing left to do
    assert same_weights(whole, again)
    assert without_time(rows) == without_time(resumed)


def test_teachers_are_not_changed(catalog):
    torch.manual_seed(1)
    teacher = build_classifier("article").eval()
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    student(catalog, [teacher], epochs=1)
    assert all(torch.equal(before[name], t) for name, t in teacher.state_dict().items())
