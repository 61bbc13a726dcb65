"""Metric training: a copied backbone, triplets that are what they say, repeatable, resumable."""

import copy
from dataclasses import replace

import pytest
import torch
from tiny import same_weights, striped_catalog, tiny_catalog, without_time

from fashionlib import siamese
from fashionlib.errors import FashionError
from fashionlib.heads import build_classifier, build_encoder
from fashionlib.inference import predict
from fashionlib.look_encoder import build_look_encoder
from fashionlib.siamese import OBJECTIVES, SiameseRecipe, encoder_from, train_siamese
from fashionlib.training import Recipe, train_classifier
from fashionlib.triplets import TripletDataset

RECIPE = SiameseRecipe(epochs=2, size=32, evaluation_size=32, batch_size=28, learning_rate=2e-3)


@pytest.fixture(scope="module")
def catalog():
    return tiny_catalog()


def new_encoder(objective: str) -> torch.nn.Module:
    """Small and untrained, of the kind that the objective takes."""
    torch.manual_seed(0)
    if objective in ("look", "colour"):
        return build_look_encoder("article", 16, 6)
    return build_encoder("article", 16)


def trained(catalog, objective="look", checkpoint=None, **changes):
    encoder = new_encoder(objective)
    recipe = replace(RECIPE, objective=objective, **changes)
    return train_siamese(encoder, catalog, recipe, 0, checkpoint)


def test_embeddings_have_length_one(catalog):
    embeddings = predict(build_encoder("article", 16), catalog.test.images, 32)
    assert embeddings.shape == (20, 16)
    assert torch.allclose(embeddings.norm(dim=1), torch.ones(20), atol=1e-5)


def test_training_the_encoder_leaves_the_classifier_alone(catalog):
    """The backbone is a copy: the same logits before and after, to the last bit."""
    classifier = build_classifier("article").eval()
    before = predict(classifier, catalog.test.images, 32)
    encoder = encoder_from(classifier, 16)
    assert same_weights(encoder.backbone, classifier.backbone)
    train_siamese(encoder, catalog, replace(RECIPE, objective="batch-hard"))
    assert not same_weights(encoder.backbone, classifier.backbone)
    assert torch.equal(predict(classifier, catalog.test.images, 32), before)


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
    encoder = new_encoder(objective)
    before = siamese.evaluate_encoder(encoder, catalog, 32)["precision@5"]
    recipe = replace(RECIPE, objective=objective, epochs=18, batch_size=16, margin=0.5)
    _, history = train_siamese(encoder, catalog, recipe)
    assert before < 0.75
    assert history[-1]["precision@5"] > 0.9
    assert history[-1]["precision@5"] > before + 0.2


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_seed_gives_the_same_twice_on_two_threads(catalog, objective, two_threads):
    first, second, third = (trained(catalog, objective, batch_size=84)[0] for _ in range(3))
    assert same_weights(first, second)
    assert same_weights(first, third)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_triplets_are_of_the_right_labels(catalog, objective, monkeypatch):
    """Embeddings stand for their pictures' labels here, so a triplet can be checked by value."""
    colours = torch.arange(96) % 3
    data = TripletDataset(catalog.train.images, catalog.train.labels, colours=colours)
    marked = torch.zeros(96, 3, 48, 48, dtype=torch.uint8)
    marked += data.labels.view(-1, 1, 1, 1).to(torch.uint8)
    data.images = marked

    class Marks(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(()))

        def forward(self, x):  # a position on a circle for each label, and a little of its own
            label = ((x[:, 0, 0, 0] + 1) * 127.5).round()
            own = torch.linspace(0, 0.2, len(x))
            return torch.stack([(label + own).cos(), (label + own).sin()], dim=1) * self.weight

        def parts(self, embeddings):
            return embeddings, embeddings

    def label_of(embedding):
        angle = torch.atan2(embedding[:, 1], embedding[:, 0]) % (2 * torch.pi)
        return (angle + 1e-4).floor().int()

    monkeypatch.setattr(siamese, "augment", lambda pictures, _: pictures)
    monkeypatch.setattr(siamese, "swap_frames", lambda pictures: pictures)
    chosen = next(iter(siamese.balanced_batches(data.labels, 28)))
    terms = OBJECTIVES[objective](Marks(), data, chosen, RECIPE)
    anchor, positive, negative = (label_of(part) for part in terms[0][0])
    assert len(anchor) > 0
    assert torch.equal(anchor, positive)
    assert (anchor != negative).all()
    if objective == "look":
        anchor, positive, negative = (label_of(part) for part in terms[1][0])
        assert torch.equal(anchor, positive)
        assert torch.equal(anchor, negative)
        assert not torch.equal(terms[1][0][1], terms[1][0][2])


def test_colour_triplets_follow_the_colour_labels(catalog, monkeypatch):
    """The look of each view is its place in the batch here, so its colour can be looked up."""
    colours = siamese.colour_labels(catalog)
    data = TripletDataset(catalog.train.images, catalog.train.labels, colours=colours)
    chosen = torch.arange(20)
    places = torch.arange(40.0)[:, None]
    monkeypatch.setattr(siamese, "category_triplets", lambda *_: ((places,) * 3, places))
    _, (look, _, _) = siamese.colour_triplets(None, data, chosen, RECIPE)
    anchor, positive, negative = (colours[part[:, 0].long() % 20] for part in look)
    assert len(anchor) > 0
    assert torch.equal(anchor, positive)
    assert (anchor != negative).all()


def test_colours_that_nobody_labelled_are_an_error(catalog):
    plain = replace(catalog, train=replace(catalog.train, attributes={}))
    with pytest.raises(FashionError, match="tiny has no colour labels: use the objective 'look'"):
        train_siamese(new_encoder("colour"), plain, replace(RECIPE, objective="colour"))


def test_batches_are_balanced(catalog):
    labels = torch.tensor([0] * 60 + [1] * 12 + [2] * 24)
    batches = list(siamese.balanced_batches(labels, 24))
    assert len(batches) == 4
    for batch in batches:
        assert torch.bincount(labels[batch]).tolist() == [8, 8, 8]
        assert len(set(batch[labels[batch] == 0].tolist())) == 8


def test_a_seed_gives_the_same_result_twice(catalog):
    first, second = trained(catalog), trained(catalog)
    assert same_weights(first[0], second[0])
    assert without_time(first[1]) == without_time(second[1])


def test_an_interrupted_run_resumes_to_the_same_result(catalog, tmp_path, monkeypatch):
    whole = trained(catalog)
    epoch = siamese.siamese_epoch

    def stops(*arguments):
        if arguments[3].epoch == 1:
            raise KeyboardInterrupt
        return epoch(*arguments)

    path = tmp_path / "run.checkpoint.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr(siamese, "siamese_epoch", stops)
        with pytest.raises(KeyboardInterrupt):
            trained(catalog, checkpoint=path)
    model, history = trained(catalog, checkpoint=path)
    assert same_weights(model, whole[0])
    assert without_time(history) == without_time(whole[1])


def test_spread_tells_a_collapse():
    torch.manual_seed(0)
    everywhere = torch.nn.functional.normalize(torch.randn(4000, 16), dim=1)
    assert siamese.spread(everywhere) > 0.95
    assert siamese.spread(everywhere[:1].expand(50, -1)) == pytest.approx(0, abs=1e-6)


def test_active_share_counts_broken_margins():
    anchor, positive = torch.zeros(4, 2), torch.tensor([[1.0, 0]]).expand(4, 2)
    negative = torch.tensor([[1.5, 0], [3, 0], [0.5, 0], [2.5, 0]])
    assert siamese.active_share(anchor, positive, negative, margin=1.0) == 0.5


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
    labels[0] = 99
    odd = replace(catalog, train=replace(catalog.train, labels=labels))
    with pytest.raises(FashionError, match="class 99 has a single picture"):
        train_siamese(new_encoder("look"), odd, RECIPE)
