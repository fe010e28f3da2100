from __future__ import annotations

from framepilot_operator.cluster.instance import Launch, _child


def test_credentials_are_handed_to_the_app_where_they_are_given(tmp_path):
    def command(credentials):
        launch = Launch(("app",), None, 1, 1, lambda: 0.0, lambda: 0.0, credentials)
        return _child(tmp_path, tmp_path / "desired.json", launch).command

    assert "--credentials" not in command(None)
    assert command(tmp_path)[-2:] == ("--credentials", str(tmp_path))
