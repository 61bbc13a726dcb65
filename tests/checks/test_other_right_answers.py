"""Who solves a task in another way than our solution is told that it is right, too.

And whose right answer is spoiled, in a part of one result alone, is told that it is not.
"""

import json
import math
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import faiss
import pytest
import torch
from solved import solved
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms.functional import normalize

from fashionlib.checks import NotYet, backbones, export_and_faiss, losses, mining, more_classes
from fashionlib.errors import FashionError
from fashionlib.heads import build_classifier
from fashionlib.weights import fingerprint

MINING = solved("5_hard_negatives")
FAISS = solved("4_export_and_faiss", faiss=faiss, onnxruntime=None)


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


# Spoiled, a part at a time; None where that cannot be done to it


def with_first(part: Tensor, value: float) -> Tensor | None:
    first = torch.arange(part.numel()).view(part.shape) == 0
    return part.masked_fill(first, value) if part.is_floating_point() else None


def a_little_off(part: Any) -> Any:
    """By a thousandth; whole numbers are in the wrong order, or one too many."""
    if isinstance(part, Tensor) and not part.is_floating_point():
        return ~part if part.dtype == torch.bool else part.flip(0)
    return part + 1 if isinstance(part, int) else part + 0.001 * (1 + abs(part))


IN_EACH_CALL = {
    "a little off": a_little_off,
    "a hundredth larger": lambda part: 1.01 * part if part.is_floating_point() else None,
    "with a nan": lambda part: with_first(part, math.nan),
    "with an inf": lambda part: with_first(part, math.inf),
    "without the last": lambda part: part[:-1] if part.ndim else None,
}
IN_THE_FIRST = {
    "twice": lambda part: torch.stack([part, part]),
    "as a list": lambda part: part.tolist() if part.ndim else None,
    "of another kind": lambda part: None if part.is_floating_point() else part.float(),
}


def parts_of(result: Any) -> list:
    return list(result) if isinstance(result, tuple | list) else [result]


def results_of(check: Callable, answer: Callable) -> list[list]:
    """The parts of what a right answer gives, each time that the checker calls it."""
    found = []

    def kept(*given, **named):
        result = answer(*given, **named)
        found.append(parts_of(result))
        return result

    check(kept)
    return found


def in_one_call(answer: Callable, call: int, place: int, spoil: Callable) -> Callable:
    """The answer, but for this part of what it gives in this call, from 0."""
    calls = iter(range(10**6))

    def spoiled(*given, **named):
        result = answer(*given, **named)
        if next(calls) != call:
            return result
        parts = parts_of(result)
        parts[place] = spoil(parts[place])
        return parts if isinstance(result, tuple | list) else parts[0]

    return spoiled


SPOILED = [
    *((check, answer) for check, answer in RIGHT
      if check.__name__ in ("to_timm", "accuracy_within", "center_loss", "moved_centers",
                            "arcface_logits", "tightness", "recall", "choose_nprobe", "masks",
                            "semi_hard", "batch_hard", "recall_by_class", "class_weights")),
    (export_and_faiss.search_faiss, FAISS["search_faiss"]),
]  # fmt: skip
# by call and part: towards the end ArcFace is asked for a gradient, and for a loss; a search for
# what it says where there is nothing, and for no nan
NOT_LOOKED_AT = {
    "arcface_logits": {
        (4, 0, "a little off"),
        (4, 0, "a hundredth larger"),
        (5, 0, "a little off"),
    },
    "search_faiss": {
        (0, 1, "of another kind"),
        *((1, 1, way) for way in ("a little off", "without the last")),
        *((2, 0, way) for way in ("a little off", "with an inf", "without the last")),
        (2, 1, "without the last"),
    },
}


@pytest.mark.parametrize(("check", "answer"), SPOILED)
def test_a_right_answer_that_is_spoiled_is_told_so_in_a_sentence(check, answer):
    accepted = set()
    for call, parts in enumerate(results_of(check, answer)):
        for place, part in enumerate(parts):
            ways = IN_EACH_CALL | (IN_THE_FIRST if call == 0 else {})
            if not isinstance(part, Tensor):
                ways = {"a little off": a_little_off}
            for name, spoil in ways.items():
                bad = spoil(part)
                if bad is None or repr(bad) == repr(part):
                    continue
                with suppress(NotYet):
                    check(in_one_call(answer, call, place, spoil))
                    accepted.add((call, place, name))
    assert accepted == NOT_LOOKED_AT.get(check.__name__, set())
