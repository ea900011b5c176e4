"""Synthetic photographs: one coloured shape on a dull background.

A picture is drawn from a label and a numpy generator alone, so the same generator state gives the same
pixels. A shape is a signed distance function in its own frame (radius 1, y downwards): coverage of a pixel
follows from the distance to the outline, so edges are smooth at every size and a 48 px picture looks like a
224 px picture that was scaled down. That is why training may draw small and clients may send large.

Classes stay apart by construction: backgrounds are nearly grey, colours keep out of each other's jitter and
no shape turns far enough to become another one.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from functools import cache

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Plane = NDArray[np.floating]
Outline = Callable[[Plane, Plane], Plane]

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (215, 35, 35),
    "orange": (240, 140, 25),
    "yellow": (240, 225, 50),
    "green": (40, 160, 60),
    "blue": (45, 85, 220),
    "purple": (150, 50, 185),
}
COLOUR_JITTER = 20
RADIUS = (0.3, 0.44)  # of the picture's side
TURN = 0.2  # radians either way: a square stays a square, no diamond
BACKGROUND = (45, 210)
TINT = 14
GRAIN_CELLS = 48  # noise has this many cells a side at every size, so scaling down does not average it away
GRAIN = (2.0, 12.0)


class Stream(IntEnum):
    """First word of a generator's seed: streams never share a picture, whatever seed follows."""

    TRAIN = 0
    VALIDATION = 1
    HELD_OUT = 2


@dataclass(frozen=True)
class Pose:
    """Where and how large a shape is: centre and radius as parts of the side, turn in radians."""

    x: float
    y: float
    radius: float
    turn: float


def _circle(x: Plane, y: Plane) -> Plane:
    return np.hypot(x, y) - 0.9


def _ring(x: Plane, y: Plane) -> Plane:
    return np.abs(np.hypot(x, y) - 0.74) - 0.2


def _square(x: Plane, y: Plane) -> Plane:
    return np.maximum(np.abs(x), np.abs(y)) - 0.78


def _triangle(x: Plane, y: Plane) -> Plane:
    distance: Plane = np.maximum(np.abs(x) * 0.894 - (y + 0.95) * 0.447, y - 0.75)
    return distance


def _cross(x: Plane, y: Plane) -> Plane:
    across, along = np.abs(x), np.abs(y)
    return np.maximum(np.minimum(across, along) - 0.27, np.maximum(across, along) - 0.92)


def _star(x: Plane, y: Plane) -> Plane:
    """Five points: fold the plane into half a point, then measure to its one edge.

    The edge runs from the tip at distance 1 to the notch at distance 0.42, 36 degrees further; (0.937, 0.350)
    is its normal.
    """
    wedge = 2 * math.pi / 5
    folded = np.abs(np.mod(np.arctan2(x, -y) + wedge / 2, wedge) - wedge / 2)
    return np.hypot(x, y) * (np.sin(folded) * 0.937 + np.cos(folded) * 0.350) - 0.350


OUTLINES: dict[str, Outline] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
    "ring": _ring,
}
CLASSES: tuple[str, ...] = tuple(f"{colour} {shape}" for colour in COLOURS for shape in OUTLINES)


@cache
def _grid(size: int) -> tuple[Plane, Plane]:
    centres = (np.arange(size, dtype=np.float32) + 0.5) / size
    return np.broadcast_to(centres, (size, size)), np.broadcast_to(centres[:, None], (size, size))


def coverage(shape: str, pose: Pose, size: int) -> Plane:
    """Give how much of each pixel the shape covers, 0 to 1, as (size, size)."""
    across, down = _grid(size)
    x, y = (across - pose.x) / pose.radius, (down - pose.y) / pose.radius
    sin, cos = math.sin(pose.turn), math.cos(pose.turn)
    distance = OUTLINES[shape](cos * x + sin * y, cos * y - sin * x)
    covered: Plane = np.clip(0.5 - distance * (pose.radius * size), 0, 1)
    return covered


def random_pose(rng: np.random.Generator) -> Pose:
    """Give a pose that keeps the whole shape inside the picture."""
    radius = rng.uniform(*RADIUS)
    x, y = (rng.uniform(radius, 1 - radius) for _ in range(2))
    return Pose(x, y, radius, rng.uniform(-TURN, TURN))


def _random_colour(rng: np.random.Generator, spread: float) -> Plane:
    return rng.uniform(-spread, spread, 3).astype(np.float32)


def _background(rng: np.random.Generator, size: int) -> Plane:
    """Give a nearly grey gradient in a random direction, as (size, size, 3)."""
    across, down = _grid(size)
    start, end, angle = rng.uniform(*BACKGROUND), rng.uniform(*BACKGROUND), rng.uniform(0, 2 * math.pi)
    slope = 0.5 + (across - 0.5) * math.cos(angle) + (down - 0.5) * math.sin(angle)
    return (start + slope * (end - start))[..., None] + _random_colour(rng, TINT)


def _grain(rng: np.random.Generator, size: int) -> Plane:
    cells = np.arange(size) * GRAIN_CELLS // size
    grain = rng.standard_normal((GRAIN_CELLS, GRAIN_CELLS, 3), np.float32) * rng.uniform(*GRAIN)
    return grain[cells[:, None], cells]


def draw(label: str, rng: np.random.Generator, size: int) -> Pixels:
    """Draw one picture of a class such as "red circle", as (size, size, 3) uint8."""
    colour, shape = label.split()
    canvas = _background(rng, size)
    paint = np.array(COLOURS[colour], np.float32) + _random_colour(rng, COLOUR_JITTER)
    canvas += coverage(shape, random_pose(rng), size)[..., None] * (paint - canvas)
    canvas += _grain(rng, size)
    pixels: Pixels = np.clip(canvas + 0.5, 0, 255).astype(np.uint8)
    return pixels


def draw_all(labels: Iterable[str], rng: np.random.Generator, size: int) -> Pixels:
    """Draw one picture for each label, as (n, size, size, 3) uint8."""
    return np.stack([draw(label, rng, size) for label in labels])
