"""One encoder for all pictures of a triplet, and its training (chapter 3).

Sources: Schroff et al., "FaceNet", CVPR 2015, arXiv 1503.03832; Hermans et al., "In Defense of the
Triplet Loss", arXiv 1703.07737 (batch-hard); Chen et al., "SimCLR", ICML 2020, arXiv 2002.05709
(two views of one picture).
"""

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fashionlib.catalog import Catalog
from fashionlib.errors import FashionError
from fashionlib.heads import DIMENSIONS, EmbeddingHead, build_encoder
from fashionlib.inference import pick_device, predict
from fashionlib.look_encoder import LookEncoder, build_look_encoder, look_encoder_from
from fashionlib.retrieval import evaluate_retrieval
from fashionlib.training import Batches, Training, describe_pictures, finish, shuffled
from fashionlib.transforms import AUGMENTATIONS, Preparation, augment, swap_frames, to_input
from fashionlib.triplets import TripletDataset, triplet_loss


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

    `objective` is a name from `OBJECTIVES`: how triplets are found. `batch_size` counts pictures
    (anchors, for random triplets). `margin` is a distance on the unit sphere, where the largest
    is 2. The last three belong to the objectives "look" and "colour"; `swap` gives one of the two
    views other edges (`swap_frames`).
    """

    objective: str = "look"
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
    swap: bool = True


RECIPE = SiameseRecipe()

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


def two_views(data: TripletDataset, chosen: Tensor, recipe: SiameseRecipe) -> tuple[Tensor, Tensor]:
    """Two views of each picture, float [2B, 3, size, size], all first ones first; and labels."""
    first, second = (view(data.images[chosen], recipe) for _ in range(2))
    second = swap_frames(second) if recipe.swap else second
    return torch.cat([first, second]), data.labels[chosen].to(pick_device())


# Which triplets are made of it

Triplets = tuple[Tensor, Tensor, Tensor]  # embeddings float [M, D]: anchors, positives, negatives
Terms = list[tuple[Triplets, float, float]]  # with the margin and the weight of each


def random_triplets(
    encoder: nn.Module, recipe: SiameseRecipe, views: tuple[Tensor, Tensor, Tensor]
) -> Terms:
    """The article's: for each anchor a positive and a negative at random."""
    return [(SiameseNetwork(encoder)(*views), recipe.margin, 1.0)]


def mined_triplets(
    encoder: nn.Module,
    recipe: SiameseRecipe,
    pictures: Tensor,
    labels: Tensor,
    miner: Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]] | None = None,
) -> Terms:
    """Embed each picture once, and let a miner choose triplets among the embeddings.

    The miner takes embeddings float [B, D] and labels int64 [B] to positions of anchors, positives
    and negatives, int64 [M] each. None takes all of a batch that break the margin: gentler than
    the hardest alone, works from scratch.
    """
    embeddings, miner = encoder(pictures), miner or breaking(recipe.margin)
    return [(_pick(embeddings, miner(embeddings, labels)), recipe.margin, 1.0)]


def mine_semi_hard(embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """All with a negative that is farther than the positive, but by less than 0.2 (FaceNet)."""
    return breaking(0.2, "semihard")(embeddings, labels)


def mine_batch_hard(embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For each anchor the farthest positive and the nearest negative (Hermans et al.)."""
    from pytorch_metric_learning.miners import BatchHardMiner  # noqa: PLC0415 - see `breaking`

    return BatchHardMiner()(embeddings, labels)


def look_triplets(
    encoder: nn.Module, recipe: SiameseRecipe, pictures: Tensor, labels: Tensor
) -> Terms:
    """Ours: triplets from labels for the category, and from two views of a picture for the look.

    By label: all that break the margin. By look: the anchor is one view of a picture, the
    positive another view of it, on other edges, and the negative the *other picture of the same
    class* that looks most alike: within a class, what looks alike is to lie closer than what only
    shares the name.
    """
    by_label, look = category_triplets(encoder, recipe, pictures, labels)
    anchor, positive = look.chunk(2)
    distances = torch.cdist(anchor.detach(), positive.detach())
    itself = torch.eye(len(labels), dtype=torch.bool, device=look.device)
    distances[(labels[:, None] != labels[None, :]) | itself] = 4.0  # farther than any can be
    by_look = (anchor, positive, _rows(positive, distances.argmin(dim=1)))
    return [(by_label, recipe.margin, 1.0), (by_look, recipe.look_margin, recipe.look_weight)]


def colour_triplets(
    encoder: nn.Module, recipe: SiameseRecipe, pictures: Tensor, labels: Tensor, colours: Tensor
) -> Terms:
    """As `look_triplets`, but with labels for the look too: pictures of one colour are alike."""
    by_label, look = category_triplets(encoder, recipe, pictures, labels)
    by_look = _pick(look, breaking(recipe.look_margin)(look, colours.repeat(2)))
    return [(by_label, recipe.margin, 1.0), (by_look, recipe.look_margin, recipe.look_weight)]


def category_triplets(
    encoder: nn.Module, recipe: SiameseRecipe, pictures: Tensor, labels: Tensor
) -> tuple[Triplets, Tensor]:
    """Triplets of the categories of two views of each picture, and all their looks.

    The looks are float [2B, look], the first views before the second. The triplets are all that
    break the margin among the first views (the second ones have another's edges): the hardest
    alone can pull a new head into one point.
    """
    embeddings = encoder(pictures)
    while not isinstance(encoder, LookEncoder):  # several processes have it wrapped
        encoder = encoder.module
    category, look = encoder.parts(embeddings)
    category = category[: len(labels)]
    return _pick(category, breaking(recipe.margin)(category, labels)), look


def breaking(margin: float, kind: str = "all") -> nn.Module:
    """A miner of all triplets of a batch, or of all of a kind, that break the margin."""
    # only trainings need the package, and it takes seconds to import
    from pytorch_metric_learning.miners import TripletMarginMiner  # noqa: PLC0415

    return TripletMarginMiner(margin=margin, type_of_triplets=kind)


def _pick(embeddings: Tensor, positions: tuple[Tensor, Tensor, Tensor]) -> Triplets:
    return tuple(_rows(embeddings, each) for each in positions)


def _rows(embeddings: Tensor, positions: Tensor) -> Tensor:
    """Rows of float [N, D] at positions int64 [M], whose gradient is the same each time.

    What several threads of a CPU sum up for `embeddings[…]` depends on who is first; what CUDA
    sums up for `index_select` does (`torch.use_deterministic_algorithms` lists both).
    """
    return embeddings[positions] if embeddings.is_cuda else embeddings.index_select(0, positions)


class Objective(NamedTuple):
    """How triplets are found: what the encoder is shown, and what is made of its embeddings."""

    load: Callable[..., tuple]  # data set, positions and recipe to a batch
    triplets: Callable[..., Terms]  # encoder, recipe and the parts of the batch


OBJECTIVES = {
    "random": Objective(three_views, random_triplets),
    "semi-hard": Objective(one_view, partial(mined_triplets, miner=mine_semi_hard)),
    "batch-hard": Objective(one_view, partial(mined_triplets, miner=mine_batch_hard)),
    "all": Objective(one_view, mined_triplets),
    "look": Objective(two_views, look_triplets),
    "colour": Objective(two_views, colour_triplets),
}


def encoder_for(objective: str, classifier: nn.Sequential | None = None) -> nn.Module:
    """What an objective trains: on a copy of a classifier's backbone, or new, of plan "fashion"."""
    looks = objective in ("look", "colour")
    if classifier is None:
        return build_look_encoder("fashion") if looks else build_encoder("fashion")
    return look_encoder_from(classifier) if looks else encoder_from(classifier)


# The training


def balanced_batches(labels: Tensor, batch_size: int) -> Iterator[Tensor]:
    """Batches of positions int64 [batch_size] with about as many pictures of each class.

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

    The objectives "look" and "colour" take a `LookEncoder`, the others any encoder.

    A row has `epoch`, `loss`, `active` (the share of triplets whose loss is not 0: what they do
    not teach any more, the others must), and of the validation pictures among the training
    pictures `precision@5`, `mAP` and `spread`. The rest is as in `train_classifier`.

    Raises:
        FashionError: a class of one picture, or no colour labels for the objective "colour".
    """
    return finish(siamese_training(encoder, catalog, recipe, seed))


def siamese_training(
    encoder: nn.Module, catalog: Catalog, recipe: SiameseRecipe, seed: int = 0
) -> Training:
    """The training that `train_siamese` finishes: for those who surround it with more."""
    objective = OBJECTIVES[recipe.objective]
    data = TripletDataset(catalog.train.images, catalog.train.labels, seed)
    colours = colour_labels(catalog) if recipe.objective == "colour" else None
    encoder.preparation = Preparation(recipe.evaluation_size)
    encoder.to(memory_format=torch.channels_last)  # as the pictures are, see `to_input`
    active: list[float] = []  # of each batch of an epoch

    def batches(epoch: int) -> Batches:
        data.epoch = epoch
        active.clear()
        if recipe.objective == "random":
            order = shuffled(len(data), recipe.batch_size, keep_last=True)
        else:
            order = list(balanced_batches(data.labels, recipe.batch_size))
        return Batches(order, load)

    def load(chosen: Tensor) -> tuple:
        batch = objective.load(data, chosen, recipe)
        return batch if colours is None else (*batch, colours[chosen].to(pick_device()))

    def loss_of(network: nn.Module, *batch: Tensor) -> Tensor:
        terms = objective.triplets(network, recipe, *batch)
        active.append(active_share(*terms[0][0], terms[0][1]))
        return total_loss(terms)

    def figures(average: nn.Module) -> dict[str, float]:
        return {"active": sum(active) / len(active), **evaluate_encoder(average, catalog)}

    about = describe_pictures(catalog)
    return Training(encoder, batches, loss_of, figures, recipe, seed, about)


def total_loss(terms: Terms) -> Tensor:
    """The weighted sum of the triplet losses, a scalar; 0, with its gradient, of no triplets."""
    found = [term for term in terms if len(term[0][0])]  # a miner may find none
    if not found:
        return terms[0][0][0].sum()
    return sum(weight * triplet_loss(*triplets, margin) for triplets, margin, weight in found)


def colour_labels(catalog: Catalog) -> Tensor:
    """A number for the colour of each training picture, int64 [N].

    Raises:
        FashionError: nobody has labelled the catalog's colours.
    """
    colours = catalog.train.attributes.get("colour", ("",))
    if not all(colours):
        raise FashionError(
            f"the catalog {catalog.name} has no colour labels: use the objective 'look'."
        )
    names = sorted(set(colours))
    return torch.tensor([names.index(colour) for colour in colours])


@torch.no_grad()
def active_share(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float) -> float:
    """Share of triplets, 0 to 1, that break the margin: only these have a gradient."""
    if not len(anchor):
        return 0.0
    near, far = (anchor - positive).norm(dim=1), (anchor - negative).norm(dim=1)
    return float((near - far + margin > 0).float().mean())


def spread(embeddings: Tensor) -> float:
    """How far unit vectors float [N, D] lie apart: 0 when all are one point, 1 when all over.

    It is 1 minus the length of their mean. Near 0 the encoder has collapsed: whatever it sees,
    it answers the same.
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
