from __future__ import annotations

import sys
from importlib.metadata import EntryPoint

import pytest
from typer.testing import CliRunner

from framepilot_operator.cli import GROUP, build

PLUGIN = """
import typer

app = typer.Typer()

@app.command()
def pack(source: str, trust: bool = False):
    typer.echo(f"packed {source} {trust}")

@app.command()
def show():
    typer.echo("shown")
"""


@pytest.fixture
def modules(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in ("good_plugin", "bad_plugin"):
        sys.modules.pop(name, None)


def run(value: str, *arguments: str):
    return CliRunner().invoke(build((EntryPoint("model", value, GROUP),)), ["model", *arguments])


def test_a_plugin_is_a_command_with_its_own_commands_and_options(modules):
    (modules / "good_plugin.py").write_text(PLUGIN)
    assert run("good_plugin:app", "pack", "net.pt2", "--trust").output == "packed net.pt2 True\n"
    assert run("good_plugin:app", "show").output == "shown\n"


def test_the_help_of_a_plugin_is_its_own(modules):
    (modules / "good_plugin.py").write_text(PLUGIN)
    assert "pack" in run("good_plugin:app", "--help").output
    assert "--trust" in run("good_plugin:app", "pack", "--help").output


def test_a_plugin_is_imported_only_when_it_is_called(modules):
    (modules / "bad_plugin.py").write_text("raise SystemExit('imported')")
    app = build((EntryPoint("model", "bad_plugin:app", GROUP),))
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    assert "model" in result.output


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("bad_plugin:app", "cannot be loaded (ImportError: libtorch.so: cannot open); install"),
        ("no_such_plugin:app", "cannot be loaded (ModuleNotFoundError: No module named 'no_such_plugin'); install"),
        ("json:dumps", "'json:dumps' is not a Typer app; report it to"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_one_clear_line(modules, value, what):
    (modules / "bad_plugin.py").write_text("raise ImportError('libtorch.so: cannot open')")
    result = run(value, "pack")
    assert result.exit_code == 1
    assert result.output.startswith(f"framepilot model: {what} the distribution that provides it")
    assert result.output.count("\n") == 1
