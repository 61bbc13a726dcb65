"""Backdrops for the drawn catalog: walls, floors, sheets, rugs and the clutter on them."""

from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[int, int, int]
TILE = 256  # pixels, the side of the noise tiles: a power of two, so that & wraps

LIGHT: tuple[Colour, ...] = (
    (236, 231, 222), (222, 214, 202), (214, 219, 216), (203, 212, 222),
    (232, 214, 205), (206, 214, 196), (196, 190, 184), (229, 222, 190),
)  # fmt: skip
DEEP: tuple[Colour, ...] = (
    (112, 126, 116), (94, 110, 132), (150, 98, 78), (128, 112, 104),
    (88, 86, 92), (164, 134, 92), (110, 84, 96), (70, 84, 84),
)  # fmt: skip
WOODS: tuple[Colour, ...] = (
    (196, 158, 116), (164, 122, 84), (122, 88, 62), (206, 184, 152), (150, 132, 116),
)  # fmt: skip


@cache
def noise_tiles() -> dict[str, np.ndarray]:
    """Seamless float32 [TILE, TILE] textures with mean 0 and deviation 1, the same everywhere."""
    frequency = np.fft.fftfreq(TILE)[:, None] ** 2 + np.fft.fftfreq(TILE)[None, :] ** 2

    def clouds(seed: int, roughness: float, coarse: float = 0.004) -> np.ndarray:
        white = np.fft.fft2(np.random.default_rng([71, seed]).standard_normal((TILE, TILE)))
        tile = np.fft.ifft2(white / (np.sqrt(frequency) + coarse) ** roughness).real
        return ((tile - tile.mean()) / tile.std()).astype(np.float32)

    ridges = -np.sqrt(clouds(3, 3.6, 0.012) ** 2 + 0.02)
    return {
        "cloud": clouds(1, 2.2),
        "soft": clouds(2, 3.2, 0.01),
        "cloth": (ridges - ridges.mean()) / ridges.std(),
        "grain": clouds(4, 0.3),
    }


def sampled(tile: str, across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """A noise tile looked up at coordinates in tile sides (wrapping), float32 of their shape."""
    rows = (down * TILE).astype(np.int32) & (TILE - 1)
    columns = (across * TILE).astype(np.int32) & (TILE - 1)
    return noise_tiles()[tile].take(rows * TILE + columns)


def grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixel centres in picture widths: two float32 [size, size] arrays, x and y."""
    line = (np.arange(size, dtype=np.float32) + 0.5) / size
    return np.broadcast_arrays(line[None, :], line[:, None])


def soft_step(distance: np.ndarray, blur: float) -> np.ndarray:
    """0 below the edge, 1 above it, with a ramp `blur` wide."""
    return np.clip(distance / blur + 0.5, 0, 1)


def shifted(image: Image.Image, right: int, down: int) -> Image.Image:
    """The image moved by whole pixels, black where it came from."""
    return image.transform(image.size, Image.Transform.AFFINE, (1, 0, -right, 0, 1, -down))


def _pick(rng: np.random.Generator, colours: tuple[Colour, ...]) -> np.ndarray:
    return np.array(colours[rng.integers(len(colours))], np.float32) + rng.uniform(-12, 12)


def _turned(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The grid, turned by a random angle and moved, for patterns that have a direction."""
    x, y = grid(size)
    angle = rng.uniform(0, np.pi) if rng.uniform() < 0.5 else rng.choice([0, np.pi / 2])
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return c * x + s * y + rng.uniform(3, 4), c * y - s * x + rng.uniform(3, 4)


def _wall(rng: np.random.Generator, size: int) -> np.ndarray:
    x, y = grid(size)
    colour = _pick(rng, LIGHT if rng.uniform() < 0.65 else DEEP)
    shade = 1 + 0.03 * sampled("cloud", x + rng.uniform(), y + rng.uniform())
    picture = colour * shade[..., None]
    if rng.uniform() < 0.35:  # a skirting board and a strip of floor
        edge = rng.uniform(0.72, 0.9)
        board = soft_step(y - edge, 0.01)[..., None]
        floor = soft_step(y - edge - 0.06, 0.01)[..., None]
        picture = picture * (1 - board) + np.float32(232) * board * (1 - floor)
        picture += _pick(rng, WOODS) * floor
    elif rng.uniform() < 0.3:  # panelling
        groove = np.abs((x * rng.integers(3, 8) + rng.uniform()) % 1 - 0.5)
        picture *= 1 - 0.12 * soft_step(0.03 - groove, 0.04)[..., None]
    return picture


def _floor(rng: np.random.Generator, size: int) -> np.ndarray:
    along, across = _turned(rng, size)
    planks = across * rng.uniform(4, 9)
    row = np.floor(planks)
    joint = along * rng.uniform(0.8, 1.6) + row * 0.618
    tone = np.sin(row * 12.9898 + np.floor(joint) * 78.233) * rng.uniform(0.05, 0.12)
    wood = sampled("cloud", along * 0.25 + row * 0.37, across * 2.5) * 0.06
    gap = np.minimum(np.abs(planks % 1 - 0.5) * -1 + 0.5, np.abs(joint % 1 - 0.5) * -4 + 2.0)
    shade = (1 + tone + wood) * (1 - 0.35 * soft_step(0.05 - gap, 0.06))
    return _pick(rng, WOODS) * shade[..., None]


def _sheet(rng: np.random.Generator, size: int) -> np.ndarray:
    along, across = _turned(rng, size)
    scale = rng.uniform(0.2, 0.5)
    here = sampled("cloth", along * scale, across * scale)
    there = sampled("cloth", along * scale + 0.012, across * scale + 0.012)
    shade = 1 + (here - there) * rng.uniform(0.08, 0.2) + here * 0.02
    if rng.uniform() < 0.3:
        shade = shade * (1 - 0.1 * soft_step(0.2 - np.abs((along * 6) % 1 - 0.5), 0.08))
    return _pick(rng, LIGHT if rng.uniform() < 0.8 else DEEP) * shade[..., None]


def _rug(rng: np.random.Generator, size: int) -> np.ndarray:
    along, across = _turned(rng, size)
    ground, figure = _pick(rng, DEEP), _pick(rng, LIGHT if rng.uniform() < 0.6 else WOODS)
    repeat = rng.uniform(2, 5)
    u, v = along * repeat, across * repeat
    diamond = np.abs(u % 1 - 0.5) + np.abs(v % 1 - 0.5)
    motif = {
        0: soft_step(0.12 - np.abs(diamond - 0.5), 0.06),
        1: soft_step(0.16 - np.abs(v % 1 - 0.5), 0.05),
        2: soft_step(np.abs((diamond * 3) % 1 - 0.5) - 0.3, 0.12),
    }[int(rng.integers(3))]
    pile = 1 + 0.07 * sampled("grain", along * 0.7, across * 0.7)
    strength = rng.uniform(0.25, 0.8) * motif[..., None]
    return (ground * (1 - strength) + figure * strength) * pile[..., None]


def _studio(rng: np.random.Generator, size: int) -> np.ndarray:
    x, y = grid(size)
    fall = np.hypot(x - rng.uniform(0.2, 0.8), y - rng.uniform(0.1, 0.7)) * rng.uniform(0.1, 0.5)
    return _pick(rng, LIGHT if rng.uniform() < 0.75 else DEEP) * (1.06 - fall)[..., None]


def _tiles(rng: np.random.Generator, size: int) -> np.ndarray:
    along, across = _turned(rng, size)
    count = rng.uniform(3, 7)
    u, v = along * count, across * count * rng.choice([1, 2])
    edge = np.maximum(np.abs(u % 1 - 0.5), np.abs(v % 1 - 0.5))
    tone = np.sin(np.floor(u) * 12.9898 + np.floor(v) * 78.233) * rng.uniform(0.01, 0.07)
    if rng.uniform() < 0.3:
        tone = tone + ((np.floor(u) + np.floor(v)) % 2 - 0.5) * rng.uniform(0.1, 0.35)
    shade = (1 + tone) * (1 - 0.14 * soft_step(edge - 0.47, 0.04))
    shade += 0.02 * sampled("cloud", along, across)
    return _pick(rng, LIGHT if rng.uniform() < 0.6 else DEEP) * shade[..., None]


BACKDROPS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "floor": _floor, "rug": _rug, "sheet": _sheet,
    "studio": _studio, "tiles": _tiles, "wall": _wall,
}  # fmt: skip


def backdrop(kind: str, seed: int, size: int) -> np.ndarray:
    """Float32 [size, size, 3] picture, 0 to 255, of one of `BACKDROPS`, often with clutter."""
    rng = np.random.default_rng([seed, 5])
    picture = BACKDROPS[kind](rng, size)
    if rng.uniform() < {"studio": 0.1, "wall": 0.25}.get(kind, 0.45):
        picture = _cluttered(rng, picture, size)
    return np.clip(picture, 0, 255).astype(np.float32)


def _cluttered(rng: np.random.Generator, picture: np.ndarray, size: int) -> np.ndarray:
    """One to four things round the edge: books, leaves, cups, folded cloth, paper."""
    big = 2 * size
    layer = Image.new("RGBA", (big, big))
    draw = ImageDraw.Draw(layer)
    for _ in range(rng.integers(1, 5)):
        side, along = rng.uniform(-0.04, 0.16), rng.uniform()
        at = [(along, side), (1 - side, along), (along, 1 - side), (side, along)]
        things = (_book, _leaf, _cup, _cloth, _paper)
        things[rng.integers(len(things))](rng, draw, np.array(at[rng.integers(4)]), big)
    small = layer.reduce(2)
    alpha = small.getchannel("A")
    shadow = shifted(alpha.filter(ImageFilter.GaussianBlur(size / 50)), size // 60, size // 60)
    cover = np.asarray(alpha, np.float32)[..., None] / 255
    dark = np.asarray(shadow, np.float32)[..., None] / 255
    colour = np.asarray(small.convert("RGB"), np.float32)
    return picture * (1 - 0.35 * dark) * (1 - cover) + colour * cover


def _ink(rng: np.random.Generator) -> Colour:
    colour = _pick(rng, (*DEEP, *LIGHT, *WOODS)) * rng.uniform(0.8, 1.05)
    return tuple(int(c) for c in np.clip(colour, 0, 255))


def _quad(rng: np.random.Generator, centre: np.ndarray, w: float, h: float) -> np.ndarray:
    angle = rng.uniform(0, np.pi)
    right = np.array([np.cos(angle), np.sin(angle)]) * w
    down = np.array([-np.sin(angle), np.cos(angle)]) * h
    return np.array(
        [centre + x * right + y * down for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    )


def _polygon(draw: ImageDraw.ImageDraw, points: np.ndarray, big: int, colour: Colour) -> None:
    draw.polygon((points * big).ravel().tolist(), fill=(*colour, 255))


def _book(rng, draw, at, big) -> None:
    quad = _quad(rng, at, rng.uniform(0.08, 0.16), rng.uniform(0.06, 0.11))
    _polygon(draw, quad, big, _ink(rng))
    middle = quad.mean(0)
    _polygon(draw, middle + (quad - middle) * [0.6, 0.25], big, _ink(rng))


def _leaf(rng, draw, at, big) -> None:
    green = [int(rng.uniform(*ends)) for ends in ((70, 110), (105, 140), (70, 100))]
    for turn in rng.uniform(0, 2 * np.pi) + np.arange(rng.integers(3, 7)) * 0.55:
        t = np.linspace(0, 1, 9)
        length, width = rng.uniform(0.12, 0.22), rng.uniform(0.015, 0.035)
        along, across = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        ridge = at + length * t[:, None] * along
        bulge = width * np.sin(np.pi * t)[:, None] * across
        shade = rng.uniform(0.8, 1.1)
        shape = np.concatenate([ridge + bulge, (ridge - bulge)[::-1]])
        _polygon(draw, shape, big, tuple(int(c * shade) for c in green))


def _cup(rng, draw, at, big) -> None:
    radius, ink = rng.uniform(0.05, 0.09), _ink(rng)
    for scale, colour in ((1.5, (238, 234, 226)), (1.0, ink), (0.8, (92, 62, 46))):
        box = np.concatenate([at - radius * scale, at + radius * scale]) * big
        draw.ellipse(box.tolist(), fill=(*colour, 255))


def _cloth(rng, draw, at, big) -> None:
    quad = _quad(rng, at, rng.uniform(0.1, 0.2), rng.uniform(0.07, 0.14))
    a, b, c, d = quad
    first, second = _ink(rng), _ink(rng)
    _polygon(draw, quad, big, first)
    for k in np.arange(0.1, 0.95, rng.uniform(0.15, 0.3)):
        e = k + 0.06
        stripe = [a + (b - a) * k, a + (b - a) * e, d + (c - d) * e, d + (c - d) * k]
        _polygon(draw, np.array(stripe), big, second)


def _paper(rng, draw, at, big) -> None:
    quad = _quad(rng, at, rng.uniform(0.06, 0.12), rng.uniform(0.08, 0.14))
    _polygon(draw, quad, big, (240, 238, 232))
    for k in np.linspace(0.2, 0.8, 5):
        ends = [quad[0] + (quad[3] - quad[0]) * k, quad[1] + (quad[2] - quad[1]) * k]
        draw.line((np.array(ends) * big).ravel().tolist(), fill=(170, 168, 164, 255), width=1)
