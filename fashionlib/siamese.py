"""One encoder for all pictures of a triplet, and its training (chapter 3).

Sources: Schroff et al., "FaceNet", CVPR 2015, arXiv 1503.03832; Hermans et al., "In Defense of the
Triplet Loss", arXiv 1703.07737 (batch-hard); Chen et al., "SimCLR", ICML 2020, arXiv 2002.05709
(two views of one picture).
"""

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fashionlib.catalog import Catalog
from fashionlib.errors import FashionError
from fashionlib.heads import DIMENSIONS, EmbeddingHead, build_classifier
from fashionlib.inference import pick_device, predict
from fashionlib.look_encoder import NAMELESS, LookEncoder, look_encoder_from
from fashionlib.retrieval import evaluate_retrieval
from fashionlib.training import Batches, Training, describe_pictures, finish, shuffled
from fashionlib.transforms import AUGMENTATIONS, Preparation, augment, swap_frames, to_input
from fashionlib.triplets import TripletDataset, triplet_losses
from fashionlib.weights import load_encoder, shipped


class SiameseNetwork(nn.Module):
    """The same encoder, with the same weights, for anchor, positive and negative."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(
        self, anchor: Tensor, positive: Tensor, negative: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Three times float [N, 3, H, W] to three times unit vectors float [N, D]."""
        return self.encoder(anchor), self.encoder(positive), self.encoder(negative)


def encoder_from(classifier: nn.Sequential, dimensions: int = DIMENSIONS) -> nn.Sequential:
    """An encoder that starts with what a trained classifier knows.

    The backbone is a *copy*: training the encoder leaves the classifier as it was. (Sharing the
    module would change both, without a word.)
    """
    backbone = copy.deepcopy(classifier.backbone)
    head = EmbeddingHead(backbone.features, dimensions)
    encoder = nn.Sequential(OrderedDict(backbone=backbone, head=head))
    encoder.preparation = classifier.preparation
    return encoder


@dataclass(frozen=True)
class SiameseRecipe:
    """Everything about a metric training except the network, the pictures and the seed.

    `objective` is a name from `OBJECTIVES`. `batch_size` counts pictures (anchors, for random
    triplets). `margin` is a distance on the unit sphere, where the largest is 2; `look_margin` is
    that of two-view triplets. `swap` is the share of batches that get other edges (`swap_frames`;
    of "two-views" the second views only), `look_weight` the weight of looks in the loss.
    """

    objective: str
    epochs: int = 15
    size: int = 112
    evaluation_size: int = 128
    batch_size: int = 56
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    average: float = 0.98
    augmentation: str = "views"
    schedule: str = "one-cycle"
    margin: float = 1.0
    look_margin: float = 0.3
    look_weight: float = 1.0
    swap: float = 1.0


RECIPE = SiameseRecipe(  # of our encoder
    "looks", epochs=48, batch_size=32, learning_rate=1.5e-3, average=0.99, swap=0.0
)

# What an encoder is shown: a batch of a triplet data set, at positions int64 [B]


def view(pictures: Tensor, recipe: SiameseRecipe) -> Tensor:
    """Augmented pictures, ready for the encoder: uint8 [N, 3, H, W] to float [N, 3, size, size]."""
    transform = AUGMENTATIONS[recipe.augmentation](recipe.size)
    return to_input(augment(pictures, transform), device=pick_device())


def three_views(
    data: TripletDataset, chosen: Tensor, recipe: SiameseRecipe
) -> tuple[tuple[Tensor, ...]]:
    """Views of anchors, positives and negatives, the last two drawn from the labels."""
    columns = torch.tensor([data.indices(index) for index in chosen.tolist()]).T
    return (tuple(view(data.images[column], recipe) for column in columns),)


def one_view(data: TripletDataset, chosen: Tensor, recipe: SiameseRecipe) -> tuple[Tensor, Tensor]:
    """A view of each picture, and labels int64 [B]."""
    return view(data.images[chosen], recipe), data.labels[chosen].to(pick_device())


def swapped_view(
    data: TripletDataset, chosen: Tensor, recipe: SiameseRecipe
) -> tuple[Tensor, Tensor]:
    """As `one_view`; in a share of the batches, `recipe.swap`, all have another's edges."""
    pictures, labels = one_view(data, chosen, recipe)
    return swap_frames(pictures) if torch.rand(()) < recipe.swap else pictures, labels


def two_views(data: TripletDataset, chosen: Tensor, recipe: SiameseRecipe) -> tuple[Tensor, ...]:
    """Two views of each picture, float [2B, 3, size, size], all first ones first; labels; and which
    pictures these are, int64 [B].
    """
    first, labels = one_view(data, chosen, recipe)
    second, _ = swapped_view(data, chosen, recipe)
    return torch.cat([first, second]), labels, chosen.to(labels.device)


# What is made of it: losses, one for each triplet or picture, float [M], and their weight

Terms = list[tuple[Tensor, float]]


def random_triplets(
    encoder: nn.Module, recipe: SiameseRecipe, views: tuple[Tensor, Tensor, Tensor]
) -> Terms:
    """The article's: for each anchor a positive and a negative at random."""
    return [(triplet_losses(*SiameseNetwork(encoder)(*views), recipe.margin), 1.0)]


def mined_triplets(
    encoder: nn.Module,
    recipe: SiameseRecipe,
    pictures: Tensor,
    labels: Tensor,
    miner: Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]] | None = None,
) -> Terms:
    """Embed each picture once, and let a miner choose triplets among the embeddings.

    The miner takes embeddings float [B, D] and labels int64 [B] to positions of anchors, positives
    and negatives, int64 [M] each. None takes all of a batch that break the margin: that is gentler
    than the hardest alone, and works from random weights too.
    """
    embeddings, miner = encoder(pictures), miner or breaking(recipe.margin)
    return [(_losses(embeddings, miner(embeddings, labels), recipe.margin), 1.0)]


def mine_semi_hard(embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """All with a negative that is farther than the positive, but by less than 0.2 (FaceNet)."""
    return breaking(0.2, "semihard")(embeddings, labels)


def mine_batch_hard(embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For each anchor the farthest positive and the nearest negative (Hermans et al.)."""
    from pytorch_metric_learning.miners import BatchHardMiner  # noqa: PLC0415 - see `breaking`

    return BatchHardMiner()(embeddings, labels)


def two_view_triplets(
    encoder: nn.Module, recipe: SiameseRecipe, pictures: Tensor, labels: Tensor, chosen: Tensor
) -> Terms:
    """Names for the category, triplets from two views of a picture for the look.

    The anchor is one view of a picture, the positive another view of it, on other edges, and the
    negative the *other picture of the same class* that looks most alike: within a class, what looks
    alike is to lie closer than what only shares the name. The second views tell nothing about
    categories: they have another's edges.
    """
    category, _, *looks = parts(encoder, pictures)
    anchor, positive = F.normalize(torch.cat(looks, dim=1), dim=1).chunk(2)
    distances = torch.cdist(anchor.detach(), positive.detach())
    itself = chosen[:, None] == chosen[None, :]  # a small class may be in a batch twice
    distances[(labels[:, None] != labels[None, :]) | itself] = 4.0  # farther than any can be
    negative = _rows(positive, distances.argmin(dim=1))
    by_look = triplet_losses(anchor, positive, negative, recipe.look_margin)
    by_name = from_corners(category[: len(labels)], labels)
    return [(by_look, recipe.look_weight), (by_name, 1.0)]


def named_parts(
    encoder: nn.Module, recipe: SiameseRecipe, pictures: Tensor, labels: Tensor, looks: Tensor
) -> Terms:
    """Ours: category, colour and pattern are each pulled to the corner of their own name.

    A corner, where one probability is 1, stands for all pictures of a name, so no triplets have to
    be found: it is a *proxy* (Movshovitz-Attias et al. 2017, arXiv 1703.07464). `looks` int64
    [B, 2] are positions among the encoder's colours and patterns.
    """
    category, _, colour, pattern = parts(encoder, pictures)
    return [
        (from_corners(category, labels), 1.0),
        (from_corners(colour, looks[:, 0]), recipe.look_weight),
        (from_corners(pattern, looks[:, 1]), recipe.look_weight),
    ]


def from_corners(roots: Tensor, names: Tensor) -> Tensor:
    """Cross-entropy of roots of probabilities, float [B, C], for names int64 [B]: float [B].

    Minus the logarithm of a probability is twice that of its root, which is the cosine between a
    part and the corner of its name.
    """
    return -2 * roots.gather(1, names[:, None])[:, 0].log()


def parts(encoder: nn.Module, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Category, cut, colour and pattern of pictures, of length 1: see `LookEncoder.parts`."""
    embeddings = encoder(pictures)
    while not isinstance(encoder, LookEncoder):  # several processes have it wrapped
        encoder = encoder.module
    return encoder.parts(embeddings)


def breaking(margin: float, kind: str = "all") -> nn.Module:
    """A miner of all triplets of a batch, or of all of a kind, that break the margin."""
    # only trainings need the package, and it takes seconds to import
    from pytorch_metric_learning.miners import TripletMarginMiner  # noqa: PLC0415

    return TripletMarginMiner(margin=margin, type_of_triplets=kind)


def _losses(embeddings: Tensor, positions: tuple[Tensor, ...], margin: float) -> Tensor:
    return triplet_losses(*(_rows(embeddings, each) for each in positions), margin)


def _rows(embeddings: Tensor, positions: Tensor) -> Tensor:
    """Rows of float [N, D] at positions int64 [M], whose gradient is the same each time.

    What several threads of a CPU sum up for `embeddings[…]` depends on who is first; what CUDA
    sums up for `index_select` does (`torch.use_deterministic_algorithms` lists both).
    """
    return embeddings[positions] if embeddings.is_cuda else embeddings.index_select(0, positions)


class Objective(NamedTuple):
    """What an encoder is shown, and what is made of its embeddings."""

    load: Callable[..., tuple]  # data set, positions and recipe to a batch
    terms: Callable[..., Terms]  # encoder, recipe and the parts of the batch


OBJECTIVES = {
    "random": Objective(three_views, random_triplets),
    "semi-hard": Objective(one_view, partial(mined_triplets, miner=mine_semi_hard)),
    "batch-hard": Objective(one_view, partial(mined_triplets, miner=mine_batch_hard)),
    "all": Objective(one_view, mined_triplets),
    "two-views": Objective(two_views, two_view_triplets),
    "looks": Objective(swapped_view, named_parts),
}


def encoder_for(
    objective: str, catalog: Catalog, classifier: nn.Sequential | None = None
) -> nn.Module:
    """A network for an objective, with a copy of a classifier's backbone, or an untrained one."""
    classifier = classifier or build_classifier("fashion")
    if objective not in ("two-views", "looks"):
        return encoder_from(classifier)
    looks = map(names_of, looks_of(catalog)) if objective == "looks" else NAMELESS
    names = (catalog.classes, *looks)
    dimensions = max(DIMENSIONS, sum(map(len, names)) + 16)  # many names leave no room for the cut
    return look_encoder_from(classifier, names, dimensions)


@lru_cache(maxsize=1)  # asked for the names, then for the labels
def looks_of(catalog: Catalog) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A colour and a pattern for each training picture: its label, or what our encoder sees."""
    split = catalog.train
    known = [split.attributes.get(look, ("",) * len(split)) for look in ("colour", "pattern")]
    if all(map(all, known)):
        return tuple(known)
    encoder, _ = load_encoder(shipped("encoder_photos"))
    seen = zip(*encoder.named(predict(encoder, split.images)), strict=True)
    pairs = zip(known, seen, strict=True)
    return tuple(tuple(own or said for own, said in zip(*pair, strict=True)) for pair in pairs)


def names_of(values: Iterable[str]) -> tuple[str, ...]:
    """The different ones, sorted."""
    return tuple(sorted(set(values)))


# The training


def balanced_batches(labels: Tensor, batch_size: int) -> Iterator[Tensor]:
    """Batches of about `batch_size` positions, int64, with equally many pictures of each class.

    As many batches as it takes to show as many pictures as there are. Classes are shuffled each
    on its own and begun again when they run out, so a small class is seen more often.
    (pytorch-metric-learning's `MPerClassSampler` draws each batch anew, and so leaves pictures of
    a large class out by chance.)
    """
    classes = [torch.nonzero(labels == label)[:, 0] for label in labels.unique()]
    each = max(2, batch_size // len(classes))
    count = max(1, len(labels) // (each * len(classes)))
    columns = []
    for members in classes:
        rounds = -(-count * each // len(members))
        again = torch.cat([members[torch.randperm(len(members))] for _ in range(rounds)])
        columns.append(again[: count * each].view(count, each))
    yield from torch.cat(columns, dim=1)


def train_siamese(
    encoder: nn.Module, catalog: Catalog, recipe: SiameseRecipe = RECIPE, seed: int = 0
) -> tuple[nn.Module, list[dict[str, float]]]:
    """Train `encoder` in place; returns the averaged encoder and one row of figures an epoch.

    The objectives "two-views" and "looks" take a `LookEncoder`, the others any encoder. Where
    nobody has labelled looks, "looks" learns what the encoder that comes with the library says.

    A row has `epoch`, `loss`, `active` (the share of triplets, or with "looks" of pictures, whose
    loss is not 0), `precision@5` and `mAP` of the validation pictures among the training pictures,
    and the training pictures' `spread`. The rest is as in `train_classifier`.

    Raises:
        FashionError: a class of one picture, no validation pictures, no `LookEncoder` where one is
            needed, or one made for other looks.
    """
    return finish(siamese_training(encoder, catalog, recipe, seed))


def siamese_training(
    encoder: nn.Module, catalog: Catalog, recipe: SiameseRecipe, seed: int = 0
) -> Training:
    """The training that `train_siamese` finishes: for those who surround it with more."""
    objective = OBJECTIVES[recipe.objective]
    if recipe.objective in ("two-views", "looks") and not isinstance(encoder, LookEncoder):
        raise FashionError(f"{recipe.objective!r} trains a LookEncoder: get one from encoder_for.")
    if not len(catalog.validation):
        raise FashionError(f"{catalog.name} has no validation pictures to measure progress with.")
    counts = torch.bincount(catalog.train.labels, minlength=len(catalog.classes)).tolist()
    for name, count in zip(catalog.classes, counts, strict=True):
        if count < 2:
            raise FashionError(
                f"the class {name!r} needs two training pictures: add some, or leave the class out."
            )
    data = TripletDataset(catalog.train.images, catalog.train.labels, seed)
    looks = positions_of_looks(encoder, catalog) if recipe.objective == "looks" else None
    encoder.preparation = Preparation(recipe.evaluation_size)
    encoder.to(memory_format=torch.channels_last)  # as the pictures are, see `to_input`
    active: list[float] = []  # of each batch of an epoch

    def batches(epoch: int) -> Batches:
        data.epoch = epoch
        active.clear()
        if recipe.objective in ("random", "looks"):  # the others look for partners in a batch
            order = shuffled(len(data), recipe.batch_size, keep_last=True)
        else:
            order = list(balanced_batches(data.labels, recipe.batch_size))
        return Batches(order, load)

    def load(chosen: Tensor) -> tuple:
        batch = objective.load(data, chosen, recipe)
        return batch if looks is None else (*batch, looks[chosen].to(pick_device()))

    def loss_of(network: nn.Module, *batch: Tensor) -> Tensor:
        terms = objective.terms(network, recipe, *batch)
        active.append(active_share(terms[0][0]))
        return total_loss(terms)

    def figures(average: nn.Module) -> dict[str, float]:
        return {"active": sum(active) / len(active), **evaluate_encoder(average, catalog)}

    about = describe_pictures(catalog)
    return Training(encoder, batches, loss_of, figures, recipe, seed, about)


def total_loss(terms: Terms) -> Tensor:
    """The weighted sum of the mean losses, a scalar; 0, with its gradient, of no triplets."""
    # a miner may find none
    return sum(
        weight * (losses.mean() if len(losses) else losses.sum()) for losses, weight in terms
    )


def positions_of_looks(encoder: LookEncoder, catalog: Catalog) -> Tensor:
    """Colour and pattern of each training picture among the encoder's names: int64 [N, 2].

    Raises:
        FashionError: the encoder was made for other names.
    """
    columns = []
    for own, looks in zip((encoder.colours, encoder.patterns), looks_of(catalog), strict=True):
        nameless = set(looks) - set(own)
        if nameless:
            raise FashionError(f"the encoder has no name for {min(nameless)!r}: make a new one.")
        columns.append([own.index(name) for name in looks])
    return torch.tensor(columns).T


def active_share(losses: Tensor) -> float:
    """Share of triplets, 0 to 1, whose loss, float [M], is above 0: only these have a gradient."""
    return float((losses.detach() > 0).float().mean()) if len(losses) else 0.0


def spread(embeddings: Tensor) -> float:
    """How far unit vectors float [N, D] lie apart: 0 when all are one point, 1 when all over.

    It is 1 minus the length of their mean. Near 0, and with a precision no better than chance,
    the encoder has collapsed: it gives every picture the same vector.
    """
    return 1 - float(embeddings.mean(dim=0).norm())


def evaluate_encoder(encoder: nn.Module, catalog: Catalog) -> dict[str, float]:
    """Validation pictures searched among the training pictures: precision@5, mAP, spread."""
    queries = predict(encoder, catalog.validation.images)
    train = predict(encoder, catalog.train.images)
    labels = catalog.validation.labels
    measures = evaluate_retrieval(queries, labels, train, catalog.train.labels, k=5)
    found = {name: float(measures[name].mean()) for name in ("precision@5", "mAP")}
    return {**found, "spread": spread(train)}
