"""Credentials of streams and sinks: read anew at each use, and never shown."""

from __future__ import annotations

import pytest

from framepilot_app.credentials import LARGEST_BYTES, Credentials, CredentialsError, Login


def test_both_files_make_a_login_without_the_ends_of_their_lines(tmp_path):
    (tmp_path / "door.username").write_text("viewer\n")
    (tmp_path / "door.password").write_text(" s3cret \r\n")
    assert Credentials(tmp_path).of("door") == Login("viewer", " s3cret ")


def test_a_file_that_is_written_anew_is_in_force_at_the_next_use(tmp_path):
    credentials = Credentials(tmp_path)
    assert credentials.of("door") is None
    (tmp_path / "door.password").write_text("first")
    assert credentials.of("door") == Login("", "first")
    (tmp_path / "door.password").write_text("second")
    assert credentials.of("door") == Login("", "second")


@pytest.mark.parametrize("folder", [None, "missing", "file"])
def test_without_a_folder_there_are_none(tmp_path, folder):
    (tmp_path / "file").touch()
    assert Credentials(tmp_path / folder if folder else None).of("door") is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"two\nlines", "is not one line of text"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"x" * (LARGEST_BYTES + 1), "is not one line of text"),
    ],
)
def test_a_file_that_is_no_line_of_text_is_refused_without_its_content(tmp_path, content, said):
    (tmp_path / "door.password").write_bytes(content)
    with pytest.raises(CredentialsError, match=said) as raised:
        Credentials(tmp_path).of("door")
    assert "door.password" in str(raised.value)
    assert "lines" not in str(raised.value)


def test_a_file_that_cannot_be_read_is_an_error(tmp_path):
    (tmp_path / "door.password").mkdir()
    with pytest.raises(CredentialsError, match=r"door\.password' cannot be read"):
        Credentials(tmp_path).of("door")


def test_a_password_is_not_shown():
    assert "p@ss/word" not in repr(Login("viewer", "p@ss/word"))
