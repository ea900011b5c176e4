import itertools

import numpy as np
import pytest

from dev.models.shapes import (
    BACKGROUND,
    CLASSES,
    COLOUR_JITTER,
    COLOURS,
    OUTLINES,
    RADIUS,
    TINT,
    TURN,
    Pose,
    Stream,
    coverage,
    draw,
    draw_all,
    random_pose,
)

UPRIGHT = Pose(x=0.5, y=0.5, radius=0.4, turn=0.0)


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_there_are_thirty_six_classes_each_a_colour_and_a_shape() -> None:
    assert len(CLASSES) == len(set(CLASSES)) == 36
    assert all(tuple(label.split()) in set(itertools.product(COLOURS, OUTLINES)) for label in CLASSES)


def test_the_same_generator_state_draws_the_same_pixels() -> None:
    assert (draw("red circle", rng(), 48) == draw("red circle", rng(), 48)).all()
    assert (draw("red circle", rng(1), 48) != draw("red circle", rng(2), 48)).any()


@pytest.mark.parametrize("size", [32, 48, 224])
def test_a_picture_has_the_size_asked_for(size: int) -> None:
    pictures = draw_all(CLASSES[:3], rng(), size)
    assert pictures.shape == (3, size, size, 3)
    assert pictures.dtype == np.uint8


def test_streams_of_pictures_never_meet() -> None:
    first = {draw("red circle", np.random.default_rng((stream, 7)), 32).tobytes() for stream in Stream}
    assert len(first) == len(Stream)


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(OUTLINES, 2)))
def test_two_shapes_in_one_pose_share_less_than_most_of_their_area(one: str, other: str) -> None:
    a, b = coverage(one, UPRIGHT, 96), coverage(other, UPRIGHT, 96)
    assert np.minimum(a, b).sum() / np.maximum(a, b).sum() < 0.9


@pytest.mark.parametrize("shape", OUTLINES)
def test_turning_a_shape_leaves_it_nearest_to_itself(shape: str) -> None:
    turned = coverage(shape, Pose(0.5, 0.5, 0.4, TURN), 96)
    distance = {name: np.abs(coverage(name, UPRIGHT, 96) - turned).sum() for name in OUTLINES}
    assert min(distance, key=distance.__getitem__) == shape


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(COLOURS, 2)))
def test_jitter_never_turns_one_colour_into_another(one: str, other: str) -> None:
    apart = np.abs(np.subtract(COLOURS[one], COLOURS[other])).max()
    assert apart > 2 * COLOUR_JITTER


def test_no_background_is_as_colourful_as_a_shape() -> None:
    dullest = min(max(paint) - min(paint) for paint in COLOURS.values()) - 2 * COLOUR_JITTER
    assert dullest > 2 * TINT
    assert BACKGROUND[0] - TINT > 0
    assert BACKGROUND[1] + TINT < 255


def test_every_pose_keeps_the_shape_inside_the_picture() -> None:
    source = rng()
    for _ in range(200):
        pose = random_pose(source)
        assert RADIUS[0] <= pose.radius <= RADIUS[1]
        assert pose.radius <= min(pose.x, pose.y, 1 - pose.x, 1 - pose.y)


@pytest.mark.parametrize("shape", OUTLINES)
def test_a_shape_covers_the_same_part_of_a_small_and_a_large_picture(shape: str) -> None:
    assert coverage(shape, UPRIGHT, 48).mean() == pytest.approx(coverage(shape, UPRIGHT, 224).mean(), rel=0.02)
