from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepilot_app.streams.open import open_source
from framepilot_app.streams.source import SourceError
from framepilot_app.streams.uri import redact


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("rtsp://cam-1/main", "rtsp://cam-1/main"),
        ("rtsp://admin:s3cret@cam-1:554/main?x=1", "rtsp://cam-1:554/main?x=1"),
        ("rtsp://admin@cam-1/main", "rtsp://cam-1/main"),
        ("rtsp://a:p@s@[::1]:554/main", "rtsp://[::1]:554/main"),
        ("rtsp://admin:s3/cr?e#t@cam-1/main", "rtsp://cam-1/main"),
        ("rtsp://cam-1:554/main@2", "rtsp://cam-1:554/main@2"),
        ("http://cam/video?user=a&password=s3cret&res=hd", "http://cam/video?user=***&password=***&res=hd"),
        ("http://cam/video?access_token=s3cret#top", "http://cam/video?access_token=***#top"),
        ("http://u:s3/cret@cam/video?pwd=s3cret", "http://cam/video?pwd=***"),
        ("file:///videos/a@b.mp4", "file:///videos/a@b.mp4"),
        ("test://640x480?fps=25", "test://640x480?fps=25"),
        ("admin:s3cret@cam-1/main", "cam-1/main"),
        ("nonsense", "nonsense"),
    ],
)
def test_credentials_are_not_shown(uri, shown):
    assert redact(uri) == shown


@given(
    user=st.text("abcXYZ019-_.~%", min_size=1),
    password=st.text("abcXYZ019-_.~%!@:", min_size=1),
    path=st.text("abc/", max_size=10),
)
def test_no_user_and_password_are_shown(user, password, path):
    assert redact(f"rtsp://{user}:{password}@camera:554/{path}") == f"rtsp://camera:554/{path}"


@pytest.mark.parametrize("uri", ["ftp://admin:s3cret@host/video.mp4", "video.mp4", "", "/videos/a.mp4"])
def test_an_unknown_scheme_is_refused_with_what_there_is_and_without_credentials(uri):
    with pytest.raises(SourceError, match=r"file://, test://") as raised:
        open_source(uri)
    assert "s3cret" not in str(raised.value)
