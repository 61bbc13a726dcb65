"""Triplets: right labels, never the anchor itself, the same with any number of workers."""

from collections import Counter

import pytest
import torch
from torch.utils.data import DataLoader

from fashionlib.errors import FashionError
from fashionlib.triplets import TripletDataset, triplet_loss

LABELS = torch.tensor([0] * 30 + [1] * 2 + [2] * 10)[
    torch.randperm(42, generator=torch.manual_seed(3))
]


class Untouchable:
    """Pictures that complain when one is looked at."""

    def __getitem__(self, index):
        raise AssertionError("a picture was decoded to find a triplet")


def test_triplets_come_from_labels_alone():
    data = TripletDataset(Untouchable(), LABELS)
    for index in range(len(data)):
        anchor, positive, negative = data.indices(index)
        assert anchor == index
        assert LABELS[positive] == LABELS[anchor]
        assert LABELS[negative] != LABELS[anchor]


def test_the_positive_is_never_the_anchor():
    """Also in the class of two, where a careless draw hits the anchor half of the time."""
    data = TripletDataset(Untouchable(), LABELS)
    for epoch in range(50):
        data.epoch = epoch
        assert all(data.indices(index)[1] != index for index in range(len(data)))


def test_every_other_picture_of_the_class_can_be_the_positive():
    data = TripletDataset(Untouchable(), LABELS)
    index = int(torch.nonzero(LABELS == 2)[4])
    met = Counter()
    for epoch in range(900):
        data.epoch = epoch
        met[data.indices(index)[1]] += 1
    assert set(met) == set(torch.nonzero(LABELS == 2)[:, 0].tolist()) - {index}
    assert max(met.values()) < 1.6 * min(met.values())


def test_negatives_are_uniform_over_the_other_classes():
    """Class 0 has 30 pictures and class 1 two: as negatives of class 2 both come equally often."""
    data = TripletDataset(Untouchable(), LABELS)
    classes = Counter()
    for epoch in range(100):
        data.epoch = epoch
        for index in torch.nonzero(LABELS == 2)[:, 0].tolist():
            classes[int(LABELS[data.indices(index)[2]])] += 1
    assert set(classes) == {0, 1}
    assert 0.4 < classes[0] / sum(classes.values()) < 0.6


def test_epochs_and_seeds_differ_and_repeat():
    def all_of(seed, epoch):
        data = TripletDataset(Untouchable(), LABELS, seed)
        data.epoch = epoch
        return [data.indices(index) for index in range(len(data))]

    assert all_of(0, 0) == all_of(0, 0)
    assert all_of(0, 0) != all_of(0, 1)
    assert all_of(0, 0) != all_of(1, 0)
    assert all_of(0, 1) != all_of(1, 0)  # nor is a seed another one's next epoch
    of_one_class = [triplet for triplet in all_of(0, 0) if LABELS[triplet[0]] == 0]
    assert len({negative for *_, negative in of_one_class}) > 5  # each anchor draws its own


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_do_not_change_the_triplets(workers):
    images = torch.arange(42).view(42, 1, 1, 1).expand(42, 3, 2, 2)
    data = TripletDataset(images, LABELS, seed=5)
    alone = list(DataLoader(data, batch_size=8))
    together = list(DataLoader(data, batch_size=8, num_workers=workers))
    for first, second in zip(alone, together, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_what_is_got_are_the_pictures_of_the_triplet_in_its_order():
    data = TripletDataset(torch.arange(42), LABELS, seed=5)
    for index in range(42):
        assert tuple(map(int, data[index])) == data.indices(index)


def test_a_class_of_one_picture_is_an_error():
    with pytest.raises(FashionError, match="class 3 has a single picture") as caught:
        TripletDataset(Untouchable(), torch.tensor([0, 0, 3, 1, 1, 5]))
    assert "\n" not in str(caught.value)


def test_a_single_class_is_an_error():
    with pytest.raises(FashionError, match="two classes or more"):
        TripletDataset(Untouchable(), torch.tensor([4, 4, 4]))


@pytest.mark.parametrize("margin", [0.2, 1.0])
def test_the_loss_equals_torchs(margin):
    torch.manual_seed(0)
    ours = [torch.randn(16, 8, requires_grad=True) for _ in range(3)]
    theirs = [part.detach().clone().requires_grad_() for part in ours]
    triplet_loss(*ours, margin=margin).backward()
    reference = torch.nn.TripletMarginLoss(margin=margin)(*theirs)
    reference.backward()
    assert torch.allclose(triplet_loss(*ours, margin=margin), reference)
    assert torch.allclose(triplet_loss(*ours), torch.nn.TripletMarginLoss()(*ours))
    for a, b in zip(ours, theirs, strict=True):
        assert torch.allclose(a.grad, b.grad)


def test_the_loss_by_hand():
    """Distances 3 and 5 with margin 1 cost nothing; with margin 4 they cost 3 - 5 + 4 = 2."""
    anchor = torch.zeros(1, 2)
    positive, negative = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 5.0]])
    assert triplet_loss(anchor, positive, negative, margin=1.0).item() == 0
    assert triplet_loss(anchor, positive, negative, margin=4.0).item() == pytest.approx(2, abs=1e-4)
