"""A photograph of an anatomy: light, pigment and blood multiplied, then developed like a camera does.

Everything here is an exponent of light, so that layers add up: what absorbs is negative (Beer and Lambert's
law), what reflects is positive. The camera turns light into values by 1 - exp(-light), whose soft shoulder
gives the flat, saturated red of real fundus photographs.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from retina_core.phantom.anatomy import Anatomy, Plane
from retina_core.phantom.camera import Camera
from retina_core.phantom.palette import Colour, Palette
from retina_core.phantom.raster import Drawing
from retina_core.phantom.stains import Stains, stained
from retina_core.phantom.streams import Streams
from retina_core.phantom.texture import fractal, grain, ridges, streaks

BLUR = 0.0013
"""Of lens and eye, standard deviation as a share of the picture's side."""

NOISE = 0.012
"""Of the sensor, standard deviation in a value of [0, 1] at full resolution."""


@dataclass(frozen=True)
class Scene:
    """What is photographed: landmarks, vessels and colours, and the grids that the layers are computed on."""

    anatomy: Anatomy
    camera: Camera
    palette: Palette
    artery: Drawing
    vein: Drawing
    streams: Streams
    image_px: int
    stains: Stains | None = None
    """The lesions, if there are any."""


def photograph(scene: Scene) -> NDArray[np.uint8]:
    """The picture (h w 3), black outside the field of view."""
    fov = scene.camera.fov(scene.image_px)
    fundus, vessels = _fundus(scene), _vessels(scene)  # c h w
    exponent = stained(fundus, vessels, scene.stains) if scene.stains else fundus + vessels
    value = _sense(scene, 1 - np.exp(-np.exp(exponent)))
    edge = scene.camera.edge(scene.image_px)
    picture = np.rint(np.clip(value, 0, 1) * edge * 255).astype(np.uint8)
    picture[:, ~fov] = 0
    return np.ascontiguousarray(picture.transpose(1, 2, 0))


def _fundus(scene: Scene) -> Plane:
    """Everything but blood, as exponents (c h w)."""
    x, y = scene.camera.eye_coordinates(scene.image_px)
    exponent = _exponent(scene.palette.fundus) + _light(scene) + _pigment(scene, x, y)
    return np.asarray(exponent + _sheen(scene, x, y) + _disc(scene, x, y), dtype=np.float32)


def _light(scene: Scene) -> Plane:
    """Vignette, slope, patches, and a bluish crescent (c h w)."""
    x, y = scene.camera.frame(scene.image_px)
    palette, rng = scene.palette, scene.streams("light", 0)
    rim = np.hypot(x, y)
    # A flash that is not quite centred darkens one side of the rim first.
    off = np.hypot(x - rng.uniform(-0.2, 0.2), y - rng.uniform(-0.2, 0.2))
    fall = off**2.4 + 0.3 * np.clip(rim - 0.86, 0, None) / 0.14
    light = 0.1 + palette.vignette * (0.25 - fall)
    light = light + palette.tilt[0] * x + palette.tilt[1] * y
    light = light + palette.cloud * fractal(rng, 3, 2, scene.image_px, fall=0.45)
    # Measured in CHASE_DB1 on these exponents, smoothed over a tenth of the picture: red varies 1.26 times as
    # much as green, so that a dark side turns brown.
    lit = light * _colour((1.26, 1.0, 0.9))
    if palette.flare:
        angle = rng.uniform(0, 2 * np.pi)
        crescent = np.clip(np.hypot(x + 0.35 * np.cos(angle), y + 0.35 * np.sin(angle)) - 0.9, 0, None)
        lit = lit + palette.flare * crescent * _colour((-1.0, 1.5, 6.0))
    return np.asarray(lit, dtype=np.float32)


def _pigment(scene: Scene, x: Plane, y: Plane) -> Plane:
    """Choroid, pigment epithelium and macular pigment (c h w)."""
    palette, size = scene.palette, scene.image_px
    mottle = palette.mottle * _grains(scene)
    choroid = scene.streams("texture", 1)
    bands = ridges(fractal(choroid, 13, 2, size, fall=0.35), 0.45) - 0.42
    patches = 0.75 + 0.4 * grain(choroid, 4, size)
    bands = palette.tessellation * bands * np.clip(patches, 0, 1.5)
    coarse = 0.45 * palette.cloud * fractal(scene.streams("texture", 2), 11, 3, size, fall=0.7)
    to_fovea = np.hypot(x - scene.anatomy.fovea[0], (y - scene.anatomy.fovea[1]) * 1.1)
    macula = np.exp(-((to_fovea / 1.5) ** 2)) + 0.7 * np.exp(-((to_fovea / 0.42) ** 2))
    return np.asarray(
        mottle * _colour((0.7, 1.0, 0.8))
        + bands * _colour((1.3, 0.8, 0.4))
        + coarse * _colour((1.2, 0.35, 0.2))
        - palette.macula * macula * _colour((0.75, 0.8, 0.5)),
        dtype=np.float32,
    )


def _grains(scene: Scene) -> Plane:
    """The fundus's own grain (h w): soft mottling and, in pictures large enough, fine granules."""
    rng = scene.streams("texture", 0)
    mottling = fractal(rng, 24, 2, scene.image_px, fall=0.8)
    return np.float32(0.6) * mottling + fractal(rng, 96, 3, scene.image_px, fall=1.1)


def _sheen(scene: Scene, x: Plane, y: Plane) -> Plane:
    """The nerve fibre layer's whitish stripes and glints, thickest above and below the disc (c h w)."""
    rng, strength = scene.streams("texture", 3), scene.palette.sheen
    radius = np.asarray(np.hypot(x, y) / 6, dtype=np.float32)
    # Fibres bend around the macula: rays that turn with distance, upwards above the raphe and downwards below
    # it.
    angle: Plane = np.arctan2(y, x)
    angle = np.asarray(angle - 0.09 * np.sin(angle) * np.clip(x, 0, 5), dtype=np.float32)
    fine, broad = streaks(rng, angle, radius, 260, 7), streaks(rng, angle, radius, 90, 12)
    patches = np.clip(fractal(rng, 6, 3, scene.image_px, fall=0.7) - 0.6, 0, 1.5)
    bundle = np.sin(angle) ** 2 * np.exp(-(((radius - 0.33) / 0.28) ** 2))
    glints = np.clip(0.35 + 0.25 * fine + 0.35 * broad, -0.3, 1.3) * (0.22 + patches) * bundle
    return np.asarray(strength * glints * _colour((0.85, 1.0, 1.0)), dtype=np.float32)


def _disc(scene: Scene, x: Plane, y: Plane) -> Plane:
    """The disc's rim and cup over the fundus, and the ring around it (c h w)."""
    anatomy, palette = scene.anatomy, scene.palette
    inside = anatomy.disc.distance(x, y)
    depth = anatomy.cup.distance(x, y)
    disc, cup = _soft(inside, 0.032), _soft(depth, 0.09)
    # Between edge and cup the rim thins and brightens.
    slope = np.exp(-np.clip(-depth, 0, None) / 0.2) * (1 - cup)
    ring = (1 - disc) * np.exp(-np.clip(-inside, 0, None) / 0.22)
    # The temporal rim is paler, the nasal one pinker and covered by more fibres.
    pale = 0.16 * np.clip(x / anatomy.disc.width, -1, 1) * disc
    mottle = 0.07 * fractal(scene.streams("texture", 4), 18, 3, scene.image_px, fall=0.7) * disc
    lift = _exponent(palette.rim) - _exponent(palette.fundus)
    deeper = _exponent(palette.cup) - _exponent(palette.rim)
    rim = lift * disc * (0.86 + 0.14 * np.clip(inside / 0.3, 0, 1))
    rim = rim + (pale + mottle) * _colour((0.5, 1.0, 1.2))
    around = palette.halo * ring * _colour((0.6, 1.0, 0.8))
    return np.asarray(rim + deeper * (cup + 0.3 * slope * disc) + around, dtype=np.float32)


def _vessels(scene: Scene) -> Plane:
    """What blood absorbs, and the light reflex on it (c h w)."""
    palette = scene.palette
    vein, artery = scene.vein.blood * palette.vein, scene.artery.blood * palette.artery
    # An artery crosses over a vein in a common sheath, and hides it.
    blood = np.maximum(vein * _colour((0.55, 1.0, 0.6)), artery * _colour((0.34, 1.0, 0.7)))
    under_artery = 1 - np.clip(scene.artery.blood * 1.5, 0, 1)
    reflex = palette.reflex * (scene.artery.reflex + 0.45 * scene.vein.reflex * under_artery)
    return np.asarray(reflex * _colour((0.45, 0.8, 0.3)) - blood, dtype=np.float32)


def _sense(scene: Scene, value: Plane) -> Plane:
    """The lens's blur and the sensor's noise on values (c h w) in [0, 1].

    Both belong to the camera's own pixels, so a small picture, which averages many of them, shows less.
    """
    blur_px = BLUR * scene.image_px
    if blur_px > 0.3:
        value = gaussian_filter(value, (0, blur_px, blur_px), truncate=2.5)
    noise = scene.streams("sensor", 0).standard_normal(value.shape, dtype=np.float32)
    strength = NOISE * min(1.0, scene.image_px / 640) ** 0.5
    return np.asarray(value + strength * noise * _colour((0.9, 0.8, 1.0)), dtype=np.float32)


def _soft(distance: Plane, width: float) -> Plane:
    """A step from 0 outside an outline to 1 inside it, about 4 ``width`` (mm) wide."""
    return np.asarray(0.5 + 0.5 * np.tanh(distance / (2 * width)), dtype=np.float32)


def _exponent(colour: Colour) -> Plane:
    """The exponent of the light that is developed into a colour (c 1 1)."""
    return np.log(-np.log1p(-_colour(colour)))


def _colour(colour: Colour) -> Plane:
    return np.array(colour, dtype=np.float32)[:, None, None]
