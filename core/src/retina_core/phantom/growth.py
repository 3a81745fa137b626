"""Vessel trees grown from the disc: arcades, nasal vessels, and twigs that end short of the fovea.

All tips grow together, step by step. A tip turns towards the course of its vessel, wanders (more if it is
thin), gives way to what already grows ahead of it, and branches by Murray's law until it is too thin, has
lived its length, or leaves the field of view.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from retina_core.phantom.anatomy import FAZ_RADIUS_MM, Anatomy
from retina_core.phantom.camera import Camera
from retina_core.phantom.flow import flow_heading
from retina_core.phantom.tips import STEP_MM, STEPS, Course, Floats, Indices, Tips
from retina_core.phantom.vessels import Branching, VesselTree, branching_angles, remaining_radius

THINNEST = 0.0033
"""The thinnest vessel that is drawn, its radius as a share of the field of view's: what observers mark in
CHASE_DB1 ends at about 30 um of width, and a camera that sees more of the retina shows less of its twigs."""

CELL_MM = 0.1
"""Of the grid in which tips see each other."""

EDGE_MM = 0.15
"""How far from the foveal avascular zone every vessel ends, so that even its drawn width stays out."""


@dataclass(frozen=True)
class Shoot:
    """A branch that the disc's pattern calls for, rather than chance."""

    at_mm: float
    """Along the half that gives it off."""
    launch: float
    """The direction in which it leaves the disc, radians; 0 is temporal, the sign is the half's."""
    share: float
    """Its radius as a share of its parent's."""
    stream: float
    """How soon it bends towards the temple (see ``flow``), 1/mm."""
    course: Course = Course.FLOW


class Grower:
    """Grows the trees of one eye."""

    def __init__(self, rng: Generator, anatomy: Anatomy, camera: Camera) -> None:
        self.rng, self.anatomy, self.camera = rng, anatomy, camera
        self.tips = Tips()
        self.shoots: dict[int, list[Shoot]] = {}
        self.cells = math.ceil(2 * (camera.radius_mm + 0.6) / CELL_MM)
        self.occupied: NDArray[np.int16] = np.zeros((2, self.cells, self.cells), dtype=np.int16)
        self.thinnest_mm = THINNEST * camera.radius_mm
        self.avoided_mm = float(rng.uniform(1.5, 2.0))
        self.tortuosity = float(rng.uniform(0.7, 1.5))
        self.branching_mm = float(rng.uniform(0.23, 0.31)) * camera.radius_mm
        self.arcades = {sign: self._arcade_launches() for sign in (-1, 1)}

    def grow(self) -> VesselTree:
        """The trees of both kinds."""
        # The vein that all venules together amount to is about 0.2 mm wide (Knudtson et al., Curr. Eye Res.
        # 27:143, 2003); the widths of arteries and veins are read as 2:3 (Hubbard et al., Ophthalmology
        # 106:2269, 1999).
        vein = float(self.rng.uniform(0.094, 0.112))
        artery = vein * float(self.rng.uniform(0.64, 0.76))
        for kind, radius in enumerate((artery, vein)):
            self._root(kind, radius)
        for _ in range(STEPS):
            growing = self.tips.growing()
            if not growing.size:
                break
            self._steer(growing)
            self.tips.advance(growing)
            self._end(growing)
            self._branch(growing)
            self._occupy(growing)
        return self.tips.tree()

    # ---- the pattern at the disc

    def _arcade_launches(self) -> tuple[float, float]:
        """Where an arcade's artery and vein leave the disc: side by side, either nearer to the macula."""
        middle, apart = float(self.rng.uniform(0.85, 1.2)), float(self.rng.uniform(0.14, 0.36))
        lean = apart / 2 if self.rng.random() < 0.5 else -apart / 2
        return middle - lean, middle + lean

    def _root(self, kind: int, radius: float) -> None:
        """The central vessel's end in the cup, which forks into an upper and a lower half."""
        rng, tips, disc = self.rng, self.tips, self.anatomy.disc
        x = disc.width * float(rng.uniform(-0.22, 0.02)) + (0.06 if kind else -0.02)
        y = disc.height * float(rng.uniform(-0.1, 0.1))
        upward = -1 if rng.random() < 0.5 else 1
        upper = tips.add(x, y, upward * float(rng.uniform(1.1, 1.8)), radius, kind)
        self._pattern(upper, upward, kind)
        side = radius * float(rng.uniform(0.76, 0.82))
        lower = self._fork(upper, side, -upward * float(rng.uniform(1.1, 1.8)))
        self._pattern(lower, -upward, kind)

    def _pattern(self, half: int, sign: int, kind: int) -> None:
        """What one half becomes: its arcade and, before the disc's rim, nasal vessels and macular twigs."""
        rng, tips = self.rng, self.tips
        tips.launch[half] = sign * self.arcades[sign][kind]
        tips.stream[half] = float(rng.uniform(0.3, 0.5))
        tips.life[half] = np.inf

        def between(low: float, high: float) -> float:
            return float(rng.uniform(low, high))

        shoots = [
            Shoot(between(0.2, 0.4), sign * between(1.95, 2.35), between(0.6, 0.72), 0.04),
            Shoot(between(0.1, 0.25), sign * between(2.5, 3.05), between(0.4, 0.6), 0.0),
        ]
        if rng.random() < 0.6:
            shoots.append(Shoot(between(0.15, 0.35), sign * between(2.2, 3.0), between(0.3, 0.45), 0.0))
        if rng.random() < 0.7:
            shoots.append(Shoot(between(0.35, 0.7), sign * between(1.45, 1.8), between(0.45, 0.66), 0.12))
        for _ in range(int(rng.integers(1, 4))):
            at_mm, launch, share = between(0.1, 0.5), sign * between(0.05, 0.65), between(0.24, 0.4)
            shoots.append(Shoot(at_mm, launch, share, 0.3, Course.MACULAR))
        self.shoots[half] = sorted(shoots, key=lambda shoot: shoot.at_mm)
        tips.next_branching[half] = self.shoots[half][0].at_mm

    # ---- a step

    def _steer(self, growing: Indices) -> None:
        """Turn every tip: towards its course, by its wandering, away from what is ahead."""
        tips = self.tips
        thin = np.clip(1.25 - tips.radius[growing] / 0.06, 0.15, 1.0)
        astray = self._course(growing) - tips.heading[growing]
        # A thin vessel that has turned back would curl up; it ends instead.
        tips.life[growing[(np.cos(astray) < -0.1) & (tips.length[growing] > 0.8) & (thin > 0.5)]] = 0.0
        towards = np.sin(astray / 2) * 2 * np.sign(np.cos(astray / 2))
        memory = math.exp(-STEP_MM / 0.4)
        spread = self.tortuosity * (0.45 + 0.85 * thin) * math.sqrt(1 - memory**2)
        noise = self.rng.standard_normal(growing.size)
        tips.curvature[growing] = memory * tips.curvature[growing] + spread * noise
        turn = (2.0 - 0.6 * thin) * towards + tips.curvature[growing]
        turn += self._give_way(growing) + self._leave(growing)
        tips.heading[growing] += STEP_MM * np.clip(turn, -2.6, 2.6)
        self._taper(growing)

    def _taper(self, growing: Indices) -> None:
        """Thin every tip a little, for the twigs too fine to draw, and faster over its last millimetre."""
        tips = self.tips
        radius = tips.radius[growing]
        last = tips.life[growing] - tips.length[growing] < 1.0
        ending = np.minimum(radius, np.maximum(self.thinnest_mm, 0.92 * radius))
        tips.radius[growing] = np.where(last, ending, radius * (1 - 0.02 * STEP_MM))

    def _course(self, growing: Indices) -> Floats:
        """The heading that every tip would like to have."""
        tips, fovea = self.tips, self.anatomy.fovea
        x, y = tips.x[growing], tips.y[growing]
        flow = flow_heading(x, y, tips.stream[growing], fovea, self.avoided_mm)
        fading = tips.offset[growing] * np.exp(-tips.length[growing] / 2.5)
        to_fovea = np.arctan2(fovea[1] - y, fovea[0] - x)
        course = np.where(tips.course[growing] == Course.MACULAR, to_fovea + 0.4 * fading, flow + fading)
        # Within the disc a vessel keeps to its launching direction; the field takes over across the rim.
        rim = self.anatomy.disc.width
        outside = np.clip((np.hypot(x, y) / rim - 0.8) / 0.9, 0, 1)
        launched = tips.launch[growing]
        between = np.angle(np.exp(1j * (course - launched)))
        return np.asarray(np.where(np.isnan(launched), course, launched + outside * between))

    def _give_way(self, growing: Indices) -> Floats:
        """The turn, 1/mm, away from vessels felt ahead on the left or right: strongly from the own kind."""
        tips = self.tips
        turn = np.zeros(growing.size)
        for reach, spread in ((0.25, 0.75), (0.42, 0.4)):
            for sign in (-1.0, 1.0):
                angle = tips.heading[growing] + sign * spread
                column, row = self._cell(
                    tips.x[growing] + reach * np.cos(angle), tips.y[growing] + reach * np.sin(angle)
                )
                own = self.occupied[tips.kind[growing], row, column] > 0
                other = self.occupied[1 - tips.kind[growing], row, column] > 0
                turn -= sign * (1.6 * own + 0.6 * other)
        return turn

    def _leave(self, growing: Indices) -> Floats:
        """The turn, 1/mm, straight out of the field of view where it ends.

        A vessel that ran along the edge would be cut into pieces.
        """
        tips = self.tips
        away, heading = self.camera.way_out(tips.x[growing], tips.y[growing])
        near = np.clip(1 - away / (0.07 * self.camera.radius_mm), 0, 1)
        return np.asarray(7.0 * near * np.sin(heading - tips.heading[growing]))

    def _end(self, growing: Indices) -> None:
        """Stop tips that left the field, lived their length, came near the fovea, or met their own kind."""
        tips = self.tips
        x, y, radius = tips.x[growing], tips.y[growing], tips.radius[growing]
        to_fovea = np.hypot(x - self.anatomy.fovea[0], y - self.anatomy.fovea[1])
        nearest = np.maximum(tips.stop[growing], FAZ_RADIUS_MM + EDGE_MM)
        column, row = self._cell(x, y)
        met = self.occupied[tips.kind[growing], row, column].astype(np.intp) - 1
        family = (met == growing) | (met == tips.parent[growing]) | (tips.parent[met] == growing)
        collided = (met >= 0) & ~family & (radius < 0.04) & (tips.length[growing] > 0.4)
        done = (
            (tips.length[growing] > tips.life[growing])
            | (radius < 0.9 * self.thinnest_mm)
            | (to_fovea < nearest)
        )
        tips.alive[growing[done | collided | ~self.camera.sees(x, y)]] = False

    def _occupy(self, growing: Indices) -> None:
        column, row = self._cell(self.tips.x[growing], self.tips.y[growing])
        self.occupied[self.tips.kind[growing], row, column] = growing + 1

    def _cell(self, x: Floats, y: Floats) -> tuple[Indices, Indices]:
        centre, half = self.camera.centre, self.cells / 2
        column = ((x - centre[0]) / CELL_MM + half).astype(np.intp)
        row = ((y - centre[1]) / CELL_MM + half).astype(np.intp)
        last = self.cells - 1
        return np.clip(column, 0, last), np.clip(row, 0, last)

    # ---- branching

    def _branch(self, growing: Indices) -> None:
        tips = self.tips
        due = growing[(tips.length[growing] >= tips.next_branching[growing]) & tips.alive[growing]]
        for tip in due.tolist():
            planned = self.shoots.get(tip)
            if tips.full:
                break
            if planned:
                self._shoot(tip, planned.pop(0))
            else:
                self._chance_branch(tip)
            gap = 0.35 + float(self.rng.exponential(self.branching_mm))
            near = max(0.0, 1.7 - math.hypot(float(tips.x[tip]), float(tips.y[tip])))
            tips.next_branching[tip] = planned[0].at_mm if planned else tips.length[tip] + near + gap

    def _shoot(self, tip: int, shoot: Shoot) -> None:
        """Give off a branch of the disc's pattern."""
        tips = self.tips
        side = float(tips.radius[tip]) * shoot.share
        heading = 0.35 * float(tips.heading[tip]) + 0.65 * shoot.launch
        child = self._fork(tip, side, heading)
        tips.launch[child], tips.stream[child], tips.course[child] = shoot.launch, shoot.stream, shoot.course
        tips.life[child] = np.inf if shoot.course is Course.FLOW else float(self.rng.uniform(2.2, 4.2))
        tips.stop[child] = float(self.rng.uniform(0.4, 1.1))

    def _chance_branch(self, tip: int) -> None:
        """Give off a side branch to a random side, if the vessel is wide enough for one."""
        rng, tips = self.rng, self.tips
        before = float(tips.radius[tip])
        share = float(rng.uniform(0.66, 0.79) if rng.random() < 0.22 else rng.uniform(0.24, 0.55))
        turn = 1.0 if rng.random() < 0.5 else -1.0
        looseness, life, stop = (float(draw) for draw in rng.uniform((0.75, 0.6, 0.4), (1.3, 1.5, 1.3)))
        macular_by_chance = rng.random() < 0.75
        side = max(before * share, self.thinnest_mm)
        if side > 0.8 * before:
            return
        angles = branching_angles(before, remaining_radius(before, side), side)
        child = self._fork(tip, side, float(tips.heading[tip]) + turn * angles[1] * looseness)
        tips.heading[tip] -= turn * angles[0]
        tips.launch[child] = np.nan
        tips.stream[child] = tips.stream[tip]
        tips.offset[child] = turn * float(rng.uniform(0.4, 1.1))
        tips.life[child] = (0.9 + 62 * side) * life
        tips.stop[child] = stop
        if macular_by_chance and self._faces_fovea(tip, turn):
            tips.course[child] = Course.MACULAR
            tips.life[child] += 0.4 * math.dist(self.anatomy.fovea, (tips.x[tip], tips.y[tip])) * life

    def _faces_fovea(self, tip: int, turn: float) -> bool:
        """Whether a branch to that side of a vessel in reach of the macula leads towards the fovea."""
        tips, fovea = self.tips, self.anatomy.fovea
        dx, dy = fovea[0] - tips.x[tip], fovea[1] - tips.y[tip]
        across = math.cos(tips.heading[tip]) * dy - math.sin(tips.heading[tip]) * dx
        return bool(across * turn > 0 and math.hypot(dx, dy) < 4.2 and tips.x[tip] > 0.7)

    def _fork(self, tip: int, side: float, heading: float) -> int:
        """Split a tip by Murray's law; gives the side branch's row."""
        tips = self.tips
        before = float(tips.radius[tip])
        after = remaining_radius(before, side)
        child = tips.add(float(tips.x[tip]), float(tips.y[tip]), heading, side, int(tips.kind[tip]), tip)
        tips.radius[tip] = after
        # Few branchings lie within a millimetre of the disc; a child of the disc's pattern has to get there
        # first.
        near = max(0.0, 1.7 - math.hypot(float(tips.x[tip]), float(tips.y[tip])))
        tips.next_branching[child] = 0.35 + near + float(self.rng.exponential(self.branching_mm))
        tips.branchings.append(Branching(tip, child, before, after, side))
        return child


def grow_vessels(rng: Generator, anatomy: Anatomy, camera: Camera) -> VesselTree:
    """The arteries and veins of an eye within the camera's field of view."""
    return Grower(rng, anatomy, camera).grow()
