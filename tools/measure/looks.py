"""Class, colour and pattern among the five nearest: `python tools/measure/looks.py` (chapter 3).

For test pictures whose looks are labelled, among the training pictures, on both catalogs: what
chance and the best order would give, encoders without looks, and ours; then queries made of two
pictures. Writes `pages/results/looks.json`, of each query how many of its five results are right,
so that means, intervals and paired differences are worked out where they are shown.
"""

from collections import Counter
from dataclasses import asdict, replace

import torch
from recording import about_this_run, write_results
from ten_classes import TEN
from torch import Tensor, nn

from fashionlib.catalog import SEVEN, Catalog, Split, load_catalog
from fashionlib.heads import build_encoder
from fashionlib.inference import predict
from fashionlib.pages.depths import Features
from fashionlib.pages.recorded_results import recorded
from fashionlib.retrieval import (
    agreement_at_k,
    best_at_k,
    chance_in_class,
    labelled,
    matches,
    mean_colours,
    precision_at_k,
    ranking,
    right_looks,
)
from fashionlib.siamese import SiameseRecipe, encoder_for, train_siamese
from fashionlib.weights import load_classifier, load_encoder, shipped

K = 5
BASE = SiameseRecipe("two-views", epochs=4, size=96, evaluation_size=112)
RECIPES = {
    "batch-hard triplets": replace(BASE, objective="batch-hard", margin=0.3),
    "two views": BASE,
}
OURS = "our encoder"
# Its code is gone (it was trained by two views, at commit 902f0a8), so its rows are kept
BEFORE = "our encoder until November 2026"
COLOUR_WEIGHTS = (1, 2)  # of mean colours beside features of length 1


def rows_of(catalog: Catalog) -> dict[str, dict[str, list[float]]]:
    """Right results of each labelled test picture, by row and measure."""
    queries, train = labelled(catalog.test), catalog.train

    def counted(found: Tensor, known: Tensor) -> dict[str, list[float]]:
        return plain(agreement_at_k(ranking(found, known), queries, train, K))

    def embedded(encoder: nn.Module) -> tuple[Tensor, Tensor]:
        return predict(encoder, queries.images), predict(encoder, train.images)

    classifier, _ = load_classifier(shipped(f"classifier_{catalog.name}"))
    features = embedded(Features(classifier))
    order = ranking(*features)
    torch.manual_seed(0)
    rows = {
        "chance in the class": plain(chance_in_class(order, queries, train)),
        "best possible": plain(best_at_k(order, queries, train, K)),
        "untrained network": counted(*embedded(build_encoder("fashion").eval())),
        "classifier features": counted(*features),
    }
    colours = [mean_colours(split.images) / 255 for split in (queries, train)]
    for weight in COLOUR_WEIGHTS:
        both = [torch.cat([f, weight * c], dim=1) for f, c in zip(features, colours, strict=True)]
        rows[f"features and {weight} × mean colour"] = counted(*both)
    for name, recipe in RECIPES.items():
        torch.manual_seed(0)
        encoder = encoder_for(recipe.objective, catalog, classifier)
        encoder, _ = train_siamese(encoder, catalog, recipe)
        rows[name] = counted(*embedded(encoder))
    encoder, _ = load_encoder(shipped(f"encoder_{catalog.name}"))
    before = recorded("looks")[catalog.name]["rows"][BEFORE]
    return rows | {BEFORE: before, OURS: counted(*embedded(encoder))}


def plain(values: dict[str, Tensor]) -> dict[str, list[float]]:
    """Shares of K results as numbers of results."""
    return {name: [round(K * float(v), 3) for v in each] for name, each in values.items()}


def two_pictures(catalog: Catalog) -> dict[str, dict[str, list[float]]]:
    """The class of one test picture in the look of another, of another class and look."""
    queries, train = labelled(catalog.test), catalog.train
    encoder, _ = load_encoder(shipped(f"encoder_{catalog.name}"))
    firsts, seconds = pairs(queries, train)
    wanted = replace(queries.at(firsts), attributes=queries.at(seconds).attributes)
    known = predict(encoder, train.images)
    found = predict(encoder, queries.images)
    rows = {}
    for name, query in (("blended", encoder.blended), ("mean of both", mean_of)):
        made = [query(found[a], found[b]) for a, b in zip(firsts, seconds, strict=True)]
        order = ranking(torch.stack(made), known)
        rows[name] = plain(agreement_at_k(order, wanted, train, K) | both(order, wanted, train))
    return rows


def mean_of(what: Tensor, look: Tensor) -> Tensor:
    """The baseline: half of each embedding."""
    return (what + look) / 2


def both(order: Tensor, queries: Split, catalog: Split) -> dict[str, Tensor]:
    """Share of the first K results of the right class and colour."""
    right = right_looks(order, queries, catalog)
    return {"category and colour": precision_at_k(right["category"] & right["colour"], K)}


def pairs(queries: Split, train: Split) -> tuple[Tensor, Tensor]:
    """For each query another at random, where K garments like the wanted one exist."""

    def key(label: int, look: tuple[str, str]) -> tuple:
        return int(label), *look

    looks = list(zip(queries.attributes["colour"], queries.attributes["pattern"], strict=True))
    stock = Counter(
        map(
            key,
            train.labels,
            zip(train.attributes["colour"], train.attributes["pattern"], strict=True),
        )
    )
    generator = torch.Generator().manual_seed(0)
    found = []
    for first, label in enumerate(queries.labels):
        for second in torch.randperm(len(queries), generator=generator).tolist():
            other = all(a != b for a, b in zip(looks[first], looks[second], strict=True))
            if label != queries.labels[second] and other and stock[key(label, looks[second])] >= K:
                found.append((first, second))
                break
    firsts, seconds = torch.tensor(found).T
    return firsts, seconds


def unseen() -> dict[str, dict[str, list[int]]]:
    """Right results of test photos of three classes that no network was trained for.

    Searched among the training photos of all ten classes; by class, and with features or encoder.
    """
    catalog = load_catalog("photos", classes=TEN)
    models = {
        "classifier features": Features(load_classifier(shipped("classifier_photos"))[0]),
        OURS: load_encoder(shipped("encoder_photos"))[0],
    }
    rows: dict[str, dict[str, list[int]]] = {}
    for name, model in models.items():
        order = ranking(predict(model, catalog.test.images), predict(model, catalog.train.images))
        right = matches(order, catalog.test.labels, catalog.train.labels)[:, :K].sum(dim=1)
        for label in range(len(SEVEN), len(TEN)):
            own = right[catalog.test.labels == label].tolist()
            rows.setdefault(TEN[label], {})[name] = own
    return rows


def main() -> None:
    """Measure on both catalogs."""
    results = {}
    for name in ("photos", "drawn"):
        catalog = load_catalog(name)
        results[name] = {"rows": rows_of(catalog), "two pictures": two_pictures(catalog)}
    recipes = {name: asdict(recipe) for name, recipe in RECIPES.items()}
    results["photos"]["unseen"] = unseen()
    write_results("looks", about_this_run(__file__, None) | {"recipes": recipes, **results})


if __name__ == "__main__":
    main()
