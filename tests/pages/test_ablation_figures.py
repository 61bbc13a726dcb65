"""Gains are counted seed by seed against the first trial."""

from dataclasses import replace

import ablation
import pytest
import torch
from chapter_cells import labels_of
from tiny import striped_catalog, striped_split

from fashionlib.heads import build_classifier
from fashionlib.pages import ablation_figures
from fashionlib.pages.recorded_results import recorded
from fashionlib.training import Recipe


def run(
    trial: str, seed: int, right: int, mirrored: int, seconds: float = 10.0, processor: str = "a"
) -> dict:
    return {
        "trial": trial,
        "seed": seed,
        "right": {"plain": right, "with mirror image": mirrored},
        "processor": processor,
        "processor seconds": seconds,
        "parameters": 1000,
    }


RESULTS = {
    "validation": 200,
    "runs": [
        run("as it is", 0, 160, 164),
        run("as it is", 1, 170, 172),
        run("larger", 0, 170, 170, 30.0),
        run("larger", 1, 172, 174, 10.0),
        run("smaller", 1, 168, 168),
    ],
}


def test_each_seed_is_compared_with_itself():
    assert ablation_figures.gains(RESULTS) == {
        "with mirror image": pytest.approx([2.0, 1.0]),
        "larger": pytest.approx([5.0, 1.0]),
        "smaller": pytest.approx([-1.0]),  # of the one seed that it was run with
    }
    assert ablation_figures.costs(RESULTS) == {"as it is": 1.0, "larger": 2.0, "smaller": 1.0}


def test_times_of_two_processors_are_not_compared():
    other = run("larger", 1, 172, 174, 90.0, processor="b")
    runs = [other if r["trial"] == "larger" and r["seed"] == 1 else r for r in RESULTS["runs"]]
    assert ablation_figures.costs(RESULTS | {"runs": runs})["larger"] == 3.0


def test_a_trial_that_ran_elsewhere_alone_has_no_time_beside_the_others():
    results = RESULTS | {"runs": [*RESULTS["runs"], run("turned", 0, 150, 150, processor="b")]}
    assert "turned" not in ablation_figures.costs(results)
    times = {row[0]: row[4] for row in ablation_figures.gain_table(results)[1]}
    assert times["turned"] == "on another processor"
    assert times["larger"] == "2.0"


def test_the_table_begins_with_what_it_compares_with_then_the_best():
    header, rows = ablation_figures.gain_table(RESULTS)
    assert header == ["change", "seeds", "right", "gain, points", "time to train", "parameters"]
    assert [row[0] for row in rows] == ["as it is", "larger", "with mirror image", "smaller"]
    assert rows[1][1:5] == ["2", "85.5% (85.0% to 86.0%)", "+3.0 (+1.0 to +5.0)", "2.0"]
    assert all(len(row) == len(header) for row in rows)


def test_changes_stand_in_the_order_of_their_means():
    """The uneven one has the best seed of all (+6.0) and the worst (-2.0)."""
    uneven = [run("uneven", 0, 172, 0), run("uneven", 1, 166, 0)]
    results = RESULTS | {"runs": [*RESULTS["runs"], *uneven]}
    order = ["larger", "uneven", "with mirror image", "smaller"]
    assert [row[0] for row in ablation_figures.gain_table(results)[1]] == ["as it is", *order]
    (axis,) = ablation_figures.gain_figure(results, band=2.0).axes
    assert [label.get_text() for label in axis.get_yticklabels()] == order
    assert "larger +3.0; uneven +2.0; with mirror" in ablation_figures.gain_alt(results)


def test_each_row_of_the_table_has_the_parameters_of_its_own_network():
    """With the mirror image it is the network of the first trial."""
    larger = [r | {"parameters": 2000} for r in RESULTS["runs"] if r["trial"] == "larger"]
    runs = [*(r for r in RESULTS["runs"] if r["trial"] != "larger"), *larger]
    header, rows = ablation_figures.gain_table(RESULTS | {"runs": runs})
    assert {row[0]: row[header.index("parameters")] for row in rows} == {
        "as it is": "1,000", "larger": "2,000", "with mirror image": "1,000", "smaller": "1,000",
    }  # fmt: skip


def test_the_figure_shows_every_seed():
    figure = ablation_figures.gain_figure(RESULTS, band=2.0)
    assert labels_of(figure) == [("points of validation accuracy", "", [])]
    dots = [line for line in figure.axes[0].lines if line.get_marker() in "ox"]
    assert [len(line.get_xdata()) for line in dots] == [2, 2, 1]
    (band,) = [patch for patch in figure.axes[0].patches if patch.get_width() > 0]
    assert (band.get_x(), band.get_width()) == (-2.0, 4.0)
    bars = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_marker() == "|"]
    assert bars == pytest.approx([3.0, 1.5, -1.0])
    # +3.0 is outside the band; +1.5 and -1.0 are inside
    assert [line.get_marker() for line in dots] == ["o", "x", "x"]
    assert "larger +3.0; with mirror image +1.5; smaller -1.0" in ablation_figures.gain_alt(RESULTS)


def test_a_sure_loss_is_no_chance():
    """+3.0 and +1.5 are above the band, -1.0 is below it."""
    lines = ablation_figures.gain_figure(RESULTS, band=0.9).axes[0].lines
    assert [line.get_marker() for line in lines if line.get_marker() in "ox"] == ["o", "o", "o"]


def test_what_is_recorded_can_be_shown():
    results = recorded("ablation")
    assert len(ablation_figures.gain_table(results)[1]) == len(ablation_figures.gains(results)) + 1
    assert 0 < ablation_figures.sure_gain(ablation_figures.shares(results)) < 10


def sure_gain_of(**percent: list[float]) -> float:
    """Of trials whose shares of right pictures, in percent, are given seed by seed."""
    return ablation_figures.sure_gain(
        {trial: {s: v / 100 for s, v in enumerate(values)} for trial, values in percent.items()}
    )


def test_of_two_trials_a_sure_gain_is_that_of_students_paired_test():
    found = sure_gain_of(first=[80, 82, 84], larger=[85, 88, 86])
    # differences 5, 6, 2: their variance is 13/3, and t of 95 % with two degrees is 4.3027
    assert found == pytest.approx(4.3027 * (13 / 3 / 3) ** 0.5, rel=1e-4)


def test_where_more_is_tried_a_sure_gain_is_larger():
    found = sure_gain_of(first=[80, 80, 80], up=[81, 79, 80], down=[79, 81, 80])
    # the runs are 1 point from what is expected of them four times, with four degrees of freedom;
    # two changes: t of 97.5 % each is 3.4954
    assert found == pytest.approx(3.4954 * (2 / 3) ** 0.5, rel=1e-4)


def test_what_a_seed_does_to_every_trial_is_no_spread():
    plain = sure_gain_of(first=[80, 82, 81], larger=[85, 84, 87])
    easy = sure_gain_of(first=[80, 92, 81], larger=[85, 94, 87])
    assert easy == pytest.approx(plain)


def test_each_picture_is_turned_on_one_of_its_four_sides():
    split = striped_split(200, 1)
    torch.manual_seed(0)
    turned = ablation.turned(split)
    assert torch.equal(turned.labels, split.labels)
    sides = torch.stack([torch.rot90(split.images, turn, (2, 3)) for turn in range(4)])
    found = (sides == turned.images).flatten(2).all(dim=2)
    assert found.any(dim=0).all()
    assert (found.sum(dim=1) > 30).all()  # a quarter each, and what chance does to it


@pytest.mark.parametrize("mix", [{"mixup": 5.0}, {"cutmix": True}])
def test_a_mixed_batch_asks_for_shares_and_leaves_the_catalog_alone(mix):
    catalog = striped_catalog(64, 16)
    before = catalog.train.images.clone()
    trial = ablation.Trial(Recipe(epochs=1, size=32, evaluation_size=32), "article", **mix)
    training = ablation.training_of(trial, build_classifier("article", 2), catalog, 0)
    torch.manual_seed(0)
    shares = torch.cat([labels for _, labels in training.batches(0)])
    assert shares.shape == (64, 2)
    assert torch.allclose(shares.sum(dim=1), torch.ones(64))
    assert (shares.max(dim=1).values < 1).any()
    assert torch.equal(catalog.train.images, before)
    plain = ablation.training_of(
        replace(trial, mixup=0.0, cutmix=False), training.model, catalog, 0
    )
    assert all(labels.ndim == 1 for _, labels in plain.batches(0))


@pytest.mark.parametrize("before", ["triplets_first", "views_first"])
def test_what_goes_before_trains_the_backbone_and_repeats(before, monkeypatch):
    """From the same seed the same backbone, changed in every layer; the head is left alone."""
    for recipe in ("TRIPLETS_FIRST", "VIEWS_FIRST"):
        short = replace(getattr(ablation, recipe), epochs=1, size=32, evaluation_size=32)
        monkeypatch.setattr(ablation, recipe, short)
    catalog = striped_catalog(64, 16)
    trained = []
    for _ in range(2):
        torch.manual_seed(0)
        network = build_classifier("article", 2)
        start = {name: value.clone() for name, value in network.state_dict().items()}
        getattr(ablation, before)(network, catalog, 0)
        trained.append(network.state_dict())
    assert all(torch.equal(trained[0][name], trained[1][name]) for name in start)
    same = {name for name in start if torch.equal(start[name], trained[0][name])}
    assert {name for name in same if name.endswith("weight")} == {"head.linear.weight"}
