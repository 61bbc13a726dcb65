"""Who solves a task in another way than our solution is told that it is right, too."""

import json
from collections import OrderedDict
from pathlib import Path

import faiss
import pytest
import torch
from solved import solved
from torch import nn
from torch.nn import functional as F
from torchvision.transforms.functional import normalize

from fashionlib.checks import backbones, export_and_faiss, losses, mining, more_classes
from fashionlib.errors import FashionError
from fashionlib.heads import build_classifier
from fashionlib.weights import fingerprint

MINING = solved("5_hard_negatives")


def moved_one_by_one(embeddings, labels, centers, alpha=0.5):
    moved = centers.clone()
    for n in labels.unique():
        own = embeddings[labels == n]
        moved[n] -= alpha * (centers[n] - own).sum(dim=0) / (1 + len(own))
    return moved


def arcface_by_addition(embeddings, weights, labels, margin=0.5, scale=8.0):
    """The cosine of a sum, without an angle; one picture after the other."""
    margin = torch.tensor(margin)
    logits = F.linear(F.normalize(embeddings), F.normalize(weights))
    rows = []
    for row, label in zip(logits, labels.tolist(), strict=True):
        cosine = row[label]
        sine = (1 - cosine**2).clamp(min=1e-12).sqrt()
        shifted = cosine * margin.cos() - sine * margin.sin()
        fallen = cosine - margin * margin.sin()
        own = shifted if cosine > -margin.cos() else fallen
        rows.append(torch.cat([row[:label], own[None], row[label + 1 :]]))
    return scale * torch.stack(rows)


def tightness_of_groups(embeddings, labels):
    groups = [embeddings[labels == label] for label in set(labels.tolist())]
    means = [group.mean(dim=0) for group in groups]
    own = [(x - mean).norm() for group, mean in zip(groups, means, strict=True) for x in group]
    between = [(a - b).norm() for n, a in enumerate(means) for b in means[:n]]
    return torch.stack(own).mean() / torch.stack(between).mean()


def recall_of_sets(found, exact):
    rows = zip(found.tolist(), exact.tolist(), strict=True)
    return torch.tensor(sum(len(set(a) & set(b)) for a, b in rows) / exact.numel())


def nprobe_of_a_list(index, queries, exact, wanted):
    for nprobe in (1, 2, 4, 8, index.nlist):
        index.nprobe = nprobe
        found = torch.from_numpy(index.search(queries.numpy(), exact.shape[1])[1])
        if recall_of_sets(found, exact) >= wanted:
            return nprobe
    raise FashionError("ask for less.")


class OtherWeights(FashionError):
    pass


def load_or_refuse(path, encoder):
    note = Path(f"{path}.json")
    if not note.exists() or json.loads(note.read_text())["made_by"] != fingerprint(encoder):
        raise OtherWeights("build it again.")
    return faiss.read_index(str(path))


def shuffled(answer):
    """Its triplets in another order, as a list."""

    def shuffling(*given):
        parts = answer(*given)
        order = torch.randperm(len(parts[0]))
        return [part[order] for part in parts]

    return shuffling


def grown_anew(classifier, old, new):
    """Built by the library, and left in training mode."""
    model = build_classifier(classifier.backbone.plan, len(new))
    model.backbone.load_state_dict(classifier.backbone.state_dict())
    known = [name for name in old if name in new]
    there, here = ([names.index(name) for name in known] for names in (old, new))
    with torch.no_grad():
        for mine, theirs in zip(model.head.parameters(), classifier.head.parameters(), strict=True):
            mine[here] = theirs[there]
    return model.train()


def recall_one_by_one(answers, labels, classes):
    return torch.stack([(answers[labels == n] == n).double().mean() for n in range(classes)])


def weights_one_by_one(labels, classes):
    counts = [int((labels == n).sum()) for n in range(classes)]
    each = len(labels) / sum(count > 0 for count in counts)
    return torch.tensor([each / count if count else 0 for count in counts]).double()


class Classifier(nn.Module):
    def __init__(self, backbone, classes):
        super().__init__()
        self.backbone, self.head = backbone, nn.Linear(backbone.features, classes)

    def forward(self, x):
        return self.head(self.backbone(x))


class AlwaysStill(nn.Module):
    """Its own mode and its backbone's are evaluation, whatever it is asked for."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone, self.features = backbone.requires_grad_(False).eval(), backbone.features

    def train(self, mode=True):
        return super().train(False)

    @torch.no_grad()
    def forward(self, x):
        return self.backbone(x)


def within(history, seconds):
    """As a tensor, or 0 as an int."""
    times = torch.tensor([row["seconds"] for row in history]).cumsum(dim=0)
    over = int((times <= seconds).sum())
    return torch.tensor(history[over - 1]["validation_accuracy"]) if over else 0


RIGHT = [
    (backbones.to_timm, lambda x, mean, std: normalize((x + 1) / 2, mean, std)),
    (backbones.classifier_on, Classifier),
    (
        backbones.classifier_on,
        lambda b, n: nn.Sequential(OrderedDict(backbone=b, head=nn.Linear(b.features, n))),
    ),
    (backbones.frozen, AlwaysStill),
    (backbones.accuracy_within, within),
    (losses.center_loss, lambda x, y, c: (x - c[y]).square().sum() / (2 * len(x))),
    (losses.moved_centers, moved_one_by_one),
    (losses.arcface_logits, arcface_by_addition),
    (losses.tightness, tightness_of_groups),
    (export_and_faiss.recall, recall_of_sets),
    (export_and_faiss.choose_nprobe, nprobe_of_a_list),
    (export_and_faiss.load_faiss, load_or_refuse),
    (mining.masks, lambda y: list(MINING["masks"](y))),
    (mining.draw_triplets, shuffled(MINING["draw_triplets"])),
    (mining.semi_hard, shuffled(MINING["semi_hard"])),
    (mining.batch_hard, shuffled(MINING["batch_hard"])),
    (more_classes.grown, grown_anew),
    (more_classes.recall_by_class, recall_one_by_one),
    (more_classes.class_weights, weights_one_by_one),
]


@pytest.mark.parametrize(("check", "answer"), RIGHT)
def test_another_right_answer_is_accepted(check, answer, capsys):
    check(answer)
    assert " ✓ " in capsys.readouterr().out
