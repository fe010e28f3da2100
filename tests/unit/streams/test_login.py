from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepilot_app.credentials import Login
from framepilot_app.streams.camera import open_camera
from framepilot_app.streams.settings import ReaderSettings
from framepilot_app.streams.source import SourceError
from framepilot_app.streams.uri import is_live, redact, with_login


@pytest.mark.parametrize(
    ("uri", "opened"),
    [
        ("rtsp://cam/main", "rtsp://ann:p%40ss%2F@cam/main"),
        ("http://cam:8080/a?b=c", "http://ann:p%40ss%2F@cam:8080/a?b=c"),
        ("http://cam/a?u={username}&p={password}", "http://cam/a?u=ann&p=p%40ss%2F"),
        ("http://cam/a?p={password}", "http://cam/a?p=p%40ss%2F"),
    ],
)
def test_a_login_goes_before_the_host_or_where_the_source_says(uri, opened):
    assert with_login(uri, Login("ann", "p@ss/")) == opened
    assert with_login(uri, None) == uri


@given(username=st.text(min_size=1), password=st.text(min_size=1))
def test_what_is_opened_with_a_login_can_be_shown_without_it(username, password):
    assert redact(with_login("rtsp://camera:554/main", Login(username, password))) == "rtsp://camera:554/main"


def test_a_source_that_needs_a_login_is_not_opened_without_one():
    settings = ReaderSettings("http://127.0.0.1:1/a?u={username}&pwd={password}")
    with pytest.raises(SourceError, match=r"needs a user name and a password, and there are none; give credentials"):
        open_camera(settings, None, hardware=False)


@pytest.mark.parametrize(
    ("uri", "live"),
    [
        ("rtsp://a", True),
        ("HTTPS://a", True),
        ("device:///dev/video0", True),
        ("file:///a", False),
        ("test://1x1", False),
    ],
)
def test_cameras_are_live_and_files_are_not(uri, live):
    assert is_live(uri) is live
