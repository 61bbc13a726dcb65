"""Metric training: a copied backbone, triplets that are what they say, the same for a seed."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from tiny import same_weights, sized, small_encoder, striped_catalog, tiny_catalog, without_time

from fashionlib import siamese
from fashionlib.catalog import SEVEN
from fashionlib.errors import FashionError
from fashionlib.heads import build_classifier, build_encoder
from fashionlib.inference import predict
from fashionlib.look_encoder import LookEncoder, look_encoder_from
from fashionlib.siamese import OBJECTIVES, SiameseRecipe, encoder_from, train_siamese
from fashionlib.training import Recipe, train_classifier
from fashionlib.triplets import TripletDataset
from fashionlib.weights import load_encoder, shipped

RECIPE = SiameseRecipe(
    "looks", epochs=2, size=32, evaluation_size=32, batch_size=28, learning_rate=2e-3
)


@pytest.fixture(scope="module")
def catalog():
    return tiny_catalog()


def trained(catalog, objective="looks", **changes):
    recipe = replace(RECIPE, objective=objective, **changes)
    return train_siamese(small_encoder(objective), catalog, recipe)


def test_embeddings_have_length_one(catalog):
    embeddings = predict(sized(build_encoder("article", 16), 32), catalog.test.images)
    assert embeddings.shape == (20, 16)
    assert torch.allclose(embeddings.norm(dim=1), torch.ones(20), atol=1e-5)


def test_training_the_encoder_leaves_the_classifier_alone(catalog):
    """The backbone is a copy: the same logits before and after, to the last bit."""
    classifier = sized(build_classifier("article").eval(), 40)
    before = predict(classifier, catalog.test.images)
    encoder = encoder_from(classifier, 16)
    assert encoder.preparation == classifier.preparation
    assert same_weights(encoder.backbone, classifier.backbone)
    assert predict(encoder, catalog.test.images).shape == (20, 16)
    train_siamese(encoder, catalog, replace(RECIPE, objective="batch-hard"))
    assert not same_weights(encoder.backbone, classifier.backbone)
    assert torch.equal(predict(classifier, catalog.test.images), before)


def test_training_goes_on_in_all_parts_of_what_a_training_returned(catalog):
    """A copy of the averaged network that cannot learn would train its head alone."""
    torch.manual_seed(0)
    classifier = build_classifier("article", len(catalog.classes))
    classifier, _ = train_classifier(classifier, catalog, Recipe(epochs=1, size=32, batch_size=8))
    encoder = encoder_from(classifier)
    before = copy.deepcopy(encoder.backbone)
    train_siamese(encoder, catalog, SiameseRecipe("all", epochs=1, size=32, batch_size=14))
    moved = zip(before.parameters(), encoder.backbone.parameters(), strict=True)
    assert not any(torch.equal(old, new) for old, new in moved if old.ndim > 1)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_trains(catalog, objective):
    average, history = trained(catalog, objective)
    assert [row["epoch"] for row in history] == [1, 2]
    for row in history:
        assert row["loss"] >= 0
        assert 0 <= row["active"] <= 1
        assert 0 <= row["precision@5"] <= 1
        assert 0 < row["spread"] <= 1
    assert all(tensor.isfinite().all() for tensor in average.state_dict().values())


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_learns(objective):
    """An untrained encoder sees colours; a trained one tells the direction of stripes."""
    catalog = striped_catalog(128, 40)
    encoder = small_encoder(objective)
    before = siamese.evaluate_encoder(encoder, catalog)["precision@5"]
    recipe = replace(RECIPE, objective=objective, epochs=18, batch_size=16, margin=0.5)
    _, history = train_siamese(encoder, catalog, recipe)
    assert before < 0.75
    assert history[-1]["precision@5"] > 0.9
    assert history[-1]["precision@5"] > before + 0.2


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_seed_gives_the_same_twice_on_two_threads(catalog, objective, two_threads):
    (first, rows), *others = (trained(catalog, objective, batch_size=84) for _ in range(3))
    for again, same in others:
        assert same_weights(first, again)
        assert without_time(rows) == without_time(same)


@pytest.mark.parametrize("objective", sorted(OBJECTIVES.keys() - {"looks"}))  # which has none
def test_triplets_are_of_the_right_labels(catalog, objective, monkeypatch):
    """Embeddings stand for their pictures' labels here, so a triplet can be checked by value."""
    data = TripletDataset(catalog.train.images, catalog.train.labels)
    marked = torch.zeros(96, 3, 48, 48, dtype=torch.uint8)
    marked += data.labels.view(-1, 1, 1, 1).to(torch.uint8)
    data.images = marked

    class Marks(LookEncoder):
        def __init__(self):
            torch.nn.Module.__init__(self)
            self.weight = torch.nn.Parameter(torch.ones(()))

        def forward(self, x):  # a position on a circle for each label, and a little of its own
            label = ((x[:, 0, 0, 0] + 1) * 127.5).round()
            own = torch.linspace(0, 0.2, len(x))
            return torch.stack([(label + own).cos(), (label + own).sin()], dim=1) * self.weight

        def parts(self, embeddings):
            return torch.ones(len(embeddings), 7), embeddings, embeddings, embeddings

    def label_of(embedding):
        angle = torch.atan2(embedding[:, 1], embedding[:, 0]) % (2 * torch.pi)
        return (angle + 1e-4).floor().int()

    made = []

    def kept(*triplets):
        made.append(triplets[:3])
        return torch.zeros(len(triplets[0]))

    monkeypatch.setattr(siamese, "triplet_losses", kept)
    monkeypatch.setattr(siamese, "augment", lambda pictures, _: pictures)
    monkeypatch.setattr(siamese, "swap_frames", lambda pictures: pictures)
    chosen = next(iter(siamese.balanced_batches(data.labels, 28)))
    batch = OBJECTIVES[objective].load(data, chosen, RECIPE)
    OBJECTIVES[objective].terms(Marks(), RECIPE, *batch)
    (triplets,) = made
    anchor, positive, negative = map(label_of, triplets)
    assert len(anchor) > 0
    assert torch.equal(anchor, positive)
    if objective == "two-views":  # of a class, and of its pictures another
        assert torch.equal(anchor, negative)
        assert (triplets[1] != triplets[2]).any(dim=1).all()
    else:
        assert (anchor != negative).all()


def test_looks_are_pulled_to_the_corners_of_their_names(catalog):
    """The loss of each picture is minus the logarithm of what it gives its own name."""
    encoder, recipe = small_encoder("looks").eval(), replace(RECIPE, look_weight=0.4)
    looks = siamese.positions_of_looks(encoder, catalog)[:28]
    pictures = encoder.preparation(catalog.train.images[:28])
    terms = siamese.named_parts(encoder, recipe, pictures, catalog.train.labels[:28], looks)
    category, _, *roots = encoder.parts(encoder(pictures).detach())
    names = [catalog.train.labels[:28], *looks.T]
    for (losses, _), root, own in zip(terms, [category, *roots], names, strict=True):
        for n in range(28):
            probability = float(root[n, own[n]]) ** 2
            assert float(losses[n].detach()) == pytest.approx(-math.log(probability), abs=1e-4)
    assert [weight for _, weight in terms] == [1.0, 0.4, 0.4]
    for column, (names, key) in enumerate(((encoder.colours, "colour"),
                                           (encoder.patterns, "pattern"))):  # fmt: skip
        said = tuple(names[n] for n in looks[:, column])
        assert said == catalog.train.attributes[key][:28]


def test_names_of_looks_are_learned():
    catalog = striped_catalog(128, 40)
    recipe = replace(RECIPE, objective="looks", epochs=18, batch_size=16, swap=0.0)
    average, _ = train_siamese(small_encoder("looks"), catalog, recipe)
    said = [pattern for _, pattern in average.named(predict(average, catalog.validation.images))]
    pairs = zip(said, catalog.validation.attributes["pattern"], strict=True)
    assert sum(a == b for a, b in pairs) > 0.9 * len(said)


def test_looks_that_nobody_labelled_are_those_that_the_shipped_encoder_sees(catalog):
    part = catalog.train.at(torch.arange(12))
    half = tuple("red" if n < 6 else "" for n in range(12))
    for attributes in ({}, {"colour": half}, {"colour": half, "pattern": ("dots",) * 12}):
        unlabelled = replace(catalog, train=replace(part, attributes=attributes))
        colours, patterns = siamese.looks_of(unlabelled)
        shipped_encoder, _ = load_encoder(shipped("encoder_photos"))
        seen = shipped_encoder.named(predict(shipped_encoder, part.images))
        own = attributes.get("colour", ("",) * 12)
        assert colours == tuple(a or b for a, (b, _) in zip(own, seen, strict=True))
        assert patterns == attributes.get("pattern", tuple(b for _, b in seen))


def test_an_encoder_made_for_other_looks_is_refused(catalog):
    encoder = look_encoder_from(build_classifier("article"), (SEVEN, ("red",), ("plain",)), 16)
    with pytest.raises(FashionError, match="the encoder has no name for 'black': make a new one"):
        train_siamese(encoder, catalog, RECIPE)


@pytest.mark.parametrize("objective", ["two-views", "looks"])
def test_an_encoder_of_another_kind_is_refused(catalog, objective):
    recipe = SiameseRecipe(objective, epochs=1, size=32, evaluation_size=32)
    with pytest.raises(FashionError, match=f"'{objective}' trains a LookEncoder: get one from enc"):
        train_siamese(small_encoder("random"), catalog, recipe)


def test_many_classes_get_more_dimensions():
    """Each name takes one; what is left is for the cut."""
    few = striped_catalog(8, 4)
    classes = tuple(map(str, range(60)))
    encoder = siamese.encoder_for("looks", replace(few, classes=classes))
    assert encoder.categories == classes
    embedding = encoder.eval()(torch.zeros(1, 3, 32, 32))
    assert embedding.shape == (1, 60 + 2 + 2 + 16)
    assert siamese.encoder_for("looks", few).eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 64)


def test_batches_are_balanced(catalog):
    labels = torch.tensor([0] * 60 + [1] * 12 + [2] * 24)
    batches = list(siamese.balanced_batches(labels, 24))
    assert len(batches) == 4
    for batch in batches:
        assert torch.bincount(labels[batch]).tolist() == [8, 8, 8]
        assert len(set(batch[labels[batch] == 0].tolist())) == 8
    small = siamese.balanced_batches(labels, 3)  # a picture alone would have no positive
    assert [torch.bincount(labels[batch]).tolist() for batch in small] == [[2, 2, 2]] * 16
    (all_of_them,) = siamese.balanced_batches(labels, 120)  # more than there are: one batch
    assert torch.bincount(labels[all_of_them]).tolist() == [40, 40, 40]


def test_spread_tells_a_collapse():
    torch.manual_seed(0)
    everywhere = torch.nn.functional.normalize(torch.randn(4000, 16), dim=1)
    assert siamese.spread(everywhere) > 0.95
    assert siamese.spread(everywhere[:1].expand(50, -1)) == pytest.approx(0, abs=1e-6)


def test_active_share_counts_broken_margins():
    anchor, positive = torch.zeros(4, 2), torch.tensor([[1.0, 0]]).expand(4, 2)
    negative = torch.tensor([[1.5, 0], [3, 0], [0.5, 0], [2.5, 0]])
    assert siamese.active_share(siamese.triplet_losses(anchor, positive, negative)) == 0.5


def test_statistics_move_under_a_frozen_backbone_unless_it_is_put_to_evaluation(catalog):
    """Freezing parameters does not freeze batch-norm: `train()` still moves its statistics."""
    encoder = build_encoder("article", 16)
    encoder.backbone.requires_grad_(False)
    before = copy.deepcopy(encoder.backbone)
    encoder.train()
    encoder(torch.randn(8, 3, 32, 32))
    assert not same_weights(encoder.backbone, before)
    before = copy.deepcopy(encoder.backbone)
    encoder.train()
    encoder.backbone.eval()
    encoder(torch.randn(8, 3, 32, 32))
    assert same_weights(encoder.backbone, before)


def test_a_class_of_one_picture_is_an_error(catalog):
    labels = catalog.train.labels.clone()
    labels[0] = 7
    classes = (*catalog.classes, "bow tie")
    odd = replace(catalog, classes=classes, train=replace(catalog.train, labels=labels))
    none = replace(catalog, classes=classes)
    for few in (odd, none):
        with pytest.raises(FashionError, match="the class 'bow tie' needs two training pictures"):
            train_siamese(small_encoder("looks"), few, RECIPE)


def test_without_validation_pictures_nothing_is_trained(catalog):
    """It ended after the first epoch, with a traceback."""
    none = replace(catalog, validation=catalog.validation.at(torch.arange(0)))
    with pytest.raises(FashionError, match="no validation pictures"):
        train_siamese(small_encoder("looks"), none, RECIPE)


# The loss


@pytest.mark.parametrize("objective", ["semi-hard", "batch-hard", "all"])
def test_a_batch_without_triplets_costs_nothing_and_teaches_nothing(catalog, objective):
    """All of one class: nobody has a negative. The loss is 0, each gradient 0, none of them nan."""
    encoder = small_encoder(objective)
    data = TripletDataset(catalog.train.images, catalog.train.labels)
    chosen = torch.nonzero(data.labels == 3)[:6, 0]
    batch = OBJECTIVES[objective].load(data, chosen, RECIPE)
    terms = OBJECTIVES[objective].terms(encoder, RECIPE, *batch)[:1]  # looks there always are
    assert len(terms[0][0]) == 0
    loss = siamese.total_loss(terms)
    assert loss.item() == 0
    loss.backward()
    gradients = [p.grad for p in encoder.parameters() if p.grad is not None]
    assert gradients
    assert all((gradient == 0).all() for gradient in gradients)  # nan is not
    assert siamese.active_share(terms[0][0]) == 0


def test_a_training_on_batches_without_triplets_does_not_move_the_weights(catalog, monkeypatch):
    """Also through the loop, where a gradient that is missing or nan would show."""
    nobody = torch.zeros(3, 0, dtype=torch.int64)
    monkeypatch.setattr(siamese, "breaking", lambda _: lambda *__: tuple(nobody))
    encoder = small_encoder("all")
    before = copy.deepcopy(encoder)
    recipe = replace(RECIPE, objective="all", weight_decay=0.0)
    _, history = train_siamese(encoder, catalog, recipe)
    assert [row["loss"] for row in history] == [0, 0]
    assert [row["active"] for row in history] == [0, 0]
    pairs = zip(before.parameters(), encoder.parameters(), strict=True)
    assert all(torch.equal(old, new) for old, new in pairs)


def test_the_loss_is_the_weighted_sum_of_what_there_is():
    torch.manual_seed(0)
    first, second = torch.rand(5), torch.rand(3)
    found = siamese.total_loss([(torch.zeros(0), 9.0), (first, 2.0), (second, 0.5)])
    assert torch.allclose(found, 2.0 * first.mean() + 0.5 * second.mean())


def test_a_recipe_with_another_size_is_what_the_encoder_prepares_from_then_on(catalog):
    average, _ = trained(catalog, "all", epochs=1, evaluation_size=40)
    assert average.preparation.size == 40
    assert average(average.preparation(catalog.test.images)).shape == (20, 16)


@pytest.mark.parametrize("name", ["random", "looks"])
def test_random_triplets_show_every_picture_as_an_anchor(catalog, monkeypatch, name):
    """The last, smaller batch too: 96 pictures in batches of 28. So do names of looks."""
    sizes, load = [], siamese.OBJECTIVES[name].load

    def counted(data, chosen, recipe):
        sizes.append(len(chosen))
        return load(data, chosen, recipe)

    monkeypatch.setitem(OBJECTIVES, name, OBJECTIVES[name]._replace(load=counted))
    trained(catalog, name, epochs=1)
    assert sizes == [28, 28, 28, 12]
