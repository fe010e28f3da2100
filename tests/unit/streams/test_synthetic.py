from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepilot_app.streams.source import SourceError
from framepilot_app.streams.synthetic import SyntheticSettings, SyntheticSource, open_synthetic, read_number


def images(uri):
    source = open_synthetic(uri)
    while (image := source.read()) is not None:
        yield image


def test_it_gives_so_many_frames_with_their_numbers():
    found = list(images("test://640x480?fps=10&frames=30&seed=4"))
    assert [read_number(image) for image in found] == list(range(30))
    assert {image.shape for image in found} == {(480, 640, 3)}


def test_the_rate_is_that_of_the_uri_and_25_by_default():
    assert open_synthetic("test://96x48?fps=12.5").fps == 12.5
    assert open_synthetic("test://96x48").fps == 25


def test_the_same_uri_gives_the_same_pictures_and_another_seed_others():
    first, again, other = (list(images(f"test://160x120?frames=3&seed={seed}")) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_the_picture_moves():
    first, second = images("test://160x120?frames=2")
    assert not np.array_equal(first[40:], second[40:])


def test_skipping_passes_over_a_frame():
    source = open_synthetic("test://160x120?frames=3")
    assert source.skip()
    assert read_number(source.read()) == 1
    assert source.skip()
    assert not source.skip()
    assert source.read() is None


@given(
    width=st.integers(96, 700),
    height=st.integers(48, 500),
    number=st.integers(0, (1 << 32) - 1),
    seed=st.integers(0, 1000),
)
def test_every_number_can_be_read_at_every_size(width, height, number, seed):
    source = SyntheticSource(SyntheticSettings(width, height, seed=seed))
    source._next = number
    assert read_number(source.read()) == number


@pytest.mark.parametrize("quality", [20, 50, 95])
@pytest.mark.parametrize("factor", [0.5, 0.75, 1.6])
def test_the_number_survives_compression_and_resizing(quality, factor):
    for number, image in enumerate(images("test://320x240?frames=20")):
        resized = cv2.resize(image, None, fx=factor, fy=factor)
        _, data = cv2.imencode(".jpg", resized, [cv2.IMWRITE_JPEG_QUALITY, quality])
        assert read_number(cv2.imdecode(data, cv2.IMREAD_COLOR)) == number


@pytest.mark.parametrize("value", [0, 127, 255])
def test_a_picture_without_number_is_refused(value):
    with pytest.raises(ValueError, match="no frame number"):
        read_number(np.full((120, 160, 3), value, np.uint8))


@pytest.mark.parametrize(
    ("uri", "problem"),
    [
        ("test://640", "test source"),
        ("test://axb", "test source"),
        ("test://10x10", "size"),
        ("test://100000x480", "size"),
        ("test://640x480?fps=0", "fps"),
        ("test://640x480?fps=nan", "fps"),
        ("test://640x480?fps=fast", "could not convert"),
        ("test://640x480?frames=0", "frames"),
        ("test://640x480?seed=-1", "seed"),
        ("test://640x480?colour=red", "unknown"),
        ("test://640x480?fps=1&fps=2", "twice"),
        ("test://640x480/path", "unknown"),
    ],
)
def test_a_malformed_uri_is_refused_with_an_example(uri, problem):
    with pytest.raises(SourceError, match=problem) as raised:
        open_synthetic(uri)
    assert "test://WIDTHxHEIGHT" in str(raised.value)
