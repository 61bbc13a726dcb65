"""Outlines as plain points: the pencil of the drawn catalog.

x runs right, y runs down. `garments` and `accessories` draw with these, `painting` paints them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

Points = np.ndarray  # float64 [n, 2]
Draw = Callable[..., Any]  # a generator's `uniform`
_EIGHTHS, _SIXTHS = np.arange(8)[:, None] / 8, np.arange(6)[:, None] / 6


@dataclass
class Piece:
    """One cut of cloth. `cloth` names a colour of the palette; `grain` turns its pattern (rad)."""

    outline: Points
    cloth: str = "main"
    grain: float = 0.0
    tone: float = 0.0
    folds: list[Points] = field(default_factory=list)
    seams: list[Points] = field(default_factory=list)
    ornaments: list[tuple[str, Points]] = field(default_factory=list)

    def moved(self, step: tuple[float, float] = (0, 0), mirrored: bool = False) -> "Piece":
        """A copy, mirrored left to right on request, then moved by `step`."""
        side = -1 if mirrored else 1
        sign = np.array([side, 1])
        return replace(
            self,
            outline=self.outline * sign + step,
            grain=self.grain * side,
            folds=[fold * sign + step for fold in self.folds],
            seams=[seam * sign + step for seam in self.seams],
            ornaments=[(cloth, points * sign + step) for cloth, points in self.ornaments],
        )


def curve(*corners: tuple[float, ...]) -> Points:
    """Open path through (x, y, bulge) corners.

    `bulge` bends the edge that leaves its corner, in parts of the edge's length, outward when
    the path runs clockwise on screen.
    """
    t = _EIGHTHS
    path = []
    for start, end in pairwise(corners):
        a, b = np.array(start[:2]), np.array(end[:2])
        middle = (a + b) / 2 + start[2] * np.array([b[1] - a[1], a[0] - b[0]]) * 2
        path.append((1 - t) ** 2 * a + 2 * t * (1 - t) * middle + t**2 * b)
    return np.concatenate([*path, [corners[-1][:2]]])


def symmetric(half: Points) -> Points:
    """The right half of an outline, closed with its mirror image."""
    return np.concatenate([half, half[::-1] * [-1, 1]])


def spline(points: list[tuple[float, float]] | Points, closed: bool = True) -> Points:
    """Smooth (Catmull-Rom) path through the points."""
    p = np.asarray(points, float)
    p = np.concatenate([p[-1:], p, p[:2]]) if closed else np.concatenate([p[:1], p, p[-1:]])
    a, b, c, d = (p[i : len(p) - 3 + i, None] for i in range(4))
    t = _SIXTHS
    bend = (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
    path = b + bend / 2
    return np.concatenate([path.reshape(-1, 2), p[-2:-1]])


def tube(spine: list[tuple[float, float]] | Points, widths: list[float]) -> Points:
    """Outline of a limb along a spine, with a half-width at each of its points."""
    spine = np.asarray(spine, float)
    along = np.gradient(spine, axis=0)
    normal = np.stack([along[:, 1], -along[:, 0]], 1) / np.linalg.norm(along, axis=1)[:, None]
    side = normal * np.asarray(widths)[:, None]
    left, right = spline(spine + side, closed=False), spline(spine - side, closed=False)
    return np.concatenate([left, right[::-1]])


def ellipse(x: float, y: float, rx: float, ry: float) -> Points:
    """Outline of an ellipse."""
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], 1)
