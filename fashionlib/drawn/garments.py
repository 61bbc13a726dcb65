"""Tops, dresses, pants and shorts as pieces of cloth, with their seams and folds.

One unit is the width of the shoulders (tops, dresses) or of the hips (pants, shorts).
"""

import numpy as np

from fashionlib.drawn.outlines import Draw, Piece, Points, curve, ellipse, spline, symmetric, tube

Range = tuple[float, float]

# Outlines and tables read best as rows.
# fmt: off

# The label rule: how far a sleeve reaches (1 is the wrist), how far a leg reaches (1 is the
# ankle) and how far down a top or a dress ends (in shoulder widths). Ranges do not overlap
# between classes, but they nearly touch: a long t-shirt is almost a dress.
SLEEVES: dict[str, Range] = {"short": (0.22, 0.46), "rolled": (0.56, 0.74), "long": (0.86, 1.0)}
LEGS: dict[str, Range] = {
    "short": (0.12, 0.26), "knee": (0.3, 0.46), "cropped": (0.58, 0.76), "full": (0.86, 1.0),
}
HEMS: dict[str, Range] = {
    "cropped": (0.92, 1.08), "hip": (1.15, 1.45), "tunic": (1.48, 1.66),
    "mini": (1.78, 2.1), "midi": (2.2, 2.6), "maxi": (2.8, 3.2),
}


# --- tops and dresses -----------------------------------------------------------------------

# half width, depth and roundness of the neckline
NECKS = {
    "crew": (0.18, 0.10, -0.24), "v-neck": (0.17, 0.36, 0.02), "scoop": (0.24, 0.25, -0.24),
    "polo": (0.15, 0.15, -0.05), "henley": (0.17, 0.11, -0.24), "button-up": (0.14, 0.16, 0.0),
    "turtleneck": (0.16, 0.04, -0.2), "shift": (0.22, 0.10, -0.22), "a-line": (0.23, 0.20, -0.22),
    "skater": (0.22, 0.26, -0.2), "slip": (0.27, 0.30, -0.1), "shirt-dress": (0.14, 0.18, 0.0),
}
# half widths of waist and hem against the chest
FLARES = {
    "shift": ((0.95, 1.02), (1.0, 1.25)),
    "a-line": ((0.86, 0.96), (1.4, 1.9)),
    "skater": ((0.68, 0.8), (1.7, 2.4)),
    "slip": ((0.82, 0.95), (1.05, 1.5)),
    "shirt-dress": ((0.86, 1.0), (1.05, 1.4)),
}
# how far the buttons run below the neckline; 9 is down to the hem
BUTTONED = {"polo": 0.32, "henley": 0.36, "button-up": 9.0, "shirt-dress": 9.0}
COLLARED = {"polo", "button-up", "shirt-dress"}


def top(rng: np.random.Generator, kind: str, sleeve: str, hem: str) -> list[Piece]:
    """T-shirt, longsleeve or dress: body, sleeves, neckline and trimmings."""
    u = rng.uniform
    neck, depth, roundness = NECKS[kind]
    neck, depth = neck * u(0.88, 1.15), depth * u(0.85, 1.25)
    length = u(*HEMS[hem])
    chest = u(0.41, 0.54)
    waist, flare = FLARES.get(kind, ((0.92, 1.03), (0.93, 1.12)))
    waist, flare = chest * u(*waist), chest * u(*flare) * (1.1 if hem == "maxi" else 1)
    shoulder = u(neck + 0.04, neck + 0.12) if sleeve == "none" else u(0.47, 0.53)
    waist_y = u(0.7, 0.9)
    neckline = curve((0, depth, roundness), (neck, -0.05, 0))
    armhole = (-0.02, -0.14) if sleeve == "none" else (0.04, -0.05)
    side = curve((neck, -0.05, 0.01), (shoulder, *armhole), (chest, 0.42, -0.03),
                 (waist, min(waist_y, length - 0.15), 0.04 if flare > 1.4 * chest else 0.0),
                 (flare, length, u(0.0, 0.05)),
                 (0, length + u(-0.02, 0.07) * min(flare, 0.6), 0))
    body = Piece(symmetric(np.concatenate([neckline, side])))
    body.folds = _body_folds(rng, chest, flare, waist_y, length)
    body.seams = [symmetric(neckline * [1.2, 1] + [0, 0.045]),
                  curve((-flare, length - 0.06, -0.02), (flare, length - 0.06, 0))]
    inside = np.concatenate([curve((0, u(-0.03, 0.02), -0.08), (neck, -0.06, 0)), neckline[::-1]])
    pieces = [Piece(symmetric(inside), "inside")]
    under, over = _sleeves(rng, sleeve, shoulder, chest)
    pieces += [*under, body, *_neck_trim(u, kind, neck, depth, neckline)]
    _front(u, kind, body, depth, length, chest)
    if kind in FLARES and (kind == "skater" or u() < 0.4):
        pieces.append(_belt(u, waist, min(waist_y, length - 0.15)))
    return pieces + over


def _body_folds(rng, chest: float, flare: float, waist_y: float, length: float) -> list[Points]:
    """Pulls from the armpits, loose wrinkles, and pleats where the hem is wide."""
    u = rng.uniform
    folds = []
    for side in (-1, 1):
        for _ in range(rng.integers(1, 4)):
            reach = u(0.1, 0.32)
            start = (side * chest * 0.95, u(0.38, 0.5), u(-0.12, 0.12))
            folds.append(curve(start, (side * (chest - reach), u(0.45, 0.95), 0)))
    for _ in range(rng.integers(2, 6)):
        x, y, tall = u(-0.8 * chest, 0.8 * chest), u(0.5, 0.95), u(0.15, 0.45)
        end = (x + 0.9 * tall * u(-1, 1), y + tall, 0)
        folds.append(curve((x, y, u(-0.15, 0.15)), end))
    pleats = int(rng.integers(4, 9) * min(1.6, flare / chest) - 3)
    for x in np.linspace(-0.85, 0.85, max(pleats, 2)) + u(-0.06, 0.06, max(pleats, 2)):
        crotchy = max(waist_y + u(0.02, 0.2), length - u(0.3, 1.4))
        folds.append(curve((x * chest * 0.8, crotchy, u(-0.03, 0.03)), (x * flare, length, 0)))
    return folds


def _sleeves(rng, sleeve: str, shoulder: float, chest: float) -> tuple[list, list]:
    """Both sleeves, as (pieces under the body, pieces folded over it)."""
    if sleeve == "none":
        return [], []
    u = rng.uniform
    reach, spread, cuff = u(*SLEEVES[sleeve]), u(0.12, 0.95), u(0.5, 1.0)
    contrast = "trim" if u() < 0.2 else "main"
    under, over = [], []
    for side in (-1, 1):
        crossed = sleeve == "long" and u() < 0.16
        angle = u(0.3, 0.5) if crossed else np.clip(spread + u(-0.22, 0.22), 0.08, 1.15)
        bend = -u(1.6, 2.4) if crossed else u(-0.25, 0.25) * (sleeve != "short")
        pieces = _sleeve(rng, reach, angle, bend, cuff, (shoulder, chest), sleeve, contrast)
        pieces = [piece.moved(mirrored=side < 0) for piece in pieces]
        (over if crossed else under).extend(pieces)
    return under, over


def _sleeve(rng, reach, angle, bend, cuff, body, sleeve, contrast) -> list[Piece]:
    """The right sleeve: from shoulder and armpit along the arm, with a cuff where it has one."""
    u = rng.uniform
    shoulder, chest = body
    upper, lower = angle, angle + bend
    start = np.array([(shoulder + chest) / 2 - 0.05, 0.2])
    elbow = start + 0.52 * min(1, reach / 0.5) * np.array([np.sin(upper), np.cos(upper)])
    along = np.array([np.sin(lower), np.cos(lower)])
    across = np.array([along[1], -along[0]])
    wrist = elbow + (max(0.0, reach - 0.5) * 1.1 + 0.02) * along
    wide = 0.2 - (0.2 - 0.085) * reach * cuff
    upper_edge = [(shoulder - 0.12, 0.01), (shoulder + 0.01, 0.05),
                  elbow + across * (wide + 0.02), wrist + across * wide]
    lower_edge = [(chest - 0.06, 0.43), elbow - across * (wide + 0.02), wrist - across * wide]
    edge = [spline(np.array(e), closed=False) for e in (upper_edge, lower_edge)]
    main = Piece(np.concatenate([edge[0], edge[1][::-1]]), contrast, -upper, tone=-0.03)
    for _ in range(rng.integers(1, 4)):
        at = start + (elbow - start) * u(0.2, 1.0)
        main.folds.append(curve((*(at + across * wide * u(-1, 0.6)), u(-0.2, 0.2)),
                                (*(at - across * wide * u(0.2, 1) + along * u(-0.1, 0.2)), 0)))
    hem = np.array([wrist + across * wide, wrist - across * wide])
    main.seams = [hem - along * 0.05]
    ribbed = sleeve == "long" and cuff > 0.72
    trim = _cuff(hem, along, across, ribbed) if ribbed or sleeve == "rolled" else []
    for piece in trim:
        piece.cloth, piece.grain = contrast, -lower if ribbed else 0.4 - upper
    return [main, *trim]


def _cuff(hem: Points, along: Points, across: Points, ribbed: bool) -> list[Piece]:
    """A ribbed band below the hem of a sleeve, or the roll of a rolled-up one above it."""
    if not ribbed:
        band = np.concatenate([hem + [across * 0.02, -across * 0.02],
                               (hem + [across * 0.025, -across * 0.025])[::-1] - along * 0.12])
        return [Piece(band, tone=0.04, seams=[hem - along * 0.045])]
    ribs = [np.array([p, p + along * 0.1]) for p in np.linspace(hem[0], hem[1], 6)[1:-1]]
    lower_edge = hem.mean(0) + (hem - hem.mean(0)) * 0.9 + along * 0.1
    return [Piece(np.concatenate([hem, lower_edge[::-1]]), tone=-0.05, seams=ribs)]


def _neck_trim(u: Draw, kind: str, neck: float, depth: float, neckline: Points) -> list[Piece]:
    """Collar, rolled neck, or sometimes a band in the second colour."""
    if kind in COLLARED:
        leaf = curve((0, depth - 0.01, -0.03), (neck - 0.03, -0.1, 0.1), (neck + 0.03, -0.04, 0),
                     (u(0.14, 0.24), depth + u(0.06, 0.14), 0.02), (0, depth - 0.01, 0))
        cloth = "trim" if u() < 0.25 else "main"
        return [Piece(leaf, cloth, 0.6, 0.05), Piece(leaf * [-1, 1], cloth, -0.6, 0.05)]
    if kind == "turtleneck":
        band = symmetric(curve((0, -u(0.16, 0.24), 0.02), (neck * 0.92, -0.2, -0.05),
                               (neck + 0.02, 0.0, 0.1), (0, 0.06, 0)))
        ribs = [np.array([(x, -0.2), (x, 0.06)]) for x in np.linspace(-neck, neck, 8)]
        return [Piece(band, "main", 0.0, 0.03, seams=ribs)]
    if kind in ("crew", "v-neck", "scoop") and u() < 0.35:
        outer = neckline * [1.2, 1] + [0, 0.05]
        ring = np.concatenate([symmetric(outer), symmetric(neckline)[::-1]])
        return [Piece(ring, "trim", 0.0, 0.0)]
    return []


def _front(u: Draw, kind: str, body: Piece, depth: float, length: float, chest: float) -> None:
    """Buttons, a chest pocket or a printed badge on the body."""
    if kind in BUTTONED:
        end = min(depth + BUTTONED[kind], length - 0.08)
        body.seams += [np.array([(x, depth), (x, end)]) for x in (-0.045, 0.045)]
        for y in np.arange(depth + 0.09, end, 0.17):
            body.ornaments.append(("button", ellipse(0, y, 0.02, 0.02)))
    elif kind in ("crew", "v-neck") and u() < 0.3:
        shape = ellipse(0, 0, 1, 1) if u() < 0.5 else np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
        body.ornaments.append(("trim", shape * u(0.08, 0.17, 2) + [0, depth + u(0.28, 0.4)]))
    if kind in ("crew", "polo", "button-up", "shirt-dress") and u() < 0.4:
        x, y, w = chest * u(0.4, 0.5), u(0.34, 0.42), u(0.08, 0.11)
        pocket = np.stack([[-1, 1, 1, 0, -1, -1], [0, 0, 0.2, 0.24, 0.2, 0]], 1)
        body.seams.append(pocket * [w, 1] + [x, y])


def _belt(u: Draw, waist: float, y: float) -> Piece:
    band = symmetric(curve((0, y - 0.05, 0), (waist * 1.02, y - 0.05, 0.03),
                           (waist * 1.02, y + 0.05, 0), (0, y + 0.05, 0)))
    belt = Piece(band, "main" if u() < 0.5 else "trim", 0.0, -0.08)
    if u() < 0.5:
        belt.ornaments.append(("button", ellipse(0, y, 0.06, 0.045)))
    return belt


# --- pants and shorts -----------------------------------------------------------------------

# half width of the hem against the thigh
LEG_SHAPES = {
    "skinny": (0.42, 0.55), "straight": (0.7, 0.85), "wide": (1.0, 1.35),
    "jogger": (0.5, 0.62), "jeans": (0.6, 0.9), "tailored": (0.85, 1.0),
    "sport": (0.95, 1.15), "denim": (0.85, 1.0), "cargo": (0.85, 1.1),
}
INSEAM = 1.75


def trousers(rng: np.random.Generator, kind: str, _sleeve: str, hem: str) -> list[Piece]:
    """Pants or shorts: two legs, a waistband, pockets."""
    u = rng.uniform
    waist, hip, rise = u(0.33, 0.42), u(0.45, 0.52), u(0.5, 0.66)
    reach = u(*LEGS[hem]) * INSEAM
    spread, shape = u(-0.04, 0.2), u(*LEG_SHAPES[kind])
    thigh = hip / 2 * 1.02
    width = thigh * (1 + (shape - 1) * max(0.15, reach / INSEAM))
    pieces = []
    for side in rng.permutation([-1, 1]):
        angle, knee = spread + u(-0.07, 0.07), u(-0.05, 0.05)
        leg = _leg(rng, (waist, hip, rise), reach, width, angle, knee)
        leg = [leg, *_leg_details(u, kind, leg, (waist, hip, rise), reach)]
        pieces += [piece.moved(mirrored=side < 0) for piece in leg]
    return [*pieces, _waistband(u, kind, waist, rise)]


def _leg(rng, hips: tuple[float, float, float], reach, width, angle, knee) -> Piece:
    """The right leg with its half of the seat, turned out at the hip by `angle` (rad)."""
    u = rng.uniform
    waist, hip, rise = hips
    down, crotch = np.array([np.sin(angle), np.cos(angle)]), np.array([hip / 2, rise])
    across = np.array([down[1], -down[0]])
    foot, middle = (crotch + down * reach / part + across * knee for part in (1, 2))
    bulk = (width + hip / 2) / 2
    outer = spline(np.array([(waist, 0.0), (hip, rise * 0.75), middle + across * bulk,
                             foot + across * width]), closed=False)
    inner = np.array([foot - across * width, middle - across * bulk, (0.0, rise)])
    inner = spline(inner, closed=False) if reach > 0.5 else inner[[0, 2]]
    front = curve((0.0, rise, -0.05), (-0.03, rise * 0.5, 0), (-0.03, 0.0, 0))
    leg = Piece(np.concatenate([outer, inner, front[1:]]), "main", -angle)
    hem = np.array([foot + across * width, foot - across * width])
    leg.seams = [hem - down * 0.06]
    for _ in range(rng.integers(2, 5)):
        start = (u(0.02, 0.1), rise * u(0.85, 1.05), u(-0.1, 0.1))
        leg.folds.append(curve(start, (u(0.15, 0.4), rise * u(0.7, 1.1) + u(0, 0.25), 0)))
    for at in u(0.25, 0.95, rng.integers(1, 5)):
        point = crotch + down * reach * at
        left, right = point - across * width * u(0, 0.9), point + across * width * u(0, 0.9)
        leg.folds.append(curve((*left, u(-0.2, 0.2)), (*(right + down * u(-0.2, 0.2)), 0)))
    return leg


def _leg_details(u: Draw, kind: str, main: Piece, hips, reach: float) -> list[Piece]:
    """Crease, pockets, side stripe; returns the turned-up or ribbed cuff where there is one."""
    waist, hip, rise = hips
    hem = main.seams[0]
    down = np.array([np.sin(-main.grain), np.cos(main.grain)])
    if kind in ("jeans", "denim", "straight"):
        main.seams.append(curve((waist * 0.45, 0.06, -0.2), (hip * 0.97, rise * 0.45, 0)))
    if kind == "tailored":
        main.seams.append(np.array([(waist * 0.5, 0.08), hem.mean(0) + down * 0.06]))
    if kind in ("sport", "jogger") and u() < 0.6:
        outer = main.outline[4:19]
        stripe = np.concatenate([outer, outer[::-1] - [0.07, 0]])
        main.ornaments.append(("trim", stripe))
    if kind == "cargo":
        x, y = hip * 0.7, rise + reach * 0.25
        flap = np.array([(x - 0.13, y), (x + 0.1, y), (x + 0.1, y + 0.28), (x - 0.13, y + 0.28)])
        main.seams += [np.concatenate([flap, flap[:1]]), flap[:2] + [0, 0.08]]
    if kind == "jogger" or (kind in ("jeans", "denim", "cargo") and u() < 0.4):
        grow = 0.82 if kind == "jogger" else 1.04
        edge = (hem - hem.mean(0)) * grow + hem.mean(0)
        band = np.concatenate([edge + down * (0.06 if kind != "jogger" else 0.13),
                               edge[::-1] - down * 0.05])
        return [Piece(band, "main", main.grain + 0.3, 0.07)]
    return []


def _waistband(u: Draw, kind: str, waist: float, rise: float) -> Piece:
    """The band on top of both legs, with the fly below and loops, button or drawstring."""
    band = symmetric(curve((0, 0.01, 0.0), (waist + 0.005, -0.02, 0), (waist + 0.02, 0.09, 0.02),
                           (0, 0.12, 0)))
    piece = Piece(band, "trim" if u() < 0.12 else "main", 0.0, -0.06)
    if kind in ("sport", "jogger"):
        piece.seams = [np.array([(x, 0), (x, 0.11)]) for x in np.linspace(-waist, waist, 11)]
        for x in (-0.03, 0.03):
            cord = tube([(x, 0.06), (x * 1.6, 0.17), (x * u(1, 4), u(0.26, 0.36))], [0.014] * 3)
            piece.ornaments.append(("button", cord))
    else:
        for x in (-0.6, -0.25, 0.25, 0.6):
            loop = np.array([(-0.014, -0.02), (0.014, -0.02), (0.014, 0.12), (-0.014, 0.12)])
            piece.ornaments.append(("shade", loop + [x * waist, 0]))
        piece.ornaments.append(("button", ellipse(0.02, 0.055, 0.022, 0.022)))
    return piece
