from __future__ import annotations

import os
from pathlib import Path

import pytest

from framepilot_operator.running import registered, running, state_home


def test_a_process_is_listed_with_its_files_as_long_as_it_runs(tmp_path):
    with registered(tmp_path / "up", [Path("lobby.yaml")], Path("state")) as entry:
        assert running(tmp_path / "up") == (entry,)
        assert (entry.pid, entry.files) == (os.getpid(), (Path.cwd() / "lobby.yaml",))
        assert entry.state == Path.cwd() / "state"
    assert running(tmp_path / "up") == ()


def test_a_damaged_entry_is_removed(tmp_path):
    (tmp_path / "7.json").write_text("{")
    assert running(tmp_path) == ()
    assert list(tmp_path.iterdir()) == []


def test_no_folder_means_that_nothing_runs(tmp_path):
    assert running(tmp_path / "none") == ()


@pytest.mark.parametrize(
    ("environment", "home"),
    [
        ({"XDG_STATE_HOME": "/state", "HOME": "/home/ada"}, "/state/framepilot"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/home/ada"}, "/home/ada/.local/state/framepilot"),
        ({"HOME": "/home/ada"}, "/home/ada/.local/state/framepilot"),
    ],
)
def test_the_state_folder_follows_the_xdg_specification(environment, home):
    assert state_home(environment) == Path(home)
