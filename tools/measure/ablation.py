"""What each change to network or recipe gains (chapter 9): `python tools/measure/ablation.py`.

Each trial trains from scratch on the photos, ten epochs unless that is what it changes, and differs
from the first, "as it is", in one thing, few in more. Writes
`pages/results/ablation.json`: for each trial and seed the validation pictures named right, as
they are and with the mean of a picture's and its mirror image's logits; loss of each epoch;
parameters, MACs, and processor seconds. The test pictures are not looked at.
What is in the file already is not run again; `... 0 2` keeps to seeds 0 and 2.

Runs of one seed are alike to the last digit on one kind of processor only, so compare trials by
their means: some seeds ran on an AMD, some on an Intel processor ("processor", where it was noted).
"""

import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from muon import make_muon
from pytorch_metric_learning.losses import NTXentLoss, SelfSupervisedLoss
from recording import about_this_run, measured, processor, write_results
from torch import Tensor, nn
from torchvision.ops import SqueezeExcitation
from torchvision.transforms import v2

from fashionlib.blocks import InvertedResidual, Plan, conv_bn
from fashionlib.catalog import Catalog, Split, load_catalog
from fashionlib.counting import count_macs, count_parameters
from fashionlib.heads import build_classifier
from fashionlib.inference import predict
from fashionlib.metrics import count_correct
from fashionlib.running.teachers import change_batches, learn_from
from fashionlib.siamese import SiameseRecipe, encoder_from, train_siamese, view
from fashionlib.training import (
    ARTICLE_RECIPE,
    Batches,
    Recipe,
    Training,
    classifier_training,
    finish,
    labelled_batches,
    make_optimizer,
    shuffled,
)
from fashionlib.weights import load_classifier, shipped

SEEDS = (0, 1, 2)
LIMIT = 429_399  # parameters, with the head of seven classes
BASE = Recipe()
GROWING = (80, 80, 80, 96, 96, 112, 112, 128, 128, 144)  # pixels, an epoch each

TRIPLETS_FIRST = SiameseRecipe("all", epochs=10)
VIEWS_FIRST = SiameseRecipe("two views", epochs=10, batch_size=128, augmentation="strong")

# what squeeze-excite and larger filters add in parameters has to be saved elsewhere
TWO_FEWER = Plan(24, ((3, 32, 2, 2), (6, 40, 3, 2), (6, 64, 5, 2)))


def hard_swish(network: nn.Module) -> nn.Module:
    """x · relu6(x + 3) / 6 instead of ReLU6 (Howard et al. 2019, section 5.2)."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU6):
                setattr(module, name, nn.Hardswish(inplace=True))
    return network


def squeeze_excite(network: nn.Module) -> nn.Module:
    """A weight for each wide channel, from the means of all (Hu et al. 2018)."""
    for block in network.modules():
        if isinstance(block, InvertedResidual):
            hidden = block.expand[0].out_channels
            block.filter.append(SqueezeExcitation(hidden, max(8, hidden // 24)))
    return network


def wide_filters(network: nn.Module) -> nn.Module:
    """5×5 instead of 3×3 in the blocks of the last stage but its first."""
    for block in network.modules():
        if isinstance(block, InvertedResidual) and block.expand[0].out_channels == 384:
            block.filter = conv_bn(384, 384, kernel=5, groups=384)
    return network


def balanced(split: Split) -> Split:
    """As many pictures, each class as often: drawn again, with repetition, from torch's seed."""
    weights = 1 / torch.bincount(split.labels)[split.labels].double()
    return split.at(torch.multinomial(weights, len(split), replacement=True))


def without_doubted(split: Split) -> Split:
    """Without the pictures whose label `doubted_labels.py` doubts."""
    names = {row["name"] for row in measured("labels", "doubted")}
    assert names, "no labels in doubt are recorded: run tools/measure/doubted_labels.py first"
    return split.at(torch.tensor([name not in names for name in split.names]).nonzero()[:, 0])


def turned(split: Split) -> Split:
    """Each picture on one of its four sides, drawn again each time: photos are taken either way."""
    turns = torch.randint(4, (len(split),)).tolist()
    images = [
        torch.rot90(image, turn, (1, 2)) for image, turn in zip(split.images, turns, strict=True)
    ]
    return replace(split, images=torch.stack(images))


def triplets_first(network: nn.Module, catalog: Catalog, seed: int) -> None:
    """Ten epochs of all triplets by label, chapter 3's recipe, before the ten."""
    encoder, _ = train_siamese(encoder_from(network), catalog, TRIPLETS_FIRST, seed)
    network.backbone = encoder.backbone


def views_first(network: nn.Module, catalog: Catalog, seed: int) -> None:
    """Ten epochs without labels before the ten: which two views are of one picture? (SimCLR)"""
    contrast = SelfSupervisedLoss(NTXentLoss(temperature=0.1))
    images, recipe = catalog.train.images, VIEWS_FIRST

    def load(chosen: Tensor) -> tuple[Tensor]:
        return (torch.cat([view(images[chosen], recipe) for _ in range(2)]),)

    def batches(_: int) -> Batches:
        return Batches(shuffled(len(images), recipe.batch_size, keep_last=True), load)

    def loss_of(encoder: nn.Module, views: Tensor) -> Tensor:
        return contrast(*encoder(views).chunk(2))

    encoder = encoder_from(network).to(memory_format=torch.channels_last)
    finish(training := Training(encoder, batches, loss_of, lambda _: {}, recipe, seed))
    network.backbone = training.average.backbone


@dataclass(frozen=True)
class Trial:
    """One row of the table."""

    recipe: Recipe = BASE
    plan: str | Plan = "fashion"
    change: Callable[[nn.Module], nn.Module] | None = None  # of the network
    sizes: tuple[int, ...] = ()  # pixels in each epoch; the recipe's where empty
    pictures: Callable[[Split], Split] | None = None  # of each epoch, from the training pictures
    mixup: float = 0.0  # alpha (Zhang et al. 2018, arXiv 1710.09412)
    cutmix: bool = False  # Yun et al. 2019, arXiv 1905.04899
    teacher: bool = False
    first: Callable[[nn.Module, Catalog, int], None] | None = None  # training before the training
    optimize: Callable[[nn.Module, Recipe], torch.optim.Optimizer] = make_optimizer


TRIALS = {
    "as it is": Trial(),
    "no average of the weights": Trial(replace(BASE, average=0.0)),
    "no label smoothing": Trial(replace(BASE, label_smoothing=0.0)),
    "constant learning rate": Trial(replace(BASE, schedule="constant")),
    "batches of 32": Trial(replace(BASE, batch_size=32)),
    "batches of 8": Trial(replace(BASE, batch_size=8, learning_rate=2e-3)),
    "the article's augmentation": Trial(replace(BASE, augmentation="article")),
    "strong augmentation": Trial(replace(BASE, augmentation="strong")),
    "twenty epochs": Trial(replace(BASE, epochs=20)),
    "mixup": Trial(mixup=0.2),
    "cutmix": Trial(cutmix=True),
    "classes equally often": Trial(pictures=balanced),
    "labels in doubt left out": Trial(pictures=without_doubted),
    "pictures on any of their sides": Trial(pictures=turned),
    "96 px": Trial(replace(BASE, size=96, evaluation_size=112)),
    "128 px": Trial(replace(BASE, size=128, evaluation_size=144)),
    "144 px": Trial(replace(BASE, size=144, evaluation_size=160)),
    "growing from 80 to 144 px": Trial(replace(BASE, evaluation_size=160), sizes=GROWING),
    "hard-swish": Trial(change=hard_swish),
    "two blocks fewer": Trial(plan=TWO_FEWER),
    "squeeze-excite, two blocks fewer": Trial(plan=TWO_FEWER, change=squeeze_excite),
    "5×5 filters in the last stage, two blocks fewer": Trial(plan=TWO_FEWER, change=wide_filters),
    "wider, one stage more": Trial(
        plan=Plan(24, ((3, 32, 2, 2), (4, 40, 3, 2), (4, 64, 4, 2), (4, 96, 3, 2)))
    ),
    "a teacher (the shipped classifier)": Trial(teacher=True),
    "ten epochs of triplets first": Trial(first=triplets_first),
    "ten epochs of two views first, without labels": Trial(first=views_first),
    "Muon": Trial(optimize=make_muon),
    "Muon and mixup": Trial(mixup=0.2, optimize=make_muon),
    "batches of 8, two blocks fewer, 128 px": Trial(
        replace(BASE, batch_size=8, learning_rate=2e-3, size=128, evaluation_size=144), TWO_FEWER
    ),
    # network or recipe? each of three networks by either; "as it is" is ours by ours
    "the article's network, its recipe": Trial(ARTICLE_RECIPE, "article"),
    "the article's network, our recipe": Trial(plan="article"),
    "the dense network, the article's recipe": Trial(ARTICLE_RECIPE, "article-dense"),
    "the dense network, our recipe": Trial(plan="article-dense"),
    "our network, the article's recipe": Trial(ARTICLE_RECIPE),
}


def recipe_of(trial: Trial) -> dict[str, Any]:
    """What is recorded of how a trial trains."""
    return asdict(trial.recipe) | ({"mixup": trial.mixup} if trial.mixup else {})


def training_of(trial: Trial, network: nn.Module, catalog: Catalog, seed: int) -> Training:
    """The training of a trial, changed where the trial differs; what goes first is done."""
    if trial.first:
        trial.first(network, catalog, seed)

    def batches(epoch: int) -> Batches:
        size = trial.sizes[epoch] if trial.sizes else trial.recipe.size
        split = trial.pictures(catalog.train) if trial.pictures else catalog.train
        return labelled_batches(split, replace(trial.recipe, size=size))

    training = classifier_training(network, catalog, trial.recipe, seed)
    training.batches = batches
    training.optimizer = trial.optimize(network, trial.recipe)
    if trial.mixup:
        mixup = v2.MixUp(alpha=trial.mixup, num_classes=len(catalog.classes))
        change_batches(training, "mixup", mixup)
    if trial.cutmix:
        change_batches(training, "cutmix", v2.CutMix(num_classes=len(catalog.classes)))
    if trial.teacher:
        learn_from(training, [load_classifier(shipped("classifier_photos"))[0]])
    return training


def right(network: nn.Module, split: Split) -> dict[str, int]:
    """Pictures named right: plain, and with the mirror image's logits added."""
    plain = predict(network, split.images)
    both = plain + predict(network, split.images.flip(-1))
    return {
        "plain": count_correct(plain, split.labels),
        "with mirror image": count_correct(both, split.labels),
    }


def run(name: str, seed: int, catalog: Catalog) -> dict[str, Any]:
    """One trial with one seed."""
    trial = TRIALS[name]
    torch.manual_seed(seed)
    network = build_classifier(trial.plan, len(catalog.classes))
    network = trial.change(network) if trial.change else network
    parameters = count_parameters(network)
    assert parameters <= LIMIT, f"{name}: {parameters} parameters"
    size = trial.recipe.evaluation_size
    macs = count_macs(network, size)
    started = time.process_time()
    network, history = finish(training_of(trial, network, catalog, seed))
    return {
        "trial": name,
        "seed": seed,
        "parameters": parameters,
        "macs": macs,
        "processor": processor(),
        "processor seconds": round(time.process_time() - started, 1),
        "right": right(network, catalog.validation),
        "losses": [round(row["loss"], 4) for row in history],
    }


def main() -> None:
    """Run what is missing, and save after each."""
    catalog = load_catalog("photos")
    for seed in [int(given) for given in sys.argv[1:]] or SEEDS:
        for name in TRIALS:
            if any(r["trial"] == name and r["seed"] == seed for r in measured("ablation", "runs")):
                continue
            found = run(name, seed, catalog)
            print(name, seed, found["right"], found["processor seconds"], flush=True)
            runs = [*measured("ablation", "runs"), found]  # read again: another may have written
            runs.sort(key=lambda run: (list(TRIALS).index(run["trial"]), run["seed"]))
            recipes = {name: recipe_of(trial) for name, trial in TRIALS.items()}
            about = about_this_run(__file__, catalog)
            of = len(catalog.validation)
            write_results("ablation", about | {"recipes": recipes, "validation": of, "runs": runs})


if __name__ == "__main__":
    main()
