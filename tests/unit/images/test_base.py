"""A base that was made by another recipe is not taken for this one."""

from __future__ import annotations

import dataclasses

import pytest

from support.images.base import Recipe, local_name


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Recipe)])
def test_whatever_a_recipe_says_is_in_its_key(field: str) -> None:
    value = getattr(Recipe(), field)
    other = dataclasses.replace(Recipe(), **{field: f"{value}-other" if isinstance(value, str) else (*value, "other")})
    assert other.key != Recipe().key


def test_equal_recipes_have_one_key() -> None:
    assert Recipe().key == Recipe(suite=Recipe().suite).key


def test_a_base_that_is_made_is_named_like_the_public_one() -> None:
    assert local_name("docker.io/library/python:3.11-slim") == "localhost/python:3.11-slim"
