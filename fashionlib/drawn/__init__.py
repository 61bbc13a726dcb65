"""The drawn catalog: garments painted from a seed, with exact labels for every picture.

A `Garment` holds the labels and two seeds; everything else about its picture (outline, folds,
pose, light) follows from those. Shapes are in `garments` and `accessories`, paint in
`painting`, and what lies behind in `backdrops`.

The label rule, per class: a t-shirt's sleeve is cut above the elbow and never rolled; a longsleeve
is cut to the wrist, and may be rolled up to just below the elbow; a dress ends lower than any
t-shirt; shorts end in the upper half of the leg (up to 0.46 of it), pants in the lower (from
0.58). The numbers are in `garments.SLEEVES`, `LEGS` and `HEMS`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageFilter

from fashionlib.drawn.accessories import hat, props, shoes
from fashionlib.drawn.backdrops import BACKDROPS, backdrop, grid, shifted
from fashionlib.drawn.garments import top, trousers
from fashionlib.drawn.outlines import Piece, Points
from fashionlib.drawn.painting import COLOURS, PATTERNS, Canvas
from fashionlib.errors import FashionError
from fashionlib.settings import progress_bar

SEVEN = ("dress", "hat", "longsleeve", "pants", "shoes", "shorts", "t-shirt")  # classes

_PATTERN_ODDS = (0.1, 0.1, 0.1, 0.54, 0.16)  # of PATTERNS


@dataclass(frozen=True)
class _Line:
    """What the shop sells of one class: which labels can occur, and how it is shown."""

    shape: Callable[..., list[Piece]]
    kinds: tuple[str, ...]
    sleeves: tuple[str, ...]
    lengths: tuple[str, ...]
    displays: tuple[str, ...]


_WORN = ("flat", "flat", "hanger", "mannequin")
LINES: dict[str, _Line] = {
    "dress": _Line(top, ("shift", "a-line", "skater", "slip", "shirt-dress"),
                   ("none", "none", "short", "long"), ("mini", "midi", "maxi"), _WORN),
    "hat": _Line(hat, ("cap", "beanie", "sun hat", "fedora", "bucket"), ("",), ("",),
                 ("flat", "flat", "peg", "stand")),
    "longsleeve": _Line(top, ("crew", "v-neck", "henley", "button-up", "turtleneck"),
                        ("long", "long", "rolled"), ("hip", "hip", "tunic"), _WORN),
    "pants": _Line(trousers, ("skinny", "straight", "wide", "jogger", "jeans", "tailored"), ("",),
                   ("full", "full", "cropped"), ("flat", "flat", "hanger")),
    "shoes": _Line(shoes, ("sneaker", "boot", "pump", "loafer"), ("",), ("",), ("flat",)),
    "shorts": _Line(trousers, ("sport", "denim", "cargo", "tailored"), ("",), ("short", "knee"),
                    ("flat", "flat", "hanger")),
    "t-shirt": _Line(top, ("crew", "v-neck", "scoop", "polo"), ("short",),
                     ("cropped", "hip", "hip", "tunic"), _WORN),
}  # fmt: skip


@dataclass(frozen=True)
class Garment:
    """The exact labels of one drawn garment, and the seeds that fix the rest of its picture.

    `sleeve` is "none", "short", "rolled" or "long" and `length` a key of `garments.HEMS` (tops,
    dresses) or `garments.LEGS` (pants, shorts); both are "" where the class has none. `kind` is
    the sub-type (a cap, a v-neck), `display` how it is shown (flat, on a hanger, ...).
    """

    category: str
    kind: str
    colour: str
    pattern: str
    sleeve: str
    length: str
    display: str
    backdrop: str
    seed: int
    backdrop_seed: int


@dataclass(frozen=True)
class Rendering:
    """A picture, RGB size×size, and which of its pixels are the garment, bool [size, size]."""

    picture: Image.Image
    mask: np.ndarray

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom of the mask in pixels; right and bottom are exclusive."""
        columns, rows = np.flatnonzero(self.mask.any(0)), np.flatnonzero(self.mask.any(1))
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def sample_garment(rng: np.random.Generator, category: str) -> Garment:
    """Draw the other labels of a garment of this category at random.

    Raises:
        FashionError: `category` is not one of `SEVEN`.
    """
    if category not in LINES:
        raise FashionError(f"no class {category!r}. Choose one of: {', '.join(SEVEN)}.")
    line = LINES[category]
    kind, sleeve, length = (_one(rng, x) for x in (line.kinds, line.sleeves, line.lengths))
    return Garment(
        category=category,
        kind=kind,
        colour=_one(rng, tuple(COLOURS)),
        pattern=str(rng.choice(list(PATTERNS), p=_PATTERN_ODDS)),
        sleeve="none" if kind == "slip" else sleeve,
        length=length,
        display=_one(rng, line.displays),
        backdrop=_one(rng, tuple(BACKDROPS)),
        seed=int(rng.integers(2**31)),
        backdrop_seed=int(rng.integers(2**31)),
    )


def on_backdrop(garment: Garment, seed: int) -> Garment:
    """The same garment, pose and light on another backdrop, chosen by `seed`."""
    kind = _one(np.random.default_rng([seed, 3]), tuple(BACKDROPS))
    return replace(garment, backdrop=kind, backdrop_seed=seed)


def _one(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[rng.integers(len(options))]


def _pose(rng: np.random.Generator, display: str) -> np.ndarray:
    """3×3 matrix from garment coordinates (-0.5 to 0.5) to picture coordinates (0 to 1)."""
    u = rng.uniform
    angle = rng.normal(0, 0.17 if display == "flat" else 0.05)
    if display == "flat" and u() < 0.05:
        angle += np.pi / 2 * rng.integers(1, 4)  # laid down sideways or upside down
    close = u() < 0.08  # a close-up that cuts something off
    scale = u(1.0, 1.25) if close else u(0.72, 0.97)
    drift = 0.14 if close else 0.5 * (1 - scale) * 0.9
    c, s = np.cos(angle), np.sin(angle)
    spin = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    wide, lean, turn, tilt = u(0.86, 1.06), u(-0.09, 0.09), u(-0.1, 0.1), u(-0.22, 0.22)
    squeeze = np.array([[wide, lean, 0], [0, 1, 0], [turn, tilt, 1]])
    x, y = 0.5 + u(-drift, drift), 0.5 + u(-drift, drift)
    place = np.array([[scale, 0, x], [0, scale, y], [0, 0, 1]])
    return place @ squeeze @ spin


def render(garment: Garment, size: int = 160) -> Rendering:
    """Paint a garment on its backdrop.

    With `on_backdrop` or `dataclasses.replace` the same garment can be put elsewhere: its own
    pixels stay, but for the rim where blur mixes the two.
    """
    rng = np.random.default_rng([garment.seed, 1])
    shape = LINES[garment.category].shape
    pieces = shape(rng, garment.kind, garment.sleeve, garment.length)
    points = np.concatenate([piece.outline for piece in pieces])
    low, high = points.min(0), points.max(0)
    width, height = high - low
    # a square garment at the width of a long one's height would look twice as large
    extent = max(width, height, 0.62 * (width + height))
    matrix = _pose(rng, garment.display)
    if rng.uniform() < 0.5:
        matrix = matrix @ np.diag([-1, 1, 1])  # half of them mirrored, and their cloth with them
    phase, sway = rng.uniform(0, 6, 4), rng.uniform(0, 0.014, 2)

    def project(points: Points) -> Points:
        flat = (points - (low + high) / 2) / extent
        bent = flat + sway * np.sin(flat[:, ::-1] * (5, 7) + phase[:2])
        bent = bent + sway[::-1] * np.sin(flat * (9, 6) + phase[2:]) / 2
        moved = bent @ matrix[:, :2].T + matrix[:, 2]
        return moved[:, :2] / moved[:, 2:]

    canvas = Canvas(rng, garment.colour, garment.pattern, size, np.linalg.inv(matrix))
    for prop in props(garment.category, garment.display):
        canvas.add(prop, project)
    behind, canvas.cover = canvas.cover, np.zeros_like(canvas.cover)
    for piece in pieces:
        canvas.add(piece, project)
    canvas.seal()
    scene = backdrop(garment.backdrop, garment.backdrop_seed, size)
    cover = 1 - (1 - behind) * (1 - canvas.cover)
    scene *= 1 - _shadow(rng, cover, canvas.light[0], garment.display)[..., None]
    scene += (canvas.colour - scene) * cover[..., None]
    return Rendering(_photographed(rng, scene), canvas.cover > 0.5)


def _shadow(rng, cover: np.ndarray, light: float, display: str) -> np.ndarray:
    """How much darker the backdrop is below a thing, the farther off the softer; 0 to 1."""
    lift = {"flat": rng.uniform(0.004, 0.02), "hanger": 0.03}.get(display, 0.035)
    blur = ImageFilter.GaussianBlur(len(cover) * (lift + 0.008))
    soft = Image.fromarray((cover * 255).astype(np.uint8)).filter(blur)
    step = int(len(cover) * lift)
    soft = shifted(soft, -int(step * np.sign(light)), step)
    return np.asarray(soft, np.float32) / 255 * rng.uniform(0.3, 0.6)


def _photographed(rng: np.random.Generator, scene: np.ndarray) -> Image.Image:
    """Uneven light, a colour cast, a little blur and sensor noise."""
    u, size = rng.uniform, len(scene)
    x, y = grid(size)
    light = u(0.87, 1.06) + u(-0.22, 0.22) * (x - 0.5) + u(-0.22, 0.22) * (y - 0.5)
    warm = u(-0.05, 0.06)
    cast = np.array([1 + warm, 1 + u(-0.015, 0.015), 1 - warm], np.float32)
    image = Image.fromarray(np.clip(scene * light[..., None] * cast, 0, 255).astype(np.uint8))
    blur = size / 160 * u(0.0, 0.9) ** 2
    image = image.filter(ImageFilter.GaussianBlur(blur)) if blur > 0.2 else image
    # the sum of two dice is nearly normal, and bytes are cheap to throw
    dice = rng.integers(0, 256, (2, size, size, 3), np.uint8).astype(np.float32)
    noise = (dice[0] + dice[1] - 255) * np.float32(u(0.5, 4.5) / 104)
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


def draw_garment(garment: Garment, size: int = 160) -> Image.Image:
    """The garment's picture, RGB size×size."""
    return render(garment, size).picture


def drawn_pictures(count: int, seed: int, size: int = 160) -> tuple[np.ndarray, list[Garment]]:
    """Draw a catalog: uint8 [count, 3, size, size] pictures and the garment in each.

    Each run of seven pictures has one of every class, shuffled. Picture `i` depends only on
    `seed` and `i`: a longer catalog starts with the shorter one.

    Raises:
        FashionError: `count` is below 1 or `size` below 32.
    """
    if count < 1 or size < 32:
        raise FashionError("draw at least 1 picture of at least 32 pixels.")
    garments = []
    for i in range(count):
        group, place = divmod(i, len(SEVEN))
        order = np.random.default_rng([seed, 2, group]).permutation(len(SEVEN))
        garments.append(sample_garment(np.random.default_rng([seed, 4, i]), SEVEN[order[place]]))
    pictures = np.empty((count, 3, size, size), np.uint8)
    for i, garment in enumerate(progress_bar(garments, "drawing", "picture")):
        pictures[i] = draw_pixels(garment, size)
    return pictures, garments


def draw_pixels(garment: Garment, size: int) -> np.ndarray:
    """The garment's picture as a catalog stores it, uint8 [3, size, size]."""
    return np.asarray(draw_garment(garment, size)).transpose(2, 0, 1)
