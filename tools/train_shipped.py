"""Train the weights that come with the library: `python tools/train_shipped.py photos` (or drawn).

Seeded, and resumable like every training here: interrupted, the same command goes on; what is
finished is kept, so delete a file of fashionlib/shipped/ to train it anew. Writes there
`classifier_<catalog>.safetensors`, `encoder_<catalog>.safetensors` and a model card for each, in
which every figure comes from this run.
"""

import statistics
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from recording import machine
from torch import nn

from fashionlib.backbone import PLANS
from fashionlib.catalog import Catalog, Split, load_catalog
from fashionlib.counting import count_macs, count_parameters
from fashionlib.distance_limit import calibrated_limit
from fashionlib.distillation import distil_classifier
from fashionlib.heads import DIMENSIONS, build_classifier
from fashionlib.inference import predict
from fashionlib.latency import eager, take_turns
from fashionlib.look_encoder import look_encoder_from
from fashionlib.metrics import count_correct, format_accuracy
from fashionlib.retrieval import (
    agreement_at_k,
    average_precision,
    colour_distances,
    matches,
    precision_at_k,
    rank,
    score,
)
from fashionlib.siamese import SiameseRecipe, train_siamese
from fashionlib.training import LONG_RECIPE, train_classifier
from fashionlib.weights import load_classifier, load_encoder, save_classifier, save_encoder

SHIPPED = Path(__file__).resolve().parents[1] / "fashionlib" / "shipped"
SEED = 0
# seeds of the networks that teach the classifier; the drawn garments are easy enough without
TEACHERS: dict[str, tuple[int, ...]] = {"photos": (0, 1), "drawn": ()}
DISTIL_RECIPE = replace(LONG_RECIPE, epochs=80, evaluation_size=128, label_smoothing=0.05)
ENCODER_RECIPES = {
    "photos": SiameseRecipe("look", epochs=10),
    "drawn": SiameseRecipe("colour", epochs=6, look_margin=0.5),
}
DATA = {
    "photos": "clothing-dataset-small, seven classes, CC0 (github.com/alexeygrigorev)",
    "drawn": "garments drawn by fashionlib.drawn, seven classes, no licence needed",
}
LIMITS = {
    "photos": "Seven classes of everyday clothes, mostly one garment a photo, lying or hanging. "
    "Anything else gets one of the seven names too. Validation photos share rooms with training "
    "photos, test photos hardly do.",
    "drawn": "Knows drawings only: for photos use the weights trained on photos.",
}


def teachers(catalog: Catalog) -> list[nn.Module]:
    """Networks like the one to come, of other seeds; kept in runs/, not shipped."""
    models = []
    for seed in TEACHERS[catalog.name]:
        path = Path("runs") / f"teacher_{catalog.name}_{seed}.safetensors"
        if not path.exists():
            torch.manual_seed(seed)
            model = build_classifier("fashion", len(catalog.classes))
            kept = path.with_suffix(".checkpoint.safetensors")
            model, _ = train_classifier(model, catalog, LONG_RECIPE, seed, kept)
            size = LONG_RECIPE.evaluation_size
            save_classifier(path, model, PLANS["fashion"], catalog.classes, size)
        models.append(load_classifier(path)[0])
    return models


def classifier(catalog: Catalog) -> dict[str, Any]:
    """Train and save the classifier, unless it is there; returns its metadata."""
    path = SHIPPED / f"classifier_{catalog.name}.safetensors"
    if not path.exists():
        others = teachers(catalog)
        torch.manual_seed(SEED)
        model = build_classifier("fashion", len(catalog.classes))
        kept = Path("runs") / f"{path.stem}.checkpoint.safetensors"
        if others:
            recipe = DISTIL_RECIPE
            model, _ = distil_classifier(model, others, catalog, recipe, SEED, kept)
        else:
            recipe = LONG_RECIPE
            model, _ = train_classifier(model, catalog, recipe, SEED, kept)
        figures = {}
        for name in ("validation", "test"):
            split = catalog.splits[name]
            logits = predict(model, split.images, recipe.evaluation_size)
            right = count_correct(logits, split.labels)
            figures[f"{name} accuracy"] = format_accuracy(right, len(split))
        more = about(model, catalog, recipe, figures)
        more["teachers"] = list(TEACHERS[catalog.name])
        size = recipe.evaluation_size
        save_classifier(path, model, PLANS["fashion"], catalog.classes, size, **more)
    return load_classifier(path)[1]


def encoder(catalog: Catalog) -> dict[str, Any]:
    """Train and save the encoder, unless it is there; returns its metadata."""
    path = SHIPPED / f"encoder_{catalog.name}.safetensors"
    if not path.exists():
        torch.manual_seed(SEED)
        recipe = ENCODER_RECIPES[catalog.name]
        start, _ = load_classifier(SHIPPED / f"classifier_{catalog.name}.safetensors")
        kept = Path("runs") / f"{path.stem}.checkpoint.safetensors"
        model, _ = train_siamese(look_encoder_from(start), catalog, recipe, SEED, kept)
        figures = {}
        for name in ("validation", "test"):
            found = retrieval_figures(model, catalog, catalog.splits[name], recipe.evaluation_size)
            figures |= {f"{name} {key}": value for key, value in found.items()}
        more = about(model, catalog, recipe, figures)
        more["distance_limit"] = calibrated_limit(model, catalog, recipe.evaluation_size)
        save_encoder(path, model, PLANS["fashion"], DIMENSIONS, recipe.evaluation_size, **more)
    return load_encoder(path)[1]


def retrieval_figures(model: nn.Module, catalog: Catalog, split: Split, size: int) -> dict:
    """How well pictures of a split find their like among the training pictures."""
    train = catalog.train
    order = rank(predict(model, split.images, size), predict(model, train.images, size))
    right = matches(order, split.labels, train.labels)
    agreement = agreement_at_k(order, split, train, 5)
    figures = {
        "precision@1": str(score(precision_at_k(right, 1))),
        "precision@5": str(score(agreement.pop("category"))),
        "mAP": str(score(average_precision(right))),
    }
    colours = colour_distances(split.images, split.labels, train.images, train.labels, order[:, :5])
    figures["colour distance of the top 5 to that of a random picture of the class"] = (
        f"{colours.ratio:.2f}"
    )
    return figures | {f"{look} agreement@5": str(score(alike)) for look, alike in agreement.items()}


def about(model: nn.Module, catalog: Catalog, recipe: Any, figures: dict) -> dict:
    """What goes into the file besides the tensors: where it comes from and how good it is."""
    size = recipe.evaluation_size
    return {
        "catalog": catalog.name,
        "recipe": asdict(recipe),
        "seed": SEED,
        "figures": figures,
        "parameters": count_parameters(model),
        "macs": count_macs(model, size),
        "milliseconds": round(milliseconds(model, size), 1),
        "machine": machine(),
    }


def milliseconds(model: nn.Module, size: int, rounds: int = 50) -> float:
    """Median for one picture on this CPU, batch 1, after a warm-up."""
    clock, _ = take_turns({"model": eager(model.cpu(), 1, size)}, rounds)
    return statistics.median(clock["model"])


def teachers_line(data: dict[str, Any]) -> list[str]:
    """A classifier's line about what it learned from besides the labels, if anything."""
    if not data.get("teachers"):
        return []
    seeds = " and ".join(map(str, data["teachers"]))
    return [
        "- **Teachers**: half of each wanted answer is the mean answer of networks of the same "
        f"plan, trained on the same pictures with seeds {seeds}"
    ]


def limit_line(data: dict[str, Any]) -> list[str]:
    """An encoder's line about what it takes for clothing; a classifier has none."""
    if "distance_limit" not in data:
        return []
    limit = f"{data['distance_limit']:.3f}"
    return [
        f"- **Distance limit**: {limit}; 95 of 100 validation pictures have a training picture "
        "within that, and whatever has none is probably no garment"
    ]


def write_card(name: str, data: dict[str, Any]) -> None:
    """The model card, from the metadata in the file."""
    size = data["preprocessing"]["size"]
    lines = [
        f"# {name}",
        "",
        f"*Written by `tools/train_shipped.py {data['catalog']}`; every figure is of that run.*",
        "",
        f"- **Data**: {DATA[data['catalog']]}",
        f"- **Network**: plan `fashion`, {data['parameters']:,} parameters, "
        f"{data['macs'] / 1e6:.0f} million MACs at {size} × {size} px",
        f"- **Time**: {data['milliseconds']} ms a picture (batch 1; {data['machine']})",
        f"- **Recipe**: `{data['recipe']}`, seed {data['seed']}",
        *(f"- **{key}**: {value}" for key, value in data["figures"].items()),
        *teachers_line(data),
        *limit_line(data),
        f"- **Limits**: {LIMITS[data['catalog']]}",
        "",
        "Intervals are 95 % Wilson intervals over pictures. Choices were made on validation. The "
        "test figures of earlier attempts were seen while the method was developed.",
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
    main(sys.argv[1])
