from __future__ import annotations

from framepilot_operator.cluster.instance import Launch, _child


def command(tmp_path, credentials=None, page=True):
    launch = Launch(("app",), None, 1, 1, lambda: 0.0, lambda: 0.0, credentials, page)
    return _child(tmp_path, tmp_path / "desired.json", launch).command


def test_credentials_are_handed_to_the_app_where_they_are_given(tmp_path):
    assert "--credentials" not in command(tmp_path)
    assert command(tmp_path, credentials=tmp_path)[-2:] == ("--credentials", str(tmp_path))


def test_the_app_keeps_its_page_unless_it_is_switched_off(tmp_path):
    assert "--page" not in command(tmp_path)
    assert command(tmp_path, page=False)[-2:] == ("--page", "off")
