"""The drawn catalog: reproducible, exactly labelled, handsome by eye and hard by measurement."""

import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageFilter

from fashionlib import drawn
from fashionlib.drawn import (
    COLOURS,
    LINES,
    PATTERNS,
    SEVEN,
    Garment,
    draw_garment,
    drawn_pictures,
    on_backdrop,
    render,
    sample_garment,
)
from fashionlib.drawn.accessories import PROPS, props
from fashionlib.drawn.backdrops import BACKDROPS, grid, shifted
from fashionlib.drawn.garments import HEMS, LEGS, SLEEVES
from fashionlib.drawn.outlines import Piece, curve, spline
from fashionlib.drawn.painting import _palette
from fashionlib.errors import FashionError

MOST_TIMES_ARITHMETIC = 8  # it is three to four times as slow
LINEAR_CEILING = 0.45  # chance is 0.14


@pytest.fixture(scope="module")
def catalog() -> tuple[np.ndarray, list[Garment]]:
    return drawn_pictures(1000, seed=3, size=80)


def eroded(mask: np.ndarray, pixels: int) -> np.ndarray:
    image = Image.fromarray((mask * 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.MinFilter(2 * pixels + 1))) > 0


def grown(mask: np.ndarray, pixels: int) -> np.ndarray:
    return ~eroded(~mask, pixels)


def test_same_seed_same_pixels():
    pictures, garments = drawn_pictures(15, seed=9, size=64)
    again, same = drawn_pictures(15, seed=9, size=64)
    assert garments == same
    assert pictures.dtype == np.uint8
    assert pictures.shape == (15, 3, 64, 64)
    np.testing.assert_array_equal(pictures, again)
    shorter, _ = drawn_pictures(9, seed=9, size=64)
    np.testing.assert_array_equal(pictures[:9], shorter)
    drawn = np.asarray(draw_garment(garments[7], 64)).transpose(2, 0, 1)
    np.testing.assert_array_equal(pictures[7], drawn)


def test_another_seed_gives_other_garments(catalog):
    pictures, garments = drawn_pictures(20, seed=4, size=80)
    assert not set(garments) & set(catalog[1])
    assert (pictures != catalog[0][:20]).any((1, 2, 3)).all()


def test_no_two_pictures_are_the_same(catalog):
    assert len({picture.tobytes() for picture in catalog[0]}) == 1000


def test_classes_are_balanced_and_shuffled(catalog):
    categories = [garment.category for garment in catalog[1]]
    counts = Counter(categories)
    assert set(counts) == set(SEVEN)
    assert max(counts.values()) - min(counts.values()) <= 1
    assert len({tuple(categories[i : i + 7]) for i in range(0, 994, 7)}) > 100


@pytest.mark.parametrize(
    ("label", "values"),
    [("colour", COLOURS), ("pattern", PATTERNS), ("backdrop", BACKDROPS), ("category", SEVEN)],
)
def test_every_label_occurs_with_every_class(catalog, label, values):
    seen = {(garment.category, getattr(garment, label)) for garment in catalog[1]}
    assert {value for _, value in seen} == set(values)
    missing = {(c, v) for c in SEVEN for v in values} - seen
    assert label == "category" or len(missing) == 0


def test_every_kind_length_and_display_occurs(catalog):
    seen = {(g.category, x) for g in catalog[1] for x in (g.kind, g.sleeve, g.length, g.display)}
    for category, line in LINES.items():
        for options in (line.kinds, line.sleeves, line.lengths, line.displays):
            assert {(category, option) for option in options} <= seen


def test_the_label_rule_leaves_gaps_between_classes():
    """What separates the classes is a number, and the ranges on both sides do not meet."""
    assert SLEEVES["short"][1] < SLEEVES["rolled"][0] < SLEEVES["rolled"][1] < SLEEVES["long"][0]
    lines = LINES
    longest = {c: max(HEMS[x][1] for x in lines[c].lengths) for c in ("t-shirt", "longsleeve")}
    assert max(longest.values()) < min(HEMS[x][0] for x in lines["dress"].lengths)
    shorts, pants = lines["shorts"].lengths, lines["pants"].lengths
    assert max(LEGS[x][1] for x in shorts) < min(LEGS[x][0] for x in pants)
    assert lines["t-shirt"].sleeves == ("short",)
    assert "short" not in lines["longsleeve"].sleeves


def shape_of(garment: Garment) -> np.ndarray:
    """Every outline point, in garment units."""
    rng = np.random.default_rng([garment.seed, 1])
    line = LINES[garment.category]
    pieces = line.shape(rng, garment.kind, garment.sleeve, garment.length)
    return np.concatenate([piece.outline for piece in pieces])


def test_the_label_rule_holds_in_the_outlines():
    """Body lengths and leg lengths as drawn, not as labelled."""
    rng = np.random.default_rng(8)
    ends = {c: [] for c in ("dress", "t-shirt", "longsleeve", "pants", "shorts")}
    for category, found in ends.items():
        for _ in range(60):
            points = shape_of(sample_garment(rng, category))
            middle = np.abs(points[:, 0]) < (0.2 if category not in ("pants", "shorts") else 9)
            found.append(points[middle, 1].max())
    assert min(ends["dress"]) > max(ends["t-shirt"])
    assert min(ends["dress"]) > max(ends["longsleeve"])
    assert min(ends["pants"]) > max(ends["shorts"])


def test_the_main_colour_is_the_labelled_one():
    """Mean colour well inside plain garments, against the eleven named ones."""
    rng = np.random.default_rng(12)
    named = np.array(list(COLOURS.values()), float)
    right = 0
    for i in range(154):
        garment = replace(sample_garment(rng, SEVEN[i % 7]), pattern="plain")
        seen = render(garment, 96)
        inside = eroded(seen.mask, 3)
        mean = np.median(np.asarray(seen.picture, float)[inside], axis=0)
        right += list(COLOURS)[np.abs(named - mean).sum(1).argmin()] == garment.colour
    assert right >= 0.85 * 154, f"{right} of 154"


def test_patterns_are_on_the_cloth():
    """A pattern moves many pixels of the garment away from the plain one, and none elsewhere."""
    rng = np.random.default_rng(13)
    for pattern in PATTERNS:
        for _ in range(6):
            garment = replace(sample_garment(rng, "dress"), pattern="plain")
            plain, other = render(garment, 96), render(replace(garment, pattern=pattern), 96)
            moved = np.abs(np.asarray(plain.picture, int) - np.asarray(other.picture, int)).max(2)
            np.testing.assert_array_equal(plain.mask, other.mask)
            share = (moved[plain.mask] > 25).mean()
            assert share == 0 if pattern == "plain" else 0.06 < share < 0.9, (pattern, share)
            assert (moved[~grown(plain.mask, 3)] == 0).all()


def test_stripes_run_one_way_and_checks_both():
    """Variation along the two axes of a straight dress seen from the front."""
    rng = np.random.default_rng(14)
    ratio = {"stripes": [], "checks": []}
    for pattern, found in ratio.items():
        for _ in range(25):
            garment = sample_garment(rng, "dress")
            garment = replace(garment, pattern=pattern, display="hanger", kind="shift")
            garment = replace(garment, sleeve="none", length="midi", colour="white")
            seen = render(garment, 96)
            grey = np.asarray(seen.picture.convert("L"), float)
            inside = eroded(seen.mask, 3)
            x = np.abs(np.diff(grey, axis=1))[inside[:, 1:]].mean()
            y = np.abs(np.diff(grey, axis=0))[inside[1:]].mean()
            found.append(max(x / y, y / x))
    assert np.median(ratio["stripes"]) > 1.6
    assert np.median(ratio["checks"]) < 1.35


@pytest.mark.parametrize("category", SEVEN)
def test_another_backdrop_leaves_the_garment_alone(category):
    rng = np.random.default_rng(15)
    for i in range(5):
        garment = sample_garment(rng, category)
        here, there = render(garment, 96), render(on_backdrop(garment, i), 96)
        np.testing.assert_array_equal(here.mask, there.mask)
        change = np.abs(np.asarray(here.picture, int) - np.asarray(there.picture, int)).max(2)
        assert (change[eroded(here.mask, 3)] <= 1).all()
        assert (change[~grown(here.mask, 3)] > 8).mean() > 0.5


def test_another_backdrop_may_be_of_any_kind():
    garment = sample_garment(np.random.default_rng(15), "hat")
    assert {on_backdrop(garment, seed).backdrop for seed in range(60)} == set(BACKDROPS)


def test_clutter_lies_at_all_four_edges(monkeypatch):
    places = []
    for thing in ("_book", "_leaf", "_cup", "_cloth", "_paper"):
        monkeypatch.setattr(drawn.backdrops, thing, lambda rng, draw, at, big: places.append(at))
    for seed in range(60):
        drawn.backdrops._cluttered(np.random.default_rng(seed), np.zeros((32, 32, 3)), 32)
    x, y = np.array(places).T - 0.5  # from the middle
    for along, out in ((x, -y), (y, x), (x, y), (y, -x)):
        assert ((np.abs(along) < 0.3) & (out > 0.3)).sum() > 10


@pytest.mark.parametrize(("category", "display"), [
    ("pants", "hanger"), ("t-shirt", "hanger"), ("dress", "mannequin"), ("hat", "stand"),
])  # fmt: skip
def test_what_a_garment_hangs_on_is_no_part_of_it(monkeypatch, category, display):
    garment = sample_garment(np.random.default_rng(16), category)
    garment = replace(garment, display=display)
    hung = render(garment, 96)
    monkeypatch.setattr(drawn, "props", lambda *_: [])
    alone = render(garment, 96)
    np.testing.assert_array_equal(hung.mask, alone.mask)
    change = np.abs(np.asarray(hung.picture, int) - np.asarray(alone.picture, int)).max(2)
    assert (change > 25).sum() > 20, "there is nothing that it hangs on"


def test_a_waistband_hangs_from_clips_and_shoulders_from_a_hanger():
    for category, line in LINES.items():
        if "hanger" in line.displays:
            held = "clip hanger" if category in ("pants", "shorts") else "hanger"
            assert props(category, "hanger") == PROPS[held], category


def test_the_pattern_of_a_mirrored_piece_is_mirrored():
    """A thread that runs down to the right then runs down to the left."""
    piece = Piece(np.zeros((3, 2)), grain=0.3)
    for mirrored, side in ((False, 1), (True, -1)):
        grain = piece.moved(mirrored=mirrored).grain
        thread = np.cos(grain), np.sin(grain)
        assert np.cross([*thread, 0], [np.cos(0.3), side * np.sin(0.3), 0]) == pytest.approx(0)


def test_all_that_is_on_a_piece_moves_with_its_outline():
    points = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]])
    piece = Piece(points, folds=[points], seams=[points], ornaments=[("trim", points)])
    moved = piece.moved((10, 20), mirrored=True)
    for part in (moved.outline, *moved.folds, *moved.seams, moved.ornaments[0][1]):
        assert part.tolist() == [[9, 22], [7, 24], [5, 27]]


def test_a_folded_sleeve_lies_over_all_else_and_another_under_the_body(monkeypatch):
    under, over = Piece(np.zeros((3, 2))), Piece(np.ones((3, 2)))
    monkeypatch.setattr(drawn.garments, "_sleeves", lambda *_: ([under], [over]))
    pieces = drawn.garments.top(np.random.default_rng(0), "skater", "long", "midi")
    assert pieces[1] is under  # behind it only the inside of the neck
    assert pieces[-1] is over


def test_the_nearer_shoe_of_a_pair_is_painted_over_the_farther_one(monkeypatch):
    near = Piece(np.zeros((3, 2)))
    monkeypatch.setitem(drawn.accessories.SHOES, "boot", lambda _: [near])
    rngs = map(np.random.default_rng, range(20))
    painted = [drawn.accessories.shoes(rng, "boot", "", "") for rng in rngs]
    pairs = [pieces for pieces in painted if len(pieces) == 2]
    assert pairs
    for far, last in pairs:
        assert last is near
        assert far.tone < near.tone
        assert far.outline[:, 1].max() < 0  # higher up in the picture


def test_the_second_colour_stands_out():
    rng = np.random.default_rng(18)
    for name, named in COLOURS.items():
        for _ in range(40):
            palette = _palette(rng, name)
            for part in ("second", "trim"):
                assert np.abs(palette[part] - named).max() > 85, (name, part)


def test_the_box_is_tight_and_the_mask_fills_enough():
    rng = np.random.default_rng(17)
    for i in range(70):
        seen = render(sample_garment(rng, SEVEN[i % 7]), 80)
        left, top, right, bottom = seen.box
        assert seen.mask[top:bottom, left:right].sum() == seen.mask.sum()
        for edge in (seen.mask[top], seen.mask[bottom - 1], seen.mask[:, left]):
            assert edge.any()
        assert seen.mask[:, right - 1].any()
        assert 0.03 < seen.mask.mean() < 0.95


def test_pixels_do_not_give_the_class_away(catalog):
    """Ridge regression on pixels, and on a colour histogram, stays far from a network."""
    pictures, garments = catalog
    labels = np.array([SEVEN.index(garment.category) for garment in garments])
    small = pictures.reshape(1000, 3, 20, 4, 20, 4).mean((3, 5)).reshape(1000, -1)
    bins = pictures[:, 0] // 64 * 16 + pictures[:, 1] // 64 * 4 + pictures[:, 2] // 64
    histogram = np.stack([np.bincount(b.ravel(), minlength=64) for b in bins])
    for name, features in (("pixels", small), ("colours", histogram)):
        x = (features - features.mean(0)) / (features.std(0) + 1e-6)
        fit, held = slice(0, 800), slice(800, 1000)
        gram = x[fit] @ x[fit].T + 1000 * np.eye(800)
        scores = x[held] @ (x[fit].T @ np.linalg.solve(gram, np.eye(7)[labels[fit]]))
        accuracy = (scores.argmax(1) == labels[held]).mean()
        print(f"linear model on {name}: {accuracy:.1%}")
        assert accuracy < LINEAR_CEILING


def processor_seconds(work) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


@pytest.mark.clock
def test_drawing_stays_quick():
    """Beside plain arithmetic on as many numbers, in one run, since machines differ."""
    pixels = np.random.default_rng(0).random((160, 160, 3))

    def arithmetic():
        for _ in range(4 * 60):
            np.exp(-np.hypot(pixels, pixels))

    ratios = []
    for _ in range(5):
        drawing = processor_seconds(lambda: drawn_pictures(60, seed=1))
        ratios.append(drawing / processor_seconds(arithmetic))
    print("drawing is", [round(ratio, 1) for ratio in ratios], "times the arithmetic")
    assert sorted(ratios)[2] < MOST_TIMES_ARITHMETIC


def test_wrong_requests_say_what_to_do():
    with pytest.raises(FashionError, match="skirt"):
        sample_garment(np.random.default_rng(0), "skirt")
    for count, size in ((0, 160), (1, 31)):
        with pytest.raises(FashionError, match="at least 1 picture of at least 32 pixels"):
            drawn_pictures(count, seed=1, size=size)


def test_a_slip_has_no_sleeves():
    rng = np.random.default_rng(0)
    dresses = [sample_garment(rng, "dress") for _ in range(200)]
    assert {dress.sleeve for dress in dresses if dress.kind == "slip"} == {"none"}
    assert {dress.sleeve for dress in dresses if dress.kind != "slip"} > {"none"}


def test_half_of_the_garments_are_mirrored(monkeypatch):
    """A mirror turns the sign of the matrix that says where a pixel lies on the cloth."""
    signs = []

    class Watched(drawn.Canvas):
        def __init__(self, rng, colour, pattern, size, to_garment):
            signs.append(np.linalg.det(to_garment) < 0)
            super().__init__(rng, colour, pattern, size, to_garment)

    monkeypatch.setattr(drawn, "Canvas", Watched)
    drawn_pictures(60, seed=1, size=32)
    assert 18 <= sum(signs) <= 42


def test_more_than_half_of_the_garments_are_plain():
    rng = np.random.default_rng(0)
    counts = Counter(sample_garment(rng, SEVEN[n % 7]).pattern for n in range(1000))
    assert 490 < counts["plain"] < 590
    assert all(70 < counts[name] < 200 for name in PATTERNS if name != "plain")


def test_dots_are_discs_and_flowers_have_five_petals():
    turn = np.linspace(0, 2 * np.pi, 90, endpoint=False)

    def ring(name: str, middle: float, radius: float) -> np.ndarray:
        across, down = middle + radius * np.cos(turn), middle + radius * np.sin(turn)
        return PATTERNS[name](across, down, 0.5, 0.02)

    for radius, ink in ((0, 1), (0.2, 1), (0.3, 0)):
        assert (ring("dots", 0.5, radius) == ink).all()
    middle = 0.5 / 0.7  # flowers are larger than dots
    assert (ring("floral", middle, 0) == 0).all()
    petals = ring("floral", middle, 0.25 / 0.7) > 0.5
    assert (petals & ~np.roll(petals, 1)).sum() == 5


def test_edges_bulge_outward_and_splines_keep_to_their_points():
    path = curve((0, 0, 0.5), (1, 0, 0), (1, 1, 0))  # clockwise on screen, so above is outside
    assert path[[0, 4, 8, 12, 16]].tolist() == [[0, 0], [0.5, -0.5], [1, 0], [1, 0.5], [1, 1]]
    straight = spline([(0, 0), (1, 0), (2, 0), (3, 0)], closed=False)
    assert straight[6:13, 0] == pytest.approx(1 + np.arange(7) / 6)
    square = [(0, 0), (1, 0), (1, 1), (0, 1)]
    assert spline(square)[::6].tolist() == [[*point] for point in (*square, square[0])]


def test_only_what_lies_flat_may_lie_upside_down():
    """Where the hem points, of 300 poses each: down is positive."""
    for display in ("flat", "hanger", "mannequin", "stand"):
        poses = [drawn._pose(np.random.default_rng(seed), display) for seed in range(300)]
        hems = [pose[1, 1] for pose in poses]
        assert (min(hems) < 0) == (display == "flat")


def test_x_runs_right_and_y_runs_down():
    x, y = grid(4)
    places = [0.125, 0.375, 0.625, 0.875]
    assert x.tolist() == [places] * 4
    assert y.T.tolist() == [places] * 4
    image = Image.new("L", (6, 5))
    image.putpixel((1, 1), 9)
    moved = shifted(image, right=3, down=2)
    assert moved.getpixel((4, 3)) == np.asarray(moved).sum() == 9
