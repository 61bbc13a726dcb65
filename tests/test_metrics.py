"""Accuracy counts pictures; intervals, confusion matrix and baseline against plain versions."""

import math

import pytest
import torch

from fashionlib import metrics


def test_accuracy_counts_pictures_not_batches():
    """5 right of 6; the mean over batches of 4 and 2 would say (1 + 1/2) / 2 = 0.75."""
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    logits = torch.eye(3)[torch.tensor([0, 1, 2, 0, 1, 0])]
    assert metrics.count_correct(logits, labels) == 5
    assert metrics.accuracy(logits, labels) == pytest.approx(5 / 6)
    parts = [(logits[:4], labels[:4]), (logits[4:], labels[4:])]
    assert sum(metrics.accuracy(*part) for part in parts) / 2 == pytest.approx(0.75)


def test_accuracy_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="no pictures"):
        metrics.accuracy(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64))


def test_wilson_interval_solves_its_own_equation():
    """Its ends are the shares p with |k/n - p| = z * sqrt(p (1 - p) / n)."""
    for correct, total in ((236, 276), (5, 9), (1, 300)):
        for end in metrics.wilson_interval(correct, total):
            distance = 1.96 * math.sqrt(end * (1 - end) / total)
            assert abs(correct / total - end) == pytest.approx(distance, rel=1e-9)


def test_wilson_interval_stays_in_range():
    assert metrics.wilson_interval(0, 10)[0] == 0.0
    assert metrics.wilson_interval(10, 10)[1] == 1.0
    assert metrics.wilson_interval(0, 0) == (0.0, 1.0)


def test_a_stated_share_is_above_below_or_inside_the_interval():
    assert metrics.against(86, 100, 0.85) == "agrees with"
    assert metrics.against(86, 100, 0.95) == "is below"
    assert metrics.against(860, 1000, 0.80) == "is above"
    # an end of the interval is in it: none of ten, and all of ten
    assert metrics.against(0, 10, 0.0) == metrics.against(10, 10, 1.0) == "agrees with"


def test_a_share_is_shown_with_its_count_and_its_interval():
    assert metrics.format_accuracy(238, 276) == "86.2% (238 of 276, 81.7% to 89.8%)"


def test_confusion_matrix_against_a_loop():
    torch.manual_seed(0)
    truth, answers = torch.randint(0, 4, (2, 200))
    slow = torch.zeros(4, 4, dtype=torch.int64)
    for t, a in zip(truth.tolist(), answers.tolist(), strict=True):
        slow[t, a] += 1
    assert torch.equal(metrics.confusion_matrix(answers, truth, 4), slow)
    one = metrics.confusion_matrix(torch.tensor([1]), torch.tensor([0]), 3)
    assert one.tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 0]]  # nobody is in the last cell


def test_majority_baseline_takes_the_class_from_train():
    train, validation = torch.tensor([0, 0, 0, 1]), torch.tensor([1, 1, 1, 0])
    assert metrics.majority_baseline(train, validation) == 0.25
