"""What is removed is never what a kept image needs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from support.images.buildah import StoredImage
from support.images.pruning import KEPT_TAGS, deletable, leftovers, old_names, without_names

layers = st.lists(st.sampled_from("abc"), max_size=4).map(tuple)


def image(number: int, name: str | None = None, contents: tuple[str, ...] = ()) -> StoredImage:
    return StoredImage(f"id{number}", (name,) if name else (), f"2026-01-01T00:00:{number:02}Z", contents)


def test_the_newest_names_of_a_repository_stay_and_the_rest_goes() -> None:
    images = [image(n, f"localhost/app:{n}") for n in range(6)] + [image(9, "localhost/app-other:0"), image(10)]
    assert old_names(images, "localhost/app", "localhost/app:5") == tuple(f"localhost/app:{n}" for n in range(3))


@given(st.integers(0, 8), st.data())
def test_the_current_name_stays_however_old_it_is(count: int, data: st.DataObject) -> None:
    images = [image(n, f"r:{n}") for n in range(count + 1)]
    current = f"r:{data.draw(st.integers(0, count))}"
    old = old_names(images, "r", current)
    assert current not in old
    assert len(images) - len(old) == min(len(images), KEPT_TAGS)


@given(st.lists(st.tuples(layers, st.booleans()), max_size=8))
def test_what_a_named_image_stands_on_stays(made: list[tuple[tuple[str, ...], bool]]) -> None:
    images = [image(n, f"r:{n}" if named else None, contents) for n, (contents, named) in enumerate(made)]
    removed = set(leftovers(images))
    for one in images:
        needed = any(other.names and other.layers[: len(one.layers)] == one.layers for other in images)
        assert (one.id in removed) == (not needed)


def test_an_image_that_lost_its_last_name_is_a_leftover() -> None:
    images = [image(1, "r:1", ("x", "y")), image(2, "r:2", ("x", "z"))]
    assert leftovers(without_names(images, ["r:1"])) == ("id1",)


def test_leftovers_go_from_the_top_down() -> None:
    images = [image(1, None, ("x",)), image(2, None, ("x", "y", "z")), image(3, None, ("x", "y"))]
    assert leftovers(images) == ("id2", "id3", "id1")


def test_a_manifest_that_a_kept_tag_shares_with_an_old_one_stays() -> None:
    assert deletable({"old": "d1", "same": "d2", "now": "d2"}, {"now"}) == {"d1"}
