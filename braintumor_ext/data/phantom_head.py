"""A synthetic head with or without a tumour, as a function of space.

Tissues are painted, one over the other, where the signed distances to ellipsoids, tubes and folded sheets say so, and
only at the points that are asked for. Space is in mm: +x the right of the screen, +y anterior, +z superior, the origin
near the middle of the brain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from braintumor_ext.classes import CLASSES
from braintumor_ext.data.phantom_shapes import Array, Noise, blend, column, ellipsoid, mirror, norm, paint, tube

_SELLA = (0.0, 13.0, -27.0)
_CEREBRUM = ((0.0, -4.0, 8.0), (65.0, 81.0, 62.0))
_BONE = 7.0


@dataclass(frozen=True)
class Tumour:
    """One tumour; lengths in mm."""

    kind: str  # its class name
    centre: NDArray[np.float64]  # x, y, z
    radius: float
    stretch: NDArray[np.float64]  # the ratio of each axis to the radius
    level: float  # signal of the enhancing part, scalp fat being about 0.9
    core: float  # radius of the necrotic core as a share of the radius (glioma)
    falx_side: int  # -1 or 1 for a meningioma that sits on that side of the falx, 0 elsewhere
    noise: Noise  # the unevenness of its border, of its core and of its signal

    def distance(self, p: Array, cavity: Array, noise: Array) -> Array:
        """Return the distance of points (3, N) to the tumour's border, (N,) in mm; negative inside.

        ``cavity`` is their distance to the inner table of the skull in mm, ``noise`` the tumour's noise, both (N,).
        """
        axes = [self.radius * s for s in self.stretch]
        distance = ellipsoid(p, self.centre, axes)
        if self.kind == "glioma":
            return np.maximum(distance - 0.13 * self.radius * noise, cavity + 4)
        if self.kind == "meningioma":
            distance = np.maximum(distance - 0.04 * self.radius * noise, cavity + 0.8)
            return np.maximum(distance, 0.6 - p[0] * self.falx_side) if self.falx_side else distance
        x, y, z = self.centre
        # A macroadenoma's waist: the sellar part, and the part that has grown up through the diaphragm.
        upper = ellipsoid(p, (x, y - 1, z + 0.95 * self.radius), [0.72 * a for a in axes])
        return blend(distance, upper, 4) - 0.05 * self.radius * noise


@dataclass(frozen=True)
class Head:
    """One synthetic patient: all that its slices share; lengths in mm."""

    class_name: str
    scale: NDArray[np.float64]  # size along x, y, z relative to the mean head
    zoom: float  # size of the head in the picture
    tilt: NDArray[np.float64]  # how the head lies in the scanner: rotation about x, y, z in radians
    scalp: float  # its thickness
    gap: float  # width of the fluid between dura and brain
    ventricles: float  # their calibre relative to the mean
    levels: dict[str, float]  # signal of each tissue
    warp: tuple[Noise, ...]  # three fields that bend the whole anatomy
    folds: Noise  # the field whose zero level is the sulci
    texture: Noise  # mixes fat and muscle, air cells and mucosa, vessels
    target: NDArray[np.float64]  # what the slices pass near: the tumour's centre, or where one could be
    spread: float  # how far from it they may pass
    tumour: Tumour | None  # none for the empty class

    def anatomical(self, p: Array) -> Array:
        """Return where the points ``p``, (3, N) in mm of this head, lie in the mean head."""
        return p / column(self.scale) + 1.8 * np.stack([field(p) for field in self.warp])

    def render(self, p: Array) -> tuple[Array, NDArray[np.bool_]]:
        """Return the signal, (N,), and whether there is tumour, (N,), at the points ``p`` of the mean head, (3, N)."""
        signal = np.full(p.shape[1], self.levels["air"], dtype=np.float32)
        mask = np.zeros(p.shape[1], dtype=bool)
        surface = head_distance(p, self.scalp)
        inside = surface < 2
        if not inside.any():
            return signal, mask
        p, surface = p[:, inside], surface[inside]
        canvas, cavity = signal[inside], cavity_distance(p)
        grain = self.texture(p)
        _paint_face(canvas, p, surface, cavity, grain, self)
        brain = cavity < 2
        part = canvas[brain]
        _paint_brain(part, _displaced(p[:, brain], self.tumour), cavity[brain], grain[brain], self)
        canvas[brain] = part
        _paint_sella(canvas, p, self)
        if self.tumour is not None:
            mask[inside] = _paint_tumour(canvas, p, cavity, self.tumour)
        signal[inside] = canvas
        return signal, mask


def cavity_distance(p: Array) -> Array:
    """Return the distance in mm from points (3, N) to the inside of the skull and the spinal canal; negative inside."""
    half = mirror(p)
    vault = _cerebrum(p)
    temporal = ellipsoid(half, (39, 5, -20), (23, 35, 23))
    posterior = ellipsoid(p, (0, -48, -30), (53, 38, 32))
    canal = tube(p, [(0, -20, -25, 14), (0, -33, -64, 9), (0, -38, -100, 7.5), (0, -40, -170, 7)])
    return blend(blend(blend(vault, temporal, 6), posterior, 6), canal, 4)


def _cerebrum(p: Array) -> Array:
    """Distance to the vault over the cerebrum: an egg, wider behind, with a flat floor."""
    x, y, z = p
    (_, _, middle), _ = _CEREBRUM
    low = z < middle
    return ellipsoid(
        np.stack([x * (1 + 0.0016 * (y + 4)), y, np.where(low, middle + (z - middle) * 1.75, z)]), *_CEREBRUM
    )


def head_distance(p: Array, scalp: float = 6.0) -> Array:
    """Return the distance in mm from points (3, N) to the skin over a scalp so thick; negative inside the head."""
    half = mirror(p)
    vault = blend(_cerebrum(p), ellipsoid(p, (0, -48, -30), (55, 40, 34)), 12)
    vault = blend(vault, ellipsoid(half, (37, 6, -16), (24, 40, 26)), 16) - (_BONE + scalp)
    cheek = ellipsoid(half, (38, 10, -72), (30, 46, 46))
    face = ellipsoid(p, (0, 44, -58), (62, 48, 62))
    jaw = blend(ellipsoid(p, (0, 52, -108), (42, 38, 26)), ellipsoid(half, (38, 20, -90), (18, 26, 30)), 14)
    neck = ellipsoid(p, (0, -34, -120), (60, 58, 100))
    nose = tube(p, [(0, 90, -30, 6), (0, 104, -58, 9), (0, 94, -66, 12)])
    lips = tube(p, [(0, 84, -86, 9), (0, 84, -94, 9)])
    ears = ellipsoid(half, (75, -14, -38), (7, 15, 22))
    distance = blend(blend(blend(vault, cheek, 16), face, 14), blend(jaw, neck, 16), 16)
    for part, seam in ((nose, 9.0), (lips, 8.0), (ears, 4.0)):
        distance = blend(distance, part, seam)
    return distance


def _paint_face(canvas: Array, p: Array, surface: Array, cavity: Array, grain: Array, head: Head) -> None:
    """Paint all that lies outside the brain: skin, fat, muscle, bone, air spaces and eyes."""
    level, half = head.levels, mirror(p)
    x, _, z = half
    paint(canvas, surface, level["skin"])
    paint(canvas, surface + 1.5, level["fat"])
    fibres = head.texture(p * column((2.1, 1.2, 0.9)) + 90)
    muscle = np.clip(0.72 - 0.16 * grain - 0.16 * fibres, 0.2, 1) * np.clip(-(surface + head.scalp) / 6, 0, 1)
    paint(canvas, surface + head.scalp, 0.85 * level["fat"] + muscle * (level["muscle"] - 0.85 * level["fat"]))
    # Thin muscles under the scalp at the temples and long ones in the nape.
    paint(canvas, np.maximum(ellipsoid(half, (66, 26, -12), (12, 32, 34)), surface + 3), level["muscle"])
    paint(canvas, ellipsoid(half, (20, -62, -108), (17, 15, 60)), level["muscle"] * 0.9)
    paint(canvas, ellipsoid(half, (44, -30, -105), (12, 18, 60)), level["muscle"])
    paint(canvas, tube(p, [(0, -14, -72, 9), (0, -16, -170, 10)]), 0.42 + 0.16 * np.sign(np.sin(z * 0.3)))
    paint(canvas, ellipsoid(half, (50, 16, -78), (8, 17, 30)), level["muscle"])
    paint(canvas, ellipsoid(half, (26, 16, -66), (10, 16, 22)), level["muscle"])
    mandible = tube(half, [(47, 2, -52, 4), (43, 12, -92, 6), (22, 62, -108, 6), (0, 74, -110, 7)])
    paint(canvas, mandible, 0.08)
    paint(canvas, mandible + 2.5, level["marrow"] * 1.6)
    paint(canvas, tube(half, [(24, 40, -80, 3), (12, 74, -78, 3), (0, 80, -78, 3)]), level["marrow"])
    paint(canvas, ellipsoid(p, (0, 50, -96), (24, 28, 15)), level["muscle"] * 1.2 + 0.03 * fibres)
    bone = 0.07 + (level["marrow"] - 0.07) * np.clip(1.6 - np.abs(cavity - _BONE / 2) / 1.3, 0, 1)
    paint(canvas, cavity - _BONE, bone)
    paint(canvas, ellipsoid(half, (54, -32, -42), (13, 15, 16)), 0.1 + 0.22 * (grain > 0.6))
    # The clivus: marrow between the sphenoid sinus and the pons.
    paint(canvas, tube(p, [(0, 2, -36, 5), (0, -12, -60, 4)]), level["marrow"] * 1.5)
    _paint_orbits(canvas, half, head)
    cells = np.where(grain > 0.75, level["mucosa"], 0.05)
    paint(canvas, ellipsoid(half, (6, 54, -36), (8, 24, 13)), cells)
    paint(canvas, ellipsoid(half, (8, 84, -8), (9, 4, 11)), 0.05)
    for centre, axes in (((25, 50, -60), (13, 16, 16)), ((7, 29, -42), (10, 12, 9))):
        cave = ellipsoid(half, centre, axes)
        paint(canvas, cave - 1.2, level["mucosa"])
        paint(canvas, cave, 0.04)
    turbinates = np.where(np.sin(z * 0.55 + x * 0.5) > 0.1, level["mucosa"], 0.05)
    paint(canvas, ellipsoid(p, (0, 58, -62), (12, 28, 13)), turbinates)
    paint(canvas, np.maximum(np.abs(p[0]) - 1, ellipsoid(p, (0, 60, -60), (5, 30, 18))), level["mucosa"])
    paint(canvas, tube(p, [(0, 24, -62, 6), (0, 10, -82, 6), (0, 8, -130, 6)]), 0.04)
    paint(canvas, tube(p, [(0, 84, -89, 1), (0, 30, -79, 1.5)]), 0.05)


def _paint_orbits(canvas: Array, half: Array, head: Head) -> None:
    """Paint the orbital fat with eye, lens, optic nerve and straight muscles."""
    level = head.levels
    orbit = tube(half, [(31, 68, -28, 17), (24, 50, -28, 13), (13, 28, -27, 5)])
    paint(canvas, orbit - 2, 0.1)
    paint(canvas, orbit, level["fat"])
    paint(canvas, tube(half, [(43, 64, -28, 2.5), (32, 44, -28, 3), (15, 28, -27, 2)]), level["muscle"] * 1.3)
    paint(canvas, tube(half, [(20, 66, -28, 2.5), (16, 44, -28, 3), (12, 28, -27, 2)]), level["muscle"] * 1.3)
    paint(canvas, tube(half, [(31, 64, -28, 2.2), (10, 24, -25, 2.2)]), level["grey"])
    eye = ellipsoid(half, (32, 73, -28), (12, 12, 12))
    paint(canvas, eye, level["muscle"] * 1.2)
    paint(canvas, eye + 1.5, level["fluid"] * 1.3)
    paint(canvas, ellipsoid(half, (32.5, 80, -28), (5, 2.5, 5)), level["grey"])


def _displaced(p: Array, tumour: Tumour | None) -> Array:
    """Return where brain tissue at ``p`` was before the tumour pushed it aside."""
    if tumour is None:
        return p
    q = p - column(tumour.centre)
    share = np.float32(tumour.radius**3) / (norm(q) ** 3 + 1)
    return column(tumour.centre) + q * np.cbrt(np.maximum(1 - 0.45 * share, 0.05))


def _paint_brain(canvas: Array, p: Array, cavity: Array, grain: Array, head: Head) -> None:
    """Paint what lies inside the skull, but for sella and tumour; ``p`` is where the tumour pushed the tissue from."""
    level, half = head.levels, mirror(p)
    x, y, z = half
    paint(canvas, cavity, level["fluid"])
    tent = -5 + 0.30 * np.minimum(y + 40, 0) - 0.008 * x * x
    pia = _pia_depth(p, cavity, tent, head)
    grey_share = np.clip((3.4 - pia) / 1.6, 0, 1)
    tissue = level["white"] + grey_share * (level["grey"] - level["white"]) + 0.008 * grain
    paint(canvas, -pia, tissue)
    inner = np.float32(pia > 0)
    for centre, axes in (((11, -9, 6), (9, 14, 9)), ((25, 6, 5), (5, 16, 10)), ((13, 20, 14), (5, 9, 7))):
        paint(canvas, ellipsoid(half, centre, axes), canvas + inner * 0.8 * (level["grey"] - canvas), edge=3)
    _paint_midline(canvas, p, cavity, tent, head)
    _paint_ventricles(canvas, p, head)
    _paint_hindbrain(canvas, p, cavity, tent, head)
    # Vessels: enhanced where they run in the fluid, and the great sinuses in the dura.
    vessel = np.clip((grain - 1.75) * 4, 0, 1) * np.clip(1 - np.abs(pia) / 2.5, 0, 1)
    canvas += vessel * (level["vessel"] - canvas) * (cavity < -1)
    ridge = np.abs(x) * 0.9 + np.maximum(-cavity - 0.5, 0) - 3.8
    paint(canvas, np.maximum(ridge, 12 - z - 2 * np.maximum(-y - 40, 0)), level["vessel"])
    paint(canvas, np.maximum(np.abs(cavity + 2) - 2.5, np.maximum(np.abs(z - tent) - 3, y + 45)), level["vessel"])


def _pia_depth(p: Array, cavity: Array, tent: Array, head: Head) -> Array:
    """Return how deep points lie below the surface of the cerebrum, its folds included, in mm; negative outside."""
    half = mirror(p)
    x, y, z = half
    temporal = ellipsoid(half, (39, 5, -20), (23, 35, 23))
    hull = np.maximum(np.minimum(_cerebrum(p), temporal), cavity)
    depth = -np.maximum(hull + head.gap, tent - z + 1 - 2 * np.maximum(y + 22, 0))
    # Sulci run inwards: a field that hardly changes along the radius has a zero level that stands on the surface.
    q = (p - column((0, -4, 0))) / column((66, 82, 66))
    radius = norm(q)
    field = head.folds(q / radius * 72 * (0.6 + 0.4 * radius))
    reach = 17 + 4 * head.folds(0.6 * p + 50)
    sulci = np.maximum(
        np.abs(field) * 3.4 - np.clip(0.2 + head.gap * 0.55 - 0.04 * depth, 0.1, 2), 0.7 * (depth - reach)
    )
    sheet = np.maximum(x - 0.4 - 0.3 * head.gap, _callosum_outside(y, z))
    sylvian = np.maximum(np.abs(z - 2 + 0.22 * y) - 0.6 * head.gap, np.maximum(36 - x, np.abs(y + 4) - 32))
    insula = np.maximum(np.abs(x - 36.5) - 0.5 * head.gap, np.maximum(np.abs(z - 3) - 11, np.abs(y) - 22))
    return np.minimum.reduce([depth, sulci, sheet, sylvian, insula]).astype(np.float32)


def _callosum_outside(y: Array, z: Array) -> Array:
    """Negative where the two hemispheres are apart: outside the arch of the corpus callosum, seen from the side."""
    return (1 - np.sqrt(((y + 2) / 39) ** 2 + ((z - 4) / 26) ** 2)) * 30


def _paint_midline(canvas: Array, p: Array, cavity: Array, tent: Array, head: Head) -> None:
    """Paint the corpus callosum, the falx and the fluid below it."""
    level = head.levels
    x, y, z = p
    across = np.stack([np.sign(x) * np.maximum(np.abs(x) - 10, 0), y, z])
    arch = [(0, 26, 2, 2), (0, 33, 10, 5), (0, 22, 23, 3.5), (0, -8, 28, 3), (0, -30, 23, 4), (0, -37, 15, 5)]
    paint(canvas, tube(across, arch), level["white"] * 1.06)
    falx = np.maximum(np.abs(x) - 0.5, np.maximum(_callosum_outside(y, z) + 7, tent - z))
    paint(canvas, np.maximum(falx, cavity), level["dura"])
    paint(canvas, np.maximum(np.abs(z - tent - 0.3) - 0.7, np.maximum(y + 34, cavity)), level["dura"])


def _paint_ventricles(canvas: Array, p: Array, head: Head) -> None:
    """Paint the lateral and third ventricles and the cisterns around the midbrain."""
    level, half, v = head.levels, mirror(p), head.ventricles
    x, _, z = half
    body = [(15, 33, 8, 2.5 * v), (9, 22, 14, 4.5 * v), (8, 2, 20, 4 * v), (14, -22, 19, 5 * v), (24, -36, 12, 6.5 * v)]
    horns = blend(tube(half, [*body, (27, -58, 8, 2.5 * v)]), tube(half, [body[-1], (36, -14, -16, 2 * v)]), 3)
    paint(canvas, np.maximum(horns, 1.2 - x), level["fluid"])
    paint(canvas, ellipsoid(half, (22, -35, 12), (3, 5, 3)), level["mucosa"] * 0.8)
    third = np.maximum(x - 1.6 * v, ellipsoid(p, (0, -2, 0), (10, 13, 12)))
    paint(canvas, third, level["fluid"])
    # Suprasellar and ambient cisterns.
    paint(canvas, ellipsoid(half, (0, 11, -17), (15, 10, 6)), level["fluid"])
    ambient = np.abs(ellipsoid(p, (0, -18, -12), (19, 17, 14))) - 1.5
    paint(canvas, np.maximum(ambient, np.maximum(z + 2, -z - 24)), level["fluid"])
    paint(canvas, ellipsoid(p, (0, -42, 4), (7, 6, 7)), level["fluid"])
    paint(canvas, np.maximum(tube(half, [(0, 10, -17, 2), (8, 16, -19, 2)]), -z - 21), level["white"])


def _paint_hindbrain(canvas: Array, p: Array, cavity: Array, tent: Array, head: Head) -> None:
    """Paint cerebellum, brainstem and fourth ventricle."""
    level = head.levels
    x, y, z = p
    body = ellipsoid(p, (0, -49, -30), (51, 36, 30)) + head.gap
    body = np.maximum(np.maximum(body, z - tent + 1.5), np.maximum(cavity + head.gap, y + 16))
    # Folia: leaves that lie around the fourth ventricle like the shells of an onion.
    shells = np.sqrt((0.7 * x) ** 2 + (y + 30) ** 2 + (1.1 * (z + 30)) ** 2)
    folia = np.cos(shells * 1.7 + 2.2 * head.folds(1.1 * p))
    leaf = level["grey"] + 0.03 + 0.035 * folia - 0.05 * (folia < -0.8) * (body > -16)
    paint(canvas, body, leaf)
    paint(canvas, ellipsoid(mirror(p), (20, -42, -34), (17, 12, 9)), level["white"], edge=6)
    stem = [(0, -12, 0, 9), (0, -16, -14, 12), (0, -14, -29, 14.5), (0, -22, -44, 10), (0, -33, -66, 6.5)]
    paint(canvas, tube(p, [*stem, (0, -38, -100, 5), (0, -40, -170, 5)]), level["white"] * 0.95)
    fourth = ellipsoid(p, (0, -33, -33), (7 * head.ventricles**0.5, 4.5, 10))
    paint(canvas, fourth, level["fluid"])


def _paint_sella(canvas: Array, p: Array, head: Head) -> None:
    """Paint the normal pituitary gland with its stalk, the cavernous sinuses and the carotid arteries."""
    level, half = head.levels, mirror(p)
    x, y, z = _SELLA
    paint(canvas, ellipsoid(half, (12, y - 1, z - 2), (4.5, 9, 5.5)), level["mucosa"])
    paint(canvas, ellipsoid(half, (12, y + 1, z - 2), (2.2, 5, 2.2)), 0.06)
    paint(canvas, ellipsoid(p, (x, y, z - 1), (6.5, 5, 3.2)), level["mucosa"])
    paint(canvas, tube(p, [(0, y - 1, z, 1.1), (0, y - 3, z + 12, 1.1)]), level["mucosa"])


def _paint_tumour(canvas: Array, p: Array, cavity: Array, tumour: Tumour) -> NDArray[np.bool_]:
    """Paint the tumour with what surrounds it and return where it is: the enhancing part and all within, no oedema."""
    noise = tumour.noise(p)
    distance = tumour.distance(p, cavity, noise)
    if tumour.kind == "glioma":
        finger = np.clip(0.5 - (distance - 0.42 * tumour.radius * (1 + 0.45 * noise)) / 5, 0, 1)
        canvas -= finger * (cavity < -3) * 0.42 * np.clip(canvas - 0.14, 0, 0.35)
        paint(canvas, distance, tumour.level * (1 + 0.08 * noise), edge=2.2)
        paint(canvas, distance + (1 - tumour.core) * tumour.radius + 1.2 * noise, 0.17 + 0.025 * noise, edge=2.5)
    elif tumour.kind == "meningioma":
        tail = np.maximum(np.abs(cavity + 1.5) - 1.8, distance - 0.55 * tumour.radius)
        paint(canvas, tail, 0.9 * tumour.level)
        paint(canvas, np.maximum(distance - 1.4, cavity), 0.18)
        paint(canvas, distance, tumour.level * (1 + 0.02 * noise))
    else:
        paint(canvas, distance, tumour.level * (1 + 0.06 * noise))
    return distance < 0


def _draw_tumour(rng: np.random.Generator, kind: str) -> Tumour:
    """Draw a tumour at a place where its class grows."""
    radius = {"glioma": rng.uniform(13, 20), "meningioma": rng.uniform(12, 19), "pituitary": rng.uniform(11, 15)}[kind]
    side, falx_side = int(rng.choice([-1, 1])), 0
    if kind == "glioma":
        while True:
            centre = np.array([side * rng.uniform(14, 44), rng.uniform(-58, 48), rng.uniform(-6, 46)])
            if _cerebrum(column(centre.tolist()))[0] < -(radius + 4):
                break
    elif kind == "meningioma":
        middle, axes = np.array(_CEREBRUM)
        if rng.random() < 0.35:
            falx_side = side
            angle = rng.uniform(0.1, 0.85) * np.pi
            centre = middle + axes * 0.78 * np.array([0, np.cos(angle), np.sin(angle)])
            centre[0] = side * 0.65 * radius
        else:
            direction = np.array([side * rng.uniform(0.45, 1.2), rng.uniform(-0.9, 0.9), rng.uniform(0.05, 0.9)])
            direction /= np.linalg.norm(direction)
            normal = direction / axes / np.linalg.norm(direction / axes)
            centre = middle + axes * direction - 0.6 * radius * normal
    else:
        centre = np.array(_SELLA) + rng.uniform((-2, -1, -1), 2)
    stretch = rng.uniform(0.92, 1.08, 3) if kind != "glioma" else rng.uniform(0.85, 1.15, 3)
    level = {"glioma": (0.80, 1.0), "meningioma": (0.72, 0.88), "pituitary": (0.64, 0.84)}[kind]
    return Tumour(
        kind=kind,
        centre=centre,
        radius=float(radius),
        stretch=stretch,
        level=float(rng.uniform(*level)),
        core=float(rng.uniform(0.68, 0.80)),
        falx_side=falx_side,
        noise=Noise.draw(rng, 1.5 * radius, 14),
    )


def draw_head(rng: np.random.Generator, class_name: str) -> Head:
    """Draw one synthetic patient."""
    if class_name not in CLASSES:
        raise ValueError(f"class_name must be one of {CLASSES.names}, not {class_name!r}")
    means = {
        "air": 0.0, "skin": 0.5, "fat": 0.9, "muscle": 0.3, "marrow": 0.32, "fluid": 0.11, "grey": 0.33,
        "white": 0.43, "dura": 0.6, "vessel": 0.85, "mucosa": 0.68,
    }  # fmt: skip
    levels = {tissue: float(mean * rng.uniform(0.92, 1.08)) for tissue, mean in means.items()}
    scale, tilt = rng.uniform(0.93, 1.07, 3), rng.normal(0, 0.05, 3)
    # A healthy head is cut where a tumour could have been: the place of the slice must not tell the class.
    tumours = list(CLASSES.tumours)
    kind = class_name if class_name != CLASSES.empty else tumours[int(rng.integers(len(tumours)))]
    tumour = _draw_tumour(rng, kind)
    warp = tuple(Noise.draw(rng, 120, 5) for _ in range(3))
    # The inverse of ``Head.anatomical`` to first order: the bending is slow.
    centre = column(tumour.centre)
    bend = 1.8 * np.concatenate([field(centre * column(scale)) for field in warp])
    return Head(
        class_name=class_name,
        scale=scale,
        zoom=float(rng.uniform(0.93, 1.08)),
        tilt=tilt,
        scalp=float(rng.uniform(4, 8)),
        gap=float(rng.uniform(1.0, 2.4)),
        ventricles=float(rng.uniform(0.7, 1.5)),
        levels=levels,
        warp=warp,
        folds=Noise.draw(rng, 27, 24),
        texture=Noise.draw(rng, 13, 14),
        target=(centre[:, 0] - bend) * scale,
        spread=0.4 * tumour.radius,
        tumour=tumour if class_name != CLASSES.empty else None,
    )
