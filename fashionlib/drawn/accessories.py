"""Hats, shoes and the things garments hang on, for the drawn catalog (see `outlines`)."""

from dataclasses import replace

import numpy as np

from fashionlib.drawn.outlines import Draw, Piece, Points, curve, ellipse, spline, symmetric, tube

# Outlines read best as rows of points.
# fmt: off


def hat(rng: np.random.Generator, kind: str, _sleeve: str, _hem: str) -> list[Piece]:
    """A cap, beanie, sun hat, fedora or bucket hat seen from the front or the side."""
    return HATS[kind](rng)


def _cap(rng: np.random.Generator) -> list[Piece]:
    u = rng.uniform
    tall, visor, drop = u(0.46, 0.6), u(0.3, 0.48), u(0.02, 0.14)
    dome = Piece(spline([(-0.5, 0.02), (-0.49, -0.25 * tall / 0.5), (-0.28, -0.88 * tall),
                         (0.02, -tall), (0.3, -0.86 * tall), (0.46, -0.35 * tall), (0.5, 0.0),
                         (0.25, 0.09), (-0.2, 0.1)]))
    dome.seams = [curve((0.03, -tall, 0.1), (0.34, 0.06, 0)),
                  curve((0.0, -tall, -0.16), (-0.24, 0.09, 0)),
                  curve((-0.48, -0.03, -0.06), (0.48, -0.03, 0))]
    dome.folds = [curve((-0.4, -0.1, 0.2), (-0.2, -0.3 * u(0.5, 1.2), 0)),
                  curve((0.0, -0.25, -0.2), (u(-0.1, 0.2), -0.06, 0))]
    dome.ornaments = [("shade", ellipse(0.02, -tall, 0.035, 0.022))]
    if u() < 0.55:
        mark = ellipse(0.24, -0.27, *u(0.06, 0.12, 2))
        dome.ornaments.append(("trim", mark if u() < 0.6 else spline(mark[::5])))
    brim = Piece(spline([(0.1, 0.03), (0.32, -0.06), (0.5, -0.02),
                         (0.5 + 0.7 * visor, 0.03 + drop), (0.52 + visor, 0.1 + drop),
                         (0.45 + visor * 0.6, 0.13 + drop), (0.4, 0.12), (0.2, 0.11)]),
                 "trim" if u() < 0.35 else "main", 0.1, -0.08)
    brim.seams = [[0.42, 0.07] + (brim.outline - [0.42, 0.07]) * 0.8]
    return [dome, brim]


def _beanie(rng: np.random.Generator) -> list[Piece]:
    u = rng.uniform
    tall, slouch, fold = u(0.62, 0.95), u(-0.2, 0.2), u(0.2, 0.3)
    dome = Piece(spline([(-0.46, 0.0), (-0.47, -0.3 * tall), (-0.33 + slouch / 2, -0.8 * tall),
                         (slouch, -tall), (0.33 + slouch / 2, -0.8 * tall), (0.47, -0.3 * tall),
                         (0.46, 0.0), (0.0, 0.06)]))
    dome.seams = [curve((x, 0, 0.02), (0.75 * x + slouch / 2, -0.6 * tall, x * 0.2),
                        (0.15 * x + slouch, -0.97 * tall, 0)) for x in np.linspace(-0.38, 0.38, 9)]
    cuff = Piece(spline([(-0.5, -fold / 2), (-0.47, -fold), (0.0, -fold + 0.05), (0.47, -fold),
                         (0.5, -fold / 2), (0.47, 0.08), (0.0, 0.13), (-0.47, 0.08)]),
                 "trim" if u() < 0.2 else "main", np.pi / 2 * (u() < 0.2), 0.05)
    cuff.seams = [np.array([(x, -fold), (x * 1.02, 0.12)]) for x in np.linspace(-0.45, 0.45, 15)]
    if u() < 0.3:
        cuff.ornaments = [("trim", np.array([(0.1, -0.12), (0.27, -0.13), (0.27, 0), (0.1, 0.01)]))]
    pieces = [dome, cuff]
    if u() < 0.4:
        turn = np.linspace(0, 2 * np.pi, 22, endpoint=False)
        radius = u(0.13, 0.2) * (1 + 0.14 * rng.uniform(-1, 1, 22))
        ball = np.stack([np.cos(turn), np.sin(turn)], 1) * radius[:, None] + [slouch, -tall - 0.08]
        pieces.insert(0, Piece(spline(ball), "trim" if u() < 0.4 else "main"))
    return pieces


def _brimmed(rng, brim: tuple[float, float], crown: Points, band_y: tuple[float, float],
             dip: float) -> list[Piece]:
    """Brim ellipse, crown on top of it and a ribbon round its foot."""
    u = rng.uniform
    (wide, deep), (high, low), tilt = brim, band_y, u(-0.06, 0.06)
    rim = ellipse(0, 0.02, wide, deep)
    rim[:, 1] += dip * (rim[:, 0] / wide) ** 2 + tilt * rim[:, 0]
    base = Piece(rim, tone=-0.04, seams=[rim * 0.93, rim * 0.86])
    base.folds = [curve((x, 0.03, 0.1), (1.5 * x, deep * u(0.5, 0.9), 0))
                  for x in u(-0.5, 0.5, rng.integers(2, 5))]
    half = np.abs(crown[crown[:, 1] > high - 0.08][:, 0]).max()
    band = Piece(np.concatenate([curve((-half, high, -0.06), (half, high, 0)),
                                 curve((half + 0.012, low, 0.09), (-half - 0.012, low, 0))]),
                 "trim" if u() < 0.8 else "main", 0.0, -0.06)
    if u() < 0.3:
        band.ornaments = [("shade", np.array([(half - 0.1, low), (half - 0.02, high + 0.03),
                                              (half + 0.02, low + 0.02)]))]
    return [base, Piece(crown, tone=0.04), band]


def _sunhat(rng: np.random.Generator) -> list[Piece]:
    u = rng.uniform
    tall = u(0.36, 0.48)
    crown = spline([(-0.34, 0.05), (-0.32, -0.5 * tall), (-0.2, -0.92 * tall), (0, -tall),
                    (0.2, -0.92 * tall), (0.32, -0.5 * tall), (0.34, 0.05), (0, 0.13)])
    return _brimmed(rng, (u(0.66, 0.84), u(0.15, 0.27)), crown, (-0.1, 0.04), u(-0.05, 0.14))


def _fedora(rng: np.random.Generator) -> list[Piece]:
    u = rng.uniform
    tall, pinch = u(0.42, 0.52), u(0.02, 0.08)
    crown = spline([(-0.36, 0.04), (-0.33, -0.5 * tall), (-0.25, -0.95 * tall),
                    (-0.05, -tall + pinch), (0.2, -tall), (0.31, -0.6 * tall), (0.36, 0.04),
                    (0, 0.1)])
    pieces = _brimmed(rng, (u(0.58, 0.7), u(0.13, 0.2)), crown, (-0.12, 0.03), u(-0.16, -0.04))
    pieces[1].folds = [curve((-0.05, -tall + pinch, 0.12), (0.0, -0.45 * tall, 0)),
                       curve((0.24, -0.8 * tall, 0.2), (0.2, -0.4 * tall, 0))]
    return pieces


def _bucket(rng: np.random.Generator) -> list[Piece]:
    u = rng.uniform
    tall, flare, skirt = u(0.36, 0.48), u(0.14, 0.26), u(0.2, 0.3)
    crown = Piece(symmetric(curve((0, -tall - 0.04, 0.03), (0.27, -tall, 0.14), (0.38, 0.0, 0.0),
                                  (0, 0.06, 0))), tone=0.03)
    crown.seams = [curve((-0.27, -tall + 0.04, -0.1), (0.27, -tall + 0.04, 0)),
                   curve((0.1, -tall, 0.02), (0.16, 0.05, 0))]
    brim = Piece(symmetric(curve((0, 0.03, 0.0), (0.38, -0.04, -0.02), (0.38 + flare, skirt, 0.05),
                                 (0.2, skirt + 0.12, 0.04), (0, skirt + 0.13, 0))), tone=-0.05)
    brim.seams = [curve((-0.38 - flare * k, skirt * k, -0.1), (0.38 + flare * k, skirt * k, 0))
                  for k in np.linspace(0.25, 0.9, 4)]
    brim.folds = [curve((x, 0.05, 0), (x * 1.5, skirt + 0.05, 0)) for x in u(-0.35, 0.35, 3)]
    return [crown, brim]


HATS = {"cap": _cap, "beanie": _beanie, "sun hat": _sunhat, "fedora": _fedora, "bucket": _bucket}

# --- shoes ----------------------------------------------------------------------------------


def shoes(rng: np.random.Generator, kind: str, _sleeve: str, _hem: str) -> list[Piece]:
    """One shoe from the side, a pair from the side, or (flat kinds) a pair from above."""
    u = rng.uniform
    view = u()
    if kind in ("sneaker", "loafer", "pump") and view < 0.3:
        return _pair_from_above(u, kind)
    front = SHOES[kind](u)
    if view < 0.55:
        return front
    # the second shoe is the same shape, a step behind and sometimes turned round
    turned, step = u() < 0.35, np.array([u(-0.25, 0.25), -u(0.14, 0.3)])
    back = (piece.moved(step, turned) for piece in front)
    return [*(replace(piece, tone=piece.tone - 0.06) for piece in back), *front]


def _sneaker(u: Draw) -> list[Piece]:
    ankle, thick = u(-0.44, -0.34) - (0.2 if u() < 0.3 else 0), u(0.07, 0.12)
    toe = u(-0.17, -0.12)
    upper = Piece(spline([(-0.48, 0.0), (-0.49, -0.2), (-0.46, ankle), (-0.34, ankle + 0.05),
                          (-0.18, ankle - 0.03), (-0.08, ankle + 0.03), (0.12, -0.25),
                          (0.33, toe - 0.02), (0.48, -0.08), (0.5, 0.02), (0.0, 0.04)]))
    upper.seams = [curve((0.22, -0.22, 0.2), (0.3, 0.02, 0)),
                   curve((-0.1, ankle + 0.06, -0.1), (-0.02, -0.1, 0.0), (0.18, -0.16, 0)),
                   curve((-0.47, -0.2, -0.15), (-0.26, 0.0, 0))]
    upper.folds = [curve((0.2, -0.19, 0.2), (0.3, -0.06, 0))]
    for k in np.linspace(0.05, 0.95, 4):
        x, y = -0.1 + 0.25 * k, ankle + 0.06 + (-0.22 - ankle) * k
        upper.ornaments.append(("lace", tube([(x - 0.05, y + 0.07), (x, y + 0.02), (x + 0.05, y)],
                                             [0.014] * 3)))
    if u() < 0.6:
        swoosh = [(-0.3, -0.05), (-0.1, -0.1), (0.12, -0.14)]
        upper.ornaments.append(("trim", tube(swoosh, [0.035, 0.03, u(0.005, 0.03)])))
    inside = Piece(ellipse(-0.27, ankle + 0.03, 0.19, 0.06), "inside")
    sole = Piece(spline([(-0.51, -0.03), (-0.52, thick - 0.02), (-0.4, thick + 0.02),
                         (0.1, thick + 0.02), (0.42, thick), (0.55, 0.02), (0.53, -0.05),
                         (0.3, 0.0), (-0.2, 0.0)]), "sole")
    sole.seams = [curve((-0.5, thick * 0.5, 0), (0.5, thick * 0.5, 0))]
    return [inside, upper, sole]


def _boot(u: Draw) -> list[Piece]:
    shaft, heel, wide = -u(0.5, 1.0), u(0.06, 0.2), u(0.0, 0.06)
    upper = Piece(spline([(-0.44, 0.0), (-0.46, -0.18), (-0.4, -0.36), (-0.43 - wide, shaft),
                          (-0.25, shaft + 0.03), (-0.04 + wide, shaft), (-0.06, -0.42),
                          (0.08, -0.28), (0.35, -0.2), (0.48, -0.08), (0.48, 0.02), (0.0, 0.03)]))
    upper.seams = [curve((-0.4, -0.36, -0.1), (-0.05, -0.33, 0)),
                   curve((0.2, -0.25, 0.2), (0.26, 0.02, 0))]
    upper.folds = [curve((-0.38, y, -0.1), (-0.12, y + u(-0.06, 0.06), 0))
                   for y in u(shaft * 0.8, -0.3, 3)]
    if u() < 0.5:
        upper.seams.append(curve((-0.22, shaft + 0.04, 0), (-0.2, -0.05, 0)))
    else:
        for y in np.linspace(shaft + 0.08, -0.3, 5):
            upper.ornaments.append(("lace", tube([(-0.13, y + 0.04), (-0.02, y)], [0.014] * 2)))
    inside = Piece(ellipse(-0.24, shaft + 0.015, 0.19 + wide, 0.04), "inside")
    sole = Piece(np.concatenate([curve((-0.47, 0.0, 0), (-0.44, heel + 0.05, 0),
                                       (-0.2, heel + 0.05, 0.0), (-0.15, 0.06, -0.06),
                                       (0.1, 0.07, 0.02), (0.5, 0.05, 0.1), (0.51, -0.02, 0),
                                       (-0.47, -0.01, 0))]), "sole")
    return [inside, upper, sole]


def _pump(u: Draw) -> list[Piece]:
    heel, pointed, stem = u(0.24, 0.46), u(0.0, 0.08), u(0.025, 0.07)
    back = -0.1 - heel
    upper = Piece(spline([(-0.44, back + 0.2), (-0.47, back + 0.02), (-0.43, back - 0.08),
                          (-0.33, back + 0.04), (-0.12, -0.1 - heel * 0.35), (0.12, -0.12),
                          (0.24, -0.16), (0.4, -0.09), (0.5 + pointed, 0.0), (0.2, 0.03),
                          (-0.05, -0.08 * heel / 0.3), (-0.28, back + 0.2)]))
    upper.folds = [curve((0.1, -0.08, 0.1), (0.2, 0.0, 0))]
    upper.seams = [upper.outline[14:36] + [0.01, 0.025]]
    inside = Piece(spline([(-0.43, back - 0.05), (-0.25, back + 0.02), (0.02, -0.19 - heel * 0.15),
                           (0.2, -0.16), (0.0, -0.1), (-0.25, back + 0.12)]), "inside")
    post = Piece(np.array([(-0.45, back + 0.12), (-0.25, back + 0.16), (-0.37 + stem, 0.04),
                           (-0.38 - stem * 0.4, 0.04)]), "main", 0.0, -0.12)
    sole = Piece(tube([(-0.26, back + 0.2), (-0.05, -0.05 * heel / 0.3), (0.15, 0.035),
                       (0.5 + pointed, 0.02)], [0.018, 0.018, 0.022, 0.008]), "sole")
    if u() < 0.3:
        upper.ornaments.append(("button", ellipse(0.22, -0.12, 0.06, 0.035)))
    return [inside, post, upper, sole]


def _loafer(u: Draw) -> list[Piece]:
    heel, top = u(0.05, 0.1), u(-0.33, -0.26)
    upper = Piece(spline([(-0.46, 0.0), (-0.48, -0.17), (-0.45, top), (-0.36, top + 0.06),
                          (-0.12, top + 0.12), (-0.02, top), (0.1, top + 0.01), (0.32, -0.17),
                          (0.48, -0.08), (0.5, 0.01), (0.0, 0.03)]))
    upper.seams = [curve((0.02, top + 0.04, 0.12), (0.4, -0.06, 0)),
                   curve((-0.08, top + 0.08, -0.1), (0.06, 0.0, 0))]
    strap = tube([(-0.05, -0.06), (0.02, -0.17), (0.14, top + 0.06)], [0.045, 0.035, 0.03])
    upper.ornaments = [("shade", strap)]
    if u() < 0.5:
        upper.ornaments.append(("button", ellipse(0.07, -0.2, 0.05, 0.03)))
    inside = Piece(ellipse(-0.24, top + 0.06, 0.2, 0.06), "inside")
    sole = Piece(curve((-0.48, -0.01, 0), (-0.47, heel, 0), (-0.2, heel, 0), (-0.17, 0.05, 0),
                       (0.1, 0.05, 0), (0.46, 0.04, 0.1), (0.52, -0.01, 0), (-0.48, -0.01, 0)),
                 "sole")
    return [inside, upper, sole]


def _pair_from_above(u: Draw, kind: str) -> list[Piece]:
    slim = {"pump": 0.78, "loafer": 0.95, "sneaker": 1.02}[kind]
    gap, mouth = u(0.19, 0.27), u(-0.08, 0.02) + (0.1 if kind == "pump" else 0)
    tip = u(0.12, 0.2) if kind != "pump" else u(0.03, 0.1)
    pieces = []
    for side in (-1, 1):
        turn, slide = side * u(-0.12, 0.2), u(-0.06, 0.06)
        spin = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])

        def place(points, side=side, spin=spin, slide=slide):
            return (np.asarray(points) * [side * slim, 1]) @ spin + [side * gap, slide]

        outline = [(-0.1, 0.46), (-0.14, 0.3), (-0.13, 0.0), (-0.17, -0.25), (-tip, -0.42),
                   (-0.02, -0.5), (tip, -0.42), (0.18, -0.22), (0.13, 0.05), (0.14, 0.3),
                   (0.1, 0.46), (0.0, 0.5)]
        shoe = spline(place(outline))
        hole = spline(place([(-0.09, 0.4), (-0.1, 0.15), (-0.07, mouth), (0.0, mouth - 0.03),
                             (0.07, mouth), (0.1, 0.15), (0.09, 0.4), (0.0, 0.45)]))
        upper = Piece(shoe, "main", -turn)
        upper.seams = [place(curve((-0.13, -0.33, 0.15), (0.13, -0.33, 0))),
                       place(curve((0.0, 0.45, 0), (0.0, 0.5, 0)))]
        if kind == "sneaker":
            centre = shoe.mean(0)
            pieces.append(Piece(centre + (shoe - centre) * [1.14, 1.04], "sole"))
            upper.ornaments = [("lace", tube(place([(-0.06, y), (0.06, y - 0.01)]), [0.012] * 2))
                               for y in np.linspace(mouth - 0.04, -0.26, 5)]
        elif kind == "loafer":
            strap = place([(-0.13, mouth - 0.1), (0, mouth - 0.13), (0.13, mouth - 0.1)])
            upper.ornaments = [("shade", tube(strap, [0.035] * 3))]
        pieces += [upper, Piece(hole, "inside", tone=0.05)]
    return pieces


SHOES = {"sneaker": _sneaker, "boot": _boot, "pump": _pump, "loafer": _loafer}

# --- what things hang on --------------------------------------------------------------------

_HOOK = np.array([(0, 0), (0, -0.14), (0.05, -0.18), (0.06, -0.25), (0, -0.29), (-0.06, -0.25)])
PROPS = {
    "hanger": [
        Piece(tube(_HOOK + [0, -0.02], [0.014] * 6), "metal"),
        Piece(tube([(-0.4, 0.09), (-0.2, 0.02), (0, -0.045), (0.2, 0.02), (0.4, 0.09)],
                   [0.03] * 5), "wood"),
    ],
    "clip hanger": [
        Piece(tube(_HOOK + [0, -0.1], [0.014] * 6), "metal"),
        Piece(tube([(-0.36, -0.1), (0, -0.13), (0.36, -0.1)], [0.022] * 3), "wood"),
        *(Piece(tube([(x, -0.14), (x, 0.0)], [0.03, 0.045]), "metal") for x in (-0.25, 0.25)),
    ],
    "mannequin": [
        Piece(tube([(0, 0.5), (0, 4.2)], [0.035, 0.035]), "metal"),
        Piece(symmetric(curve((0, -0.34, 0.05), (0.1, -0.32, -0.04), (0.11, -0.1, -0.12),
                              (0.45, 0.06, 0.06), (0.4, 0.5, 0), (0, 0.7, 0))), "linen"),
        Piece(ellipse(0, -0.34, 0.11, 0.035), "wood"),
    ],
    "peg": [Piece(ellipse(0, -0.6, 0.07, 0.07), "wood"),
            Piece(tube([(-1.6, -0.62), (1.6, -0.62)], [0.07, 0.07]), "wood", tone=-0.15)],
    "stand": [Piece(tube([(0, 0), (0, 0.75)], [0.05, 0.05]), "wood"),
              Piece(ellipse(0, -0.02, 0.3, 0.24), "wood", tone=-0.1),
              Piece(ellipse(0, 0.76, 0.3, 0.07), "wood", tone=-0.05)],
}


def props(category: str, display: str) -> list[Piece]:
    """What stands or hangs behind the garment; nothing when it lies flat."""
    clips = display == "hanger" and category in ("pants", "shorts")
    return PROPS.get("clip hanger" if clips else display, [])
