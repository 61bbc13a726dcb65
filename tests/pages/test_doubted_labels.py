"""Planted wrong labels are found, and each picture is judged by networks that never saw it."""

from dataclasses import replace

import doubted_labels
import torch
from doubted_labels import judged_by_others
from tiny import striped_catalog, tiny_catalog
from written import written_by

from fashionlib.pages.doubted_labels import doubted, parts
from fashionlib.training import Recipe


def test_parts_are_everything_once():
    found = parts(23, 5, seed=3)
    assert sorted(torch.cat(found).tolist()) == list(range(23))
    assert {len(part) for part in found} == {4, 5}
    assert torch.equal(torch.cat(found), torch.cat(parts(23, 5, seed=3)))
    assert not torch.equal(torch.cat(found), torch.cat(parts(23, 5, seed=4)))


def test_planted_wrong_labels_are_found_the_surest_first():
    labels = torch.arange(60) % 3
    probabilities = torch.full((60, 3), 0.1)
    probabilities[range(60), labels] = 0.8
    probabilities[7] = torch.tensor([0.9, 0.05, 0.05])  # labelled 1
    probabilities[14] = torch.tensor([0.02, 0.95, 0.03])  # labelled 2
    # surer of another class than 7 is, but of the label too: less in doubt
    probabilities[21] = torch.tensor([0.08, 0.92, 0.0])  # labelled 0
    places, answers = doubted(probabilities, labels)
    assert places.tolist() == [14, 7, 21]
    assert answers.tolist() == [1, 0, 1]


def test_a_class_of_which_the_network_is_never_sure_counts_no_less():
    """0.45 is what pictures of class 2 get, so there it is likely; of class 0 they get more."""
    labels = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2, 0, 1])
    sure = torch.tensor([[0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.3, 0.3, 0.4]])
    probabilities = sure[labels]
    probabilities[9] = torch.tensor([0.4, 0.1, 0.5])  # labelled 0, likely 2
    probabilities[10] = torch.tensor([0.5, 0.4, 0.1])  # labelled 1; 0.5 is little for class 0
    places, answers = doubted(probabilities, labels)
    assert places.tolist() == [9]
    assert answers.tolist() == [2]


def test_nothing_is_in_doubt_where_the_label_is_the_most_probable():
    probabilities = torch.tensor([[0.6, 0.4], [0.4, 0.6], [0.55, 0.45]])
    assert len(doubted(probabilities, torch.tensor([0, 1, 0]))[0]) == 0


def test_no_network_judges_what_it_was_trained_on(monkeypatch):
    catalog = tiny_catalog()
    seen = []

    def watched(network, fold, recipe, seed):
        seen.append((set(fold.train.names), fold.validation))
        return network.eval(), [{"validation_accuracy": 0.0}]

    monkeypatch.setattr(doubted_labels, "train_classifier", watched)
    probabilities = judged_by_others(catalog, replace(Recipe(), evaluation_size=32))
    assert torch.allclose(probabilities.sum(dim=1), torch.ones(len(catalog.train)), atol=1e-5)
    assert sorted(name for _, held in seen for name in held.names) == sorted(catalog.train.names)
    for trained_on, held in seen:
        assert not trained_on & set(held.names)
        assert len(trained_on) + len(held) == len(catalog.train)


def test_of_a_doubt_the_probabilities_of_both_answers_are_recorded(monkeypatch):
    catalog, written = striped_catalog(8, 4, "photos"), written_by(doubted_labels, monkeypatch)
    probabilities = torch.tensor([[0.8, 0.2], [0.2, 0.8]] * 4)
    probabilities[3] = torch.tensor([0.9, 0.1])
    monkeypatch.setattr(doubted_labels, "load_catalog", lambda _: catalog)
    monkeypatch.setattr(doubted_labels, "judged_by_others", lambda *_: probabilities)
    doubted_labels.main()
    assert written[0]["doubted"] == [
        {"name": "3", "label": "down", "answer": "across",
         "probability of the answer": 0.9, "of the label": 0.1},
    ]  # fmt: skip
    assert written[0]["right"] == 7
