"""What part of the retina a photograph shows, and how it lies in the picture."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from retina_core.phantom.anatomy import Anatomy, Plane

Side = Literal["left", "right"]


@dataclass(frozen=True)
class Camera:
    """A fundus camera aimed at one eye: a similarity between eye coordinates (mm) and the square picture."""

    side: Side
    centre: tuple[float, float]
    """The point of the retina in the middle of the picture, mm."""
    radius_mm: float
    """Of the field of view, on the retina."""
    tilt: float
    """Of the head, radians."""
    fill: float
    """The field of view's diameter as a share of the picture's side."""
    cut: float
    """Where the field of view is cut above and below, as a share of its radius; 1 leaves it round."""

    def pixels_per_mm(self, image_px: int) -> float:
        """How many pixels a millimetre of retina covers."""
        return image_px * self.fill / (2 * self.radius_mm)

    def frame(self, image_px: int) -> tuple[Plane, Plane]:
        """Every pixel centre relative to the picture's middle, in radii of the field of view: x, y (h w)."""
        axis = ((np.arange(image_px) + 0.5) / image_px - 0.5) * (2 / self.fill)
        x, y = np.meshgrid(axis.astype(np.float32), axis.astype(np.float32))
        return x, y

    def eye_coordinates(self, image_px: int) -> tuple[Plane, Plane]:
        """Every pixel centre in eye coordinates, mm: x, y (h w)."""
        x, y = self.frame(image_px)
        cosine, sine = np.float32(np.cos(self.tilt)), np.float32(np.sin(self.tilt))
        across = (x * cosine + y * sine) * self._mirror
        down = y * cosine - x * sine
        x_mm = across * self.radius_mm + self.centre[0]
        y_mm = down * self.radius_mm + self.centre[1]
        return x_mm.astype(np.float32), y_mm.astype(np.float32)

    def place(self, points: NDArray[np.float64], image_px: int) -> NDArray[np.float64]:
        """Eye coordinates (n 2), mm -> picture coordinates (n 2), x and y; pixel i's centre is i + 0.5."""
        x, y = self._framed(points[:, 0], points[:, 1])
        scale = image_px * self.fill / 2
        return np.stack([x * scale, y * scale], axis=1) + image_px / 2

    def sees(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether points in eye coordinates (mm) lie in the field of view."""
        across, down = self._framed(x, y)
        return (across**2 + down**2 <= 1) & (np.abs(down) <= self.cut)

    def way_out(
        self, x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The shortest way out of the field of view from points within: its length, mm, and its heading."""
        across, down = self._framed(x, y)
        to_rim, to_cut = 1 - np.hypot(across, down), self.cut - np.abs(down)
        cut_first = to_cut < to_rim
        out_x, out_y = np.where(cut_first, 0.0, across), np.where(cut_first, np.sign(down), down)
        cosine, sine = np.cos(self.tilt), np.sin(self.tilt)
        heading = np.arctan2(out_y * cosine - out_x * sine, (out_x * cosine + out_y * sine) * self._mirror)
        return np.minimum(to_rim, to_cut) * self.radius_mm, heading

    def quadrant(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.intp]:
        """Which quarter of the picture points in eye coordinates (mm) lie in: 0 to 3, by its two midlines."""
        across, down = self._framed(x, y)
        return np.asarray(2 * (down > 0) + (across > 0), dtype=np.intp)

    def fov(self, image_px: int) -> NDArray[np.bool_]:
        """The field of view (h w): the pixels whose centres the camera filled."""
        x, y = self.frame(image_px)
        return (x**2 + y**2 <= 1) & (np.abs(y) <= self.cut)

    def edge(self, image_px: int) -> Plane:
        """How much of each pixel (h w) the camera filled, about, in [0, 1]; at least half inside ``fov``."""
        x, y = self.frame(image_px)
        distance = np.minimum(1 - np.hypot(x, y), self.cut - np.abs(y)) * (image_px * self.fill / 2)
        return np.asarray(np.clip(distance + 0.5, 0, 1), dtype=np.float32)

    @property
    def _mirror(self) -> float:
        # In an upright photograph of a left eye the temple is on the right.
        return 1.0 if self.side == "left" else -1.0

    def _framed(
        self, x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        across = (x - self.centre[0]) * (self._mirror / self.radius_mm)
        down = (y - self.centre[1]) / self.radius_mm
        cosine, sine = np.cos(self.tilt), np.sin(self.tilt)
        return across * cosine - down * sine, across * sine + down * cosine


def draw_camera(rng: Generator, anatomy: Anatomy) -> Camera:
    """A camera whose field of view holds the disc and the fovea.

    Two of three look at the disc through 30 degrees, like CHASE_DB1's (Fraz et al., IEEE Trans. Biomed. Eng.
    59:2538, 2012), the others between disc and fovea through up to 45, like DRIVE's (Staal et al., IEEE
    Trans. Med. Imaging 23:501, 2004). A degree is 0.29 mm of retina (Bennett et al., Graefes Arch. 232:361,
    1994).
    """
    side: Side = "left" if rng.random() < 0.5 else "right"
    at_disc = rng.random() < 0.67
    degrees = rng.uniform(29, 34) if at_disc else rng.uniform(35, 45)
    aim = rng.uniform(0.0, 0.2) if at_disc else rng.uniform(0.3, 0.55)
    offset = rng.normal(0, 0.25, size=2)
    tilt = float(np.deg2rad(np.clip(rng.normal(0, 4), -9, 9)))
    fill = float(rng.uniform(0.94, 1.0))
    cut = float(rng.uniform(0.86, 0.97)) if rng.random() < 0.3 else 1.0
    radius = float(degrees) * 0.29 / 2

    centre = np.array(anatomy.fovea) * aim + np.clip(offset, -0.5, 0.5)
    to_fovea = np.array(anatomy.fovea) - centre
    # The fovea stays at least half a millimetre within the rim: every eye has all of its channels.
    excess = max(0.0, float(np.hypot(*to_fovea)) - (radius - 0.5))
    centre = centre + to_fovea / np.hypot(*to_fovea) * excess
    return Camera(side, (float(centre[0]), float(centre[1])), radius, tilt, fill, cut)
