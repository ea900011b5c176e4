"""An image is named by what it is made of."""

from dataclasses import replace
from pathlib import Path

import pytest

from dev.images.recipe import Recipe, recipes


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    (tmp_path / "Dockerfile.thing").write_text("FROM base\n")
    (tmp_path / ".dockerignore").write_text("*\n")
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "code.py").write_text("x = 1\n")
    return Recipe("thing", ("source",), (("FLAVOUR", "plain"),), root=tmp_path)


def test_the_name_stays_while_nothing_changes(recipe: Recipe) -> None:
    before = recipe.tag("base")
    (recipe.root / "unrelated").write_text("noise")
    (recipe.root / "source" / "__pycache__").mkdir()
    (recipe.root / "source" / "__pycache__" / "code.pyc").write_text("noise")
    (recipe.root / "source" / "code.py").touch()
    assert recipe.tag("base") == before
    assert len(before) == 12


@pytest.mark.parametrize("changed", ["Dockerfile.thing", ".dockerignore", "source/code.py", "source/new.py"])
def test_the_name_changes_with_every_file(recipe: Recipe, changed: str) -> None:
    before = recipe.tag("base")
    (recipe.root / changed).write_text("something else")
    assert recipe.tag("base") != before


def test_the_name_changes_when_a_file_moves(recipe: Recipe) -> None:
    before = recipe.tag("base")
    (recipe.root / "source" / "code.py").rename(recipe.root / "source" / "other.py")
    assert recipe.tag("base") != before


def test_the_name_changes_with_the_arguments_and_the_base_image(recipe: Recipe) -> None:
    names = {
        recipe.tag("base"),
        recipe.tag("newer base"),
        replace(recipe, arguments=(("FLAVOUR", "rich"),)).tag("base"),
    }
    assert len(names) == 3


def test_everything_that_the_projects_images_are_made_of_exists() -> None:
    for recipe in recipes().values():
        assert all(path.is_file() for path in recipe.files())
        assert any(path.suffix == ".py" for path in recipe.files())
