"""Train what comes with the library: `python tools/measure/shipped_weights.py photos` (or drawn).

Seeded, and resumable like every training here: interrupted, the same command goes on; what is
finished is kept, so delete a file of fashionlib/shipped/ to train it anew. Writes there
`classifier_<catalog>.safetensors`, `encoder_<catalog>.safetensors` and a model card for each, in
which every figure comes from this run.
"""

import copy
import sys
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import ten_classes
import torch
from small_networks import RECIPE as MILD_RECIPE
from torch import nn
from torchvision.transforms import v2

from fashionlib.catalog import Catalog, Split, load_catalog
from fashionlib.counting import count_macs, count_parameters
from fashionlib.heads import ClassificationHead, build_classifier
from fashionlib.inference import predict
from fashionlib.metrics import count_correct, format_accuracy
from fashionlib.pages.recorded_results import recorded
from fashionlib.retrieval import (
    agreement_at_k,
    average_precision,
    labelled_positions,
    matches,
    precision_at_k,
    ranking,
    resampled,
    score,
)
from fashionlib.running.distance_limit import calibrated_limit
from fashionlib.running.runs import run_training
from fashionlib.running.teachers import change_batches, learn_from
from fashionlib.siamese import RECIPE as ENCODER_RECIPE
from fashionlib.siamese import encoder_for, siamese_training
from fashionlib.training import Recipe, Training, classifier_training
from fashionlib.weights import load_classifier, load_encoder, save_classifier, save_encoder

SHIPPED = Path(__file__).resolve().parents[2] / "fashionlib" / "shipped"
SEED = 0
CLASSIFIER_RECIPES = {
    # Starts from a trained network, so it is half as long and its steps are half as large. At 144
    # pixels it names one validation picture more, for a quarter more work; at 128 it keeps the lead
    # over MobileNetV3-small that chapter 5 shows.
    "photos": replace(
        MILD_RECIPE,
        epochs=30,
        evaluation_size=128,
        learning_rate=1.5e-3,
        label_smoothing=0.0,
    ),
    # mild is for photos
    "drawn": replace(MILD_RECIPE, average=0.995, augmentation="strong"),
}
MIXUP = 0.2  # of the classifiers (Zhang et al. 2018, arXiv 1710.09412; their alpha)
ENCODER_RECIPES = {
    "photos": ENCODER_RECIPE,
    "drawn": replace(ENCODER_RECIPE, epochs=8),
}
LOOKS = {
    "category": "class@5 of the pictures whose looks are labelled",
    "colour": "colour@5",
    "pattern": "pattern@5",
    "patterned": "pattern@5 of patterned queries",
    "alike": "alike@5 (class, colour and pattern)",
}
DATA = {
    "photos": "clothing-dataset-small, seven classes, CC0 (github.com/alexeygrigorev)",
    "drawn": "garments drawn by fashionlib.drawn, seven classes, no licence needed",
}
LIMITS = {
    "photos": "Seven classes of everyday clothes, mostly one garment a photo, lying or hanging. "
    "Anything else gets one of the seven names too. {people}",
    "drawn": "Knows drawings only: for photos use the weights trained on photos.",
}


def from_scratch(catalog: Catalog, recipe: Recipe) -> Training:
    """The training of a new network from the labels alone."""
    torch.manual_seed(SEED)
    model = build_classifier("fashion", len(catalog.classes))
    return classifier_training(model, catalog, recipe, SEED)


def mix(training: Training, catalog: Catalog) -> None:
    """Blend each picture and its label with another's."""
    change_batches(training, "mixup", v2.MixUp(alpha=MIXUP, num_classes=len(catalog.classes)))


def first_network(catalog: Catalog) -> nn.Module:
    """Where the photos' classifier starts from: sixty epochs from scratch; kept in runs/."""
    path = Path("runs") / f"first_{catalog.name}_{SEED}.safetensors"
    if not path.exists():
        training = from_scratch(catalog, MILD_RECIPE)
        model, _ = run_training(training, path.with_suffix(".checkpoint.safetensors"))
        save_classifier(path, model, catalog.classes)
    return load_classifier(path)[0]


def ten_classes_network(classes: int) -> nn.Module:
    """The network of `ten_classes.py`, its answers cut down to the first `classes`."""
    path = ten_classes.kept(SEED)
    if not path.exists():
        ten_classes.run_seed(load_catalog("photos", classes=ten_classes.TEN), SEED)
    model, _ = load_classifier(path)
    linear = model.head.linear
    model.head = ClassificationHead(linear.in_features, classes)
    model.head.linear.load_state_dict(
        {name: tensor[:classes] for name, tensor in linear.state_dict().items()}
    )
    return model.eval()


def learn_photos(catalog: Catalog, kept: Path) -> tuple[nn.Module, dict[str, str]]:
    """From a trained network and its answers, and those of one that saw three classes more.

    Returns the student, and how well the two did.
    """
    first, ten = first_network(catalog), ten_classes_network(len(catalog.classes))
    student, recipe = copy.deepcopy(first), CLASSIFIER_RECIPES["photos"]
    figures = {
        f"validation accuracy of {name}": accuracy_of(network, catalog.validation)
        for name, network in (("the first network", first), ("the ten-class network", ten))
    }
    training = classifier_training(student, catalog, recipe, SEED)
    mix(training, catalog)
    learn_from(training, [first, ten])
    return run_training(training, kept)[0], figures


def learn_drawn(catalog: Catalog, kept: Path) -> tuple[nn.Module, dict[str, str]]:
    """The drawn garments are easy enough from scratch, without teachers."""
    training = from_scratch(catalog, CLASSIFIER_RECIPES["drawn"])
    mix(training, catalog)
    return run_training(training, kept)[0], {}


def accuracy_of(model: nn.Module, split: Split) -> str:
    """Share of pictures named right, with its interval."""
    right = count_correct(predict(model, split.images), split.labels)
    return format_accuracy(right, len(split))


def classifier(catalog: Catalog) -> dict[str, Any]:
    """Train and save the classifier, unless it is there; returns its metadata."""
    path = SHIPPED / f"classifier_{catalog.name}.safetensors"
    if not path.exists():
        kept = Path("runs") / f"{path.stem}.checkpoint.safetensors"
        recipe = CLASSIFIER_RECIPES[catalog.name]
        learn = {"photos": learn_photos, "drawn": learn_drawn}[catalog.name]
        model, figures = learn(catalog, kept)
        for name in ("validation", "test"):
            figures[f"{name} accuracy"] = accuracy_of(model, catalog.splits[name])
        more = about(model, catalog, asdict(recipe) | {"mixup": MIXUP}, figures)
        save_classifier(path, model, catalog.classes, **more)
    return load_classifier(path)[1]


def encoder(catalog: Catalog) -> dict[str, Any]:
    """Train and save the encoder, unless it is there; returns its metadata."""
    path = SHIPPED / f"encoder_{catalog.name}.safetensors"
    if not path.exists():
        torch.manual_seed(SEED)
        recipe = ENCODER_RECIPES[catalog.name]
        start, _ = load_classifier(SHIPPED / f"classifier_{catalog.name}.safetensors")
        kept = Path("runs") / f"{path.stem}.checkpoint.safetensors"
        training = siamese_training(
            encoder_for(recipe.objective, catalog, start), catalog, recipe, SEED
        )
        model, _ = run_training(training, kept)
        figures = {}
        for name in ("validation", "test"):
            found = retrieval_figures(model, catalog, catalog.splits[name])
            figures |= {f"{name} {key}": value for key, value in found.items()}
        more = about(model, catalog, asdict(recipe), figures)
        more["distance_limit"] = calibrated_limit(model, catalog)
        save_encoder(path, model, **more)
    return load_encoder(path)[1]


def retrieval_figures(model: nn.Module, catalog: Catalog, split: Split) -> dict:
    """How well pictures of a split find their like among the training pictures."""
    train, seen = catalog.train, labelled_positions(split)
    order = ranking(predict(model, split.images), predict(model, train.images))
    right = matches(order, split.labels, train.labels)
    found = agreement_at_k(order[seen], split.at(seen), train, 5)
    return {
        "precision@1": str(score(precision_at_k(right, 1))),
        "precision@5": str(score(precision_at_k(right, 5))),
        "mAP": str(score(average_precision(right))),
        **{LOOKS[name]: str(resampled(values)) for name, values in found.items()},
    }


def about(model: nn.Module, catalog: Catalog, recipe: dict, figures: dict) -> dict:
    """What goes into the file besides the tensors: where it comes from and how good it is."""
    size = model.preparation.size
    return {
        "catalog": catalog.name,
        "recipe": recipe,
        "seed": SEED,
        "figures": figures,
        "parameters": count_parameters(model),
        "macs": count_macs(model, size),
    }


def teachers_line(data: dict[str, Any]) -> list[str]:
    """The photos' classifier's line about what it learned from besides the labels."""
    if data["catalog"] != "photos" or "distance_limit" in data:
        return []
    return [
        "- **Start and teachers**: starts from a first network of the same plan, trained from "
        f"scratch on the same pictures for {MILD_RECIPE.epochs} epochs; half of each wanted answer "
        "is the mean answer of that network and of a ten-class network, trained in the same way on "
        "all ten classes of the dataset and asked about these seven alone"
    ]


def limit_line(data: dict[str, Any]) -> list[str]:
    """An encoder's line about what it takes for clothing; a classifier has none."""
    if "distance_limit" not in data:
        return []
    limit = f"{data['distance_limit']:.3f}"
    return [
        f"- **Distance limit**: {limit}; 95 of 100 validation pictures have a training picture "
        "within that; a query that has none is farther from the catalog than garments usually are"
    ]


def looks_line(data: dict[str, Any]) -> list[str]:
    """An encoder of photos is judged by labels that need a word; so does what it learned from."""
    if data["catalog"] != "photos" or "distance_limit" not in data:
        return []
    return [
        "Colours and patterns are learned from labels, and judged by labels, that an AI model gave "
        "and no person: `fashionlib/catalog/photo_looks.md`. Half of the test photos have some.",
        "",
    ]


def whose_photos() -> str:
    """Who sent the photos that the figures of a card are of, from the recorded list."""
    senders = recorded("senders")
    known = set(senders["train"])
    validation, test = (list(senders[split].values()) for split in ("validation", "test"))
    people = Counter(test)
    seen = sum(sender in known for sender in validation) / len(validation)
    return (
        f"Of the validation photos {seen:.0%} come from people who sent training photos too. The "
        f"test photos come from {len(people)} people, {max(people.values()) / len(test):.0%} of "
        f"them from one person, and {len(set(people) & known) or 'none'} of these people sent a "
        "training photo. Intervals count photos: for other people's clothes they are too narrow."
    )


def write_card(name: str, data: dict[str, Any]) -> None:
    """The model card, from the metadata in the file."""
    size = data["preprocessing"]["size"]
    lines = [
        f"# {name}",
        "",
        f"*Written by `tools/measure/shipped_weights.py {data['catalog']}`; "
        "every figure is of that run.*",
        "",
        f"- **Data**: {DATA[data['catalog']]}",
        f"- **Network**: plan `fashion`, {data['parameters']:,} parameters, "
        f"{data['macs'] / 1e6:.0f} million MACs at {size} × {size} px",
        f"- **Recipe**: `{data['recipe']}`, seed {data['seed']}",
        *(f"- **{key}**: {value}" for key, value in data["figures"].items()),
        *teachers_line(data),
        *limit_line(data),
        f"- **Limits**: {LIMITS[data['catalog']].format(people=whose_photos())}",
        "",
        *looks_line(data),
        "Intervals are of 95 %: Wilson's over pictures, for looks from resampled queries. Choices "
        "were made on validation. The test figures of earlier attempts were seen while the method "
        "was developed.",
        "",
    ]
    (SHIPPED / f"{name}.md").write_text("\n".join(lines), encoding="utf-8")


def main(name: str) -> None:
    """Both networks of one catalog, and their cards."""
    catalog = load_catalog(name)
    for kind, train in (("classifier", classifier), ("encoder", encoder)):
        write_card(f"{kind}_{name}", train(catalog))
        print((SHIPPED / f"{kind}_{name}.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    if sys.argv[1:] not in (["photos"], ["drawn"]):
        sys.exit("name the catalog: shipped_weights.py photos, or drawn")
    main(sys.argv[1])
