"""Checks of exercise 2: a timm network as a backbone, frozen or not, and its time.

They make small networks of timm without weights, so nothing is fetched.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from fashionlib.checks import Task, close
from fashionlib.settings import optional

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIDE = 64  # of the pictures that networks are tried with


def to_timm(answer: Callable) -> None:
    """Task 1: `answer(x, mean, std)` takes pictures from -1 to 1 to another mean and deviation."""
    task = Task(1, "return the pictures, scaled for a network of this mean and std")
    x = _pictures(2, 5)
    before = x.clone()
    found = task.call(answer, x, *IMAGENET)
    task.need(torch.equal(x, before), "the pictures that went in have changed: make new ones.")
    task.tensor(found, (2, 3, 5, 5), "to_timm")
    middle, width = (torch.tensor(values).view(3, 1, 1) for values in IMAGENET)
    unit = (x + 1) / 2
    undone = unit * width + middle
    mistakes = {
        "the pictures still go from -1 to 1: take them to 0 to 1 first.": (x - middle) / width,
        "x / 2 goes from -0.5 to 0.5, so add a half as well.": (x / 2 - middle) / width,
        "x + 1 goes from 0 to 2, so halve it as well.": (x + 1 - middle) / width,
        "that takes the scaling away: subtract the mean, then divide by std.": undone,
        "first the mean, then the division: the mean is not to be divided.": unit / width - middle,
        "mean and std are of pictures from 0 to 1, not to 255.": (255 * unit - middle) / width,
        "the mean is still in: subtract it.": unit / width,
        "divide by std too.": unit - middle,
        "these pictures are from 0 to 1, and mean and std have not been used.": unit,
    }
    right = (unit - middle) / width
    task.compare(found, right, mistakes, "the numbers are not (x - mean) / std.")
    same = task.tensor(task.call(answer, x, (0.5,) * 3, (0.5,) * 3), (2, 3, 5, 5), "to_timm")
    task.need(close(same, x), "with mean and std 0.5 nothing should change: use what is given.")
    task.done("scaled by the mean and std that are given")


def timm_backbone(answer: Callable[..., nn.Module]) -> None:
    """Task 2: `answer(name, pretrained=False, **options)` is a backbone out of a timm network."""
    timm = optional("timm", "exercises")
    task = Task(2, "make the network, its width and its scale, and return its features")
    for name in ("test_efficientnet", "mobilenetv3_small_050", "test_vit"):
        backbone = task.call(answer, name)
        task.need(isinstance(backbone, nn.Module), "TimmBackbone has to be an nn.Module.")
        task.need(backbone.training, f"{name} is in evaluation mode: leave it as it was made.")
        backbone.eval()
        with torch.no_grad():
            found = task.call(backbone.forward, _pictures(2, SIDE))
        network = _timm_network(task, backbone)
        maps, classes = isinstance(found, Tensor) and found.ndim == 4, network.num_classes
        mistakes = {
            f"{name} gives maps, where each picture needs one vector: is it pooled?": maps,
            f"{name} still has a classifier of {classes} classes: num_classes=0.": classes,
        }
        task.rule_out(mistakes)
        width, said = network.head_hidden_size, getattr(backbone, "features", "missing")
        task.tensor(found, (2, width), f"the backbone {name}")
        differ = f"`features` of {name} is {said}, but its answer has {width} numbers."
        task.need(said == width, differ)
        _check_scale(task, timm, network, found, name)
        seen = any(int(part) for key, part in network.named_buffers() if "num_batches" in key)
        training = f"BatchNorm of {name} has seen a picture: it was measured in training mode."
        task.need(not seen, training)
    network = _timm_network(task, task.call(answer, "test_efficientnet", drop_rate=0.25))
    task.need(network.drop_rate == 0.25, "options do not reach the network: pass **options on.")
    task.done("pooled features of known width, and each network's own scale")


def _timm_network(task: Task, backbone: nn.Module) -> nn.Module:
    found = [part for part in backbone.modules() if hasattr(part, "pretrained_cfg")]
    task.need(found, "no timm network is among its parts to be trained: keep it in self.network.")
    return found[0]


def _check_scale(task: Task, timm: object, network: nn.Module, found: Tensor, name: str) -> None:
    """Compare features of `_pictures` with what the network says to pictures of its own scale."""
    x = _pictures(2, SIDE)
    own = timm.data.resolve_model_data_config(network)
    other = IMAGENET if own["mean"] == (0.5,) * 3 else ((0.5,) * 3, (0.5,) * 3)

    @torch.no_grad()
    def says(mean: tuple, std: tuple) -> Tensor:
        middle, width = (torch.tensor(values).view(3, 1, 1) for values in (mean, std))
        return network(((x + 1) / 2 - middle) / width)

    kind = {0.5: "to -1 to 1", 0.485: "by ImageNet's mean and std"}
    wanted, given = kind[own["mean"][0]], kind[other[0][0]]
    swapped = f"{name} wants pictures scaled {wanted}, not {given}: read it from the network."
    otherwise = f"{name} gives other features than for pictures that to_timm scales for it."
    task.compare(found, says(own["mean"], own["std"]), {swapped: says(*other)}, otherwise)


class _Small(nn.Module):
    """A backbone with a BatchNorm, of `features` numbers for each picture."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, features, 3), nn.BatchNorm2d(features))
        self.features = features

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).mean(dim=(2, 3))


def classifier_on(answer: Callable[..., nn.Module]) -> None:
    """Task 3: `answer(backbone, classes)` is a classifier with the parts `backbone` and `head`."""
    task = Task(3, "return the backbone with a head on top")
    for features, classes in ((5, 7), (13, 4)):
        backbone = _Small(features)
        model = task.call(answer, backbone, classes)
        task.need(isinstance(model, nn.Module), "return an nn.Sequential.")
        for part in ("backbone", "head"):
            task.need(hasattr(model, part), f"it has no part `{part}`: give the parts their names.")
        own = model.backbone is backbone
        task.need(own, "that is not the backbone that was given: use it itself.")
        logits = task.call(model, _pictures(6, 9))
        task.tensor(logits, (6, classes), f"with {classes} classes the model")
        shares, logs = (close(x.sum(dim=1), torch.ones(6)) for x in (logits, logits.exp()))
        task.need(not shares, "these are shares of sum 1: leave the softmax to the loss.")
        task.need(not logs, "these are logarithms of shares: leave log_softmax to the loss.")
        count = sum(parameter.numel() for parameter in model.head.parameters())
        plain = (features + 1) * classes
        numbers = f"the head has {count} numbers to train, one linear layer with a bias"
        task.need(count == plain, f"{numbers} has {plain}.")
    task.done("logits from a head as wide as the features")


def frozen(answer: Callable[..., nn.Module]) -> None:
    """Task 4: `answer(backbone)` never trains its backbone, nor moves its statistics."""
    task = Task(4, "stop the gradients, and keep the backbone in evaluation mode")
    still = task.call(answer, _Small(4))
    backbone, early = still.backbone, not still.backbone.training
    model = nn.Sequential(still, nn.Linear(4, 2))
    task.call(model.train)
    trained = [name for name, part in backbone.named_parameters() if part.requires_grad]
    given = still.train()
    if given is None and trained and backbone.training:
        task.value(None)
    once, along = early and backbone.training, backbone.training
    mistakes = {
        f"{(trained or [''])[0]} of the backbone would still be trained.": trained,
        "`train` has to return self, as that of every module does.": given is None,
        "`train` returns another module: return self.": given is not still,
        "model.train() undoes an eval() that was called once: call it in every `train`.": once,
        "model.train() takes the backbone along, and BatchNorm's statistics would move.": along,
    }
    task.rule_out(mistakes)
    norm = backbone.layers[1]
    before = norm.running_mean.clone()
    task.call(model, _pictures(6, 9))
    kept = torch.equal(before, norm.running_mean)
    task.need(kept, "BatchNorm in it still moves: `eval()` reaches all parts, a flag does not.")
    task.done("no gradient, and statistics that stay where they are")


def accuracy_within(answer: Callable) -> None:
    """Task 5: `answer(history, seconds)` is what the last epoch within the time had reached."""
    task = Task(5, "return the accuracy that was reached when the time was up")
    history = [
        {"epoch": n, "validation_accuracy": accuracy, "seconds": seconds}
        for n, accuracy, seconds in ((1, 0.5, 2.0), (2, 0.8, 4.0), (3, 0.7, 3.0), (4, 0.75, 3.0))
    ]
    cases = {
        7.0: (0.8, "7 s are enough for two epochs of 2 s and 4 s, not for a third of 3 s"),
        9.5: (0.7, "after 9.5 s three epochs are over, and what counts is the last of them"),
        100.0: (0.75, "when the time is longer than the training, its last epoch counts"),
        6.0: (0.8, "an epoch that is over exactly when the time is up counts"),
        1.0: (0.0, "before the first epoch is over, the answer is 0.0"),
    }
    for seconds, (right, rule) in cases.items():
        found = task.one_number(task.call(answer, copy.deepcopy(history), seconds))
        task.need(abs(found - right) < 1e-6, f"{rule}: {right} is right, you have {found}.")
    task.done("what had been reached in the time")


def _pictures(count: int, side: int) -> Tensor:
    """The same pictures each time: float [count, 3, side, side] from -1 to 1."""
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
