"""Paint for the drawn catalog: named colours, patterns, and a canvas that shades cloth."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from fashionlib.drawn.backdrops import grid, sampled, soft_step
from fashionlib.drawn.outlines import Piece, Points

COLOURS: dict[str, tuple[int, int, int]] = {
    "black": (44, 44, 48), "blue": (58, 98, 168), "brown": (118, 78, 52),
    "green": (66, 128, 84), "grey": (142, 144, 148), "orange": (228, 126, 50),
    "pink": (236, 158, 178), "purple": (122, 80, 152), "red": (190, 46, 50),
    "white": (238, 235, 228), "yellow": (234, 194, 72),
}  # fmt: skip
_STUFF = {
    "wood": (176, 136, 96), "metal": (176, 178, 182), "linen": (214, 202, 182),
    "lace": (240, 238, 232), "button": (232, 226, 212),
}  # fmt: skip
_SOLES = ((240, 238, 232), (240, 238, 232), (196, 152, 104), (58, 52, 50))  # white is commoner
FINE = 3  # outlines are drawn this much larger, then reduced: smooth edges


class Canvas:
    """Colour (float32 [size, size, 3], 0 to 255) and cover (0 to 1) of what is painted so far."""

    def __init__(self, rng, colour: str, pattern: str, size: int, to_garment: np.ndarray) -> None:
        """`to_garment`, 3×3, says where each pixel lies on the cloth: patterns follow it."""
        self.size = size
        self.colour = np.zeros((size, size, 3), np.float32)
        self.cover = np.zeros((size, size), np.float32)
        self.palette = _palette(rng, colour)
        self.pattern = PATTERNS[pattern]
        self.pattern_look = (rng.uniform(0.055, 0.12), rng.uniform(0.3, 1.0), rng.uniform() < 0.25)
        self.weave = (rng.uniform(0.0, 0.035), rng.uniform(0.9, 1.6), rng.uniform(0, 1, 2))
        self.fold_depth = rng.uniform(0.5, 1.25)
        self.light = rng.uniform(-1, 1), 1.0
        x, y = grid(size)
        m = to_garment.astype(np.float32)
        w = m[2, 0] * x + m[2, 1] * y + m[2, 2]
        wobble = 0.006 * sampled("soft", x + self.weave[2][0], y + self.weave[2][1])
        self.u = (m[0, 0] * x + m[0, 1] * y + m[0, 2]) / w + wobble
        self.v = (m[1, 0] * x + m[1, 1] * y + m[1, 2]) / w + wobble

    def add(self, piece: Piece, project: Callable[[Points], Points]) -> None:
        """Paint one piece over what is there, with a soft contact shadow on it."""
        outline = project(piece.outline) * self.size
        margin = self.size // 16
        low = np.maximum(np.floor(outline.min(0)).astype(int) - margin, 0)
        high = np.minimum(np.ceil(outline.max(0)).astype(int) + margin, self.size)
        if (high <= low + 2).any():
            return  # outside the picture
        corner, shape = low / self.size, tuple(int(n) for n in high - low)

        def local(points: Points, scale: int = 1) -> list[float]:
            return ((project(points) - corner) * self.size * scale).ravel().tolist()

        mask = _filled(local(piece.outline, FINE), shape)
        window = np.s_[low[1] : high[1], low[0] : high[0]]
        cover = np.asarray(mask, np.float32) / 255
        soft = np.asarray(mask.filter(ImageFilter.GaussianBlur(self.size / 40)), np.float32) / 255
        shade = 1 + piece.tone + self._relief(soft) + self._marks(piece, local, shape)
        painted = self._cloth(piece, window, shade)
        for cloth, points in piece.ornaments:
            ink = np.asarray(_filled(local(points, FINE), shape), np.float32)[..., None] / 255
            painted += (self.palette[cloth] * shade[..., None] - painted) * ink
        below = self.colour[window] * (1 - 0.3 * soft * (1 - cover))[..., None]
        self.colour[window] = below + (painted - below) * cover[..., None]
        self.cover[window] += (1 - self.cover[window]) * cover

    def seal(self) -> None:
        """Make seams between pieces opaque: a hairline gap inside must not show the backdrop."""
        mask = Image.fromarray((self.cover > 0.5).astype(np.uint8))
        inside = np.asarray(mask.filter(ImageFilter.MinFilter(3)), np.float32)
        self.cover = np.maximum(self.cover, inside)

    def _relief(self, soft: np.ndarray) -> np.ndarray:
        """Light and dark flanks of a piece that bulges towards us, and a darker rim."""
        d = max(1, self.size // 60)
        relief = np.zeros_like(soft)
        slope_x, slope_y = soft[:, 2 * d :] - soft[:, : -2 * d], soft[2 * d :] - soft[: -2 * d]
        relief[:, d:-d] += slope_x * self.light[0]
        relief[d:-d] += slope_y * self.light[1]
        return 0.22 * relief + 0.16 * (soft - 0.9)

    def _marks(self, piece: Piece, local: Callable, shape: tuple[int, int]) -> np.ndarray:
        """Folds (soft, a dark line with a light flank) and seams (fine and dark)."""
        unit = self.size / 160
        marks = np.zeros(shape[::-1], np.float32)
        if piece.folds:
            image = Image.new("L", shape, 128)
            draw = ImageDraw.Draw(image)
            for fold in piece.folds:
                line = local(fold)
                flank = [c + (1.6 * unit if k % 2 else 1.4 * unit) for k, c in enumerate(line)]
                draw.line(flank, fill=196, width=max(1, round(2 * unit)))
                draw.line(line, fill=48, width=max(1, round(1.5 * unit)))
            image = image.filter(ImageFilter.GaussianBlur(1.5 * unit))
            marks += (np.asarray(image, np.float32) - 128) / 255 * 1.2 * self.fold_depth
        if piece.seams:
            image = Image.new("L", (shape[0] * FINE, shape[1] * FINE))
            draw = ImageDraw.Draw(image)
            for seam in piece.seams:
                draw.line(local(seam, FINE), fill=255, width=max(1, round(0.8 * FINE * unit)))
            marks -= np.asarray(image.reduce(FINE), np.float32) / 255 * 0.3
        return marks

    def _cloth(self, piece: Piece, window: tuple, shade: np.ndarray) -> np.ndarray:
        """The piece's colour with its pattern, weave, wrinkles and shading."""
        u, v = self.u[window], self.v[window]
        colour = self.palette[piece.cloth]
        amount, coarse, offset = self.weave
        wrinkle = sampled("cloth", u * 0.5 + offset[0], v * 0.5 + offset[1])
        shade = shade + 0.035 * self.fold_depth * wrinkle
        shade += amount * sampled("grain", u * coarse, v * coarse)
        if piece.cloth == "main" and self.pattern is not None:
            c, s = np.float32(np.cos(piece.grain)), np.float32(np.sin(piece.grain))
            u, v = c * u - s * v, s * u + c * v
            period, bold, turned = self.pattern_look
            if turned:
                u, v = v, u
            ink = self.pattern(u / period, v / period, bold, 1.6 / (period * self.size))
            colour = colour + (self.palette["second"] - colour) * ink[..., None]
        # a highlight also adds white, else folds would be lost on black
        return colour * shade[..., None] + 40 * np.maximum(shade - 1, 0)[..., None]


def _filled(polygon: list[float], shape: tuple[int, int]) -> Image.Image:
    """A smooth-edged "L" mask of a polygon given in fine pixels."""
    mask = Image.new("L", (shape[0] * FINE, shape[1] * FINE))
    ImageDraw.Draw(mask).polygon(polygon, fill=255)
    return mask.reduce(FINE)


def _palette(rng: np.random.Generator, name: str) -> dict[str, np.ndarray]:
    """The colours of one garment: its own shade, a second one that stands out, and small parts."""
    shade = np.array(COLOURS[name], np.float32)
    shade = shade * rng.uniform(0.9, 1.07) * rng.uniform(0.95, 1.05, 3) + rng.uniform(-4, 4, 3)
    far = [c for c in COLOURS.values() if np.abs(np.subtract(c, COLOURS[name])).max() > 85]
    calm = [COLOURS[c] for c in ("white", "black") if c != name]
    contrast = max(calm, key=lambda c: np.abs(c - shade).sum())
    other = [contrast if rng.uniform() < 0.6 else far[rng.integers(len(far))] for _ in range(2)]
    sole = _SOLES[rng.integers(len(_SOLES))]
    fixed = {"second": other[0], "trim": other[1], "sole": sole, **_STUFF}
    palette = {part: np.array(colour, np.float32) for part, colour in fixed.items()}
    return palette | {"main": shade, "inside": shade * 0.62, "shade": shade * 0.74}


def _stripes(u: np.ndarray, v: np.ndarray, bold: float, blur: float) -> np.ndarray:
    return soft_step(0.1 + 0.13 * bold - np.abs(v % 1 - 0.5), blur)


def _checks(u: np.ndarray, v: np.ndarray, bold: float, blur: float) -> np.ndarray:
    return 0.5 * (_stripes(u, v, bold, blur) + _stripes(v, u, bold, blur))


def _dots(u: np.ndarray, v: np.ndarray, bold: float, blur: float) -> np.ndarray:
    shifted = u + 0.5 * (np.floor(v) % 2)
    return soft_step(0.2 + 0.12 * bold - np.hypot(shifted % 1 - 0.5, v % 1 - 0.5), blur)


def _floral(u: np.ndarray, v: np.ndarray, bold: float, blur: float) -> np.ndarray:
    u, v, blur = u * 0.7, v * 0.7, blur * 0.7
    row = np.floor(v)
    across = u + 0.5 * (row % 2) + 0.2 * np.sin(row * 2.3)
    x, y = across % 1 - 0.5, v % 1 - 0.5
    radius, turn = np.hypot(x, y), np.arctan2(y, x)
    petal = (0.27 + 0.1 * bold) * (0.68 + 0.32 * np.cos(5 * turn + 2 * np.floor(across) + row))
    return soft_step(petal - radius, blur) * soft_step(radius - 0.08, blur)


PATTERNS: dict[str, Callable | None] = {
    "checks": _checks, "dots": _dots, "floral": _floral, "plain": None, "stripes": _stripes,
}  # fmt: skip
