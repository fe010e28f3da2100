"""`framepilot model`: from a network to a folder in a store, and every refusal as one line."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner, Result

from framepilot_app.graphs import aten
from framepilot_app.models.cli import app
from framepilot_app.models.model import MODEL_FILE, WEIGHTS_FILE
from framepilot_app.models.verify import open_model
from support.tiny_network import classifier

SPEC = """
name: tiny
version: "{version}"
description: Dark or light
licence: Apache-2.0
input: {{width: 8, height: {height}, scale: [0.004, 0.004, 0.004]}}
output: {{task: classification, labels: [{labels}]}}
tolerance: {tolerance}
"""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def write_spec(
    folder: Path, version: str = "1", labels: str = "dark, light", height: int = 8, tolerance: float = 1e-3
) -> Path:
    path = folder / "spec.yaml"
    path.write_text(SPEC.format(version=version, labels=labels, height=height, tolerance=tolerance))
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refusal(result: Result) -> str:
    """The one line on stderr, without rich's status."""
    assert result.exit_code == 1, result.output
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in result.output
    return line


def save_pt2(path: Path) -> None:
    batch = torch.export.Dim("batch", min=1)
    torch.export.save(torch.export.export(classifier(), (torch.zeros(2, 3, 8, 8),), dynamic_shapes=({0: batch},)), path)


def save_onnx(path: Path) -> None:
    torch.onnx.export(
        classifier(),
        (torch.zeros(2, 3, 8, 8),),
        str(path),
        dynamo=False,
        input_names=["image"],
        dynamic_axes={"image": {0: "N"}},
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's exporter to ONNX that needs no other package
@pytest.mark.parametrize("kind", ["module", "pt2", "onnx"])
def test_a_packed_network_computes_what_the_original_does(tmp_path: Path, store: Path, kind: str) -> None:
    source = "support.tiny_network:classifier" if kind == "module" else str(tmp_path / f"network.{kind}")
    if kind == "pt2":
        save_pt2(Path(source))
    if kind == "onnx":
        save_onnx(Path(source))
    result = run("pack", source, "--spec", write_spec(tmp_path), "--store", store)
    assert result.exit_code == 0, result.output
    model = open_model(store / "tiny" / "1")
    assert model.sha256 in result.stdout
    batch = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    (found,) = aten.run(model.program(), load_file(model.weights), batch)
    torch.testing.assert_close(found, classifier()(batch), atol=1e-5, rtol=0)
    example = model.example()
    torch.testing.assert_close(example.expected, (classifier()(example.input),), atol=1e-5, rtol=0)
    assert not any("batch_norm" in node.op for node in model.program().nodes)


def test_a_picture_can_be_the_example(tmp_path: Path, store: Path) -> None:
    picture = tmp_path / "red.png"
    cv2.imwrite(str(picture), np.full((20, 30, 3), (0, 0, 250), np.uint8))
    packed = run(
        "pack",
        "support.tiny_network:classifier",
        "--spec",
        write_spec(tmp_path),
        "--store",
        store,
        "--example",
        picture,
    )
    assert packed.exit_code == 0, packed.output
    colour = open_model(store / "tiny" / "1").example().input.mean((0, 2, 3))
    torch.testing.assert_close(colour, torch.tensor([1.0, 0.0, 0.0]))


def test_packing_the_same_again_changes_nothing_and_another_content_is_refused(tmp_path: Path, store: Path) -> None:
    pack = ("pack", "support.tiny_network:classifier", "--store", store)
    first = run(*pack, "--spec", write_spec(tmp_path))
    before = (store / "tiny" / "1" / MODEL_FILE).stat()
    again = run(*pack, "--spec", write_spec(tmp_path))
    assert (first.exit_code, again.exit_code) == (0, 0)
    assert "is there already" in again.stdout
    other = run(*pack, "--spec", write_spec(tmp_path, labels="night, day"))
    assert "a version never changes" in refusal(other)
    assert (store / "tiny" / "1" / MODEL_FILE).stat() == before


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.marker,)


def save_pt2_with_payload(path: Path, marker: Path, *, in_weights: bool) -> None:
    """A .pt2 whose first weight, or whose sample input, is a pickle that does something."""
    good = path.with_suffix(".good.pt2")
    save_pt2(good)
    pickled = io.BytesIO()
    torch.save(Payload(marker), pickled)
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as target:
        for name in source.namelist():
            content = source.read(name)
            if in_weights and name.endswith("/model_weights_config.json"):
                content = content.replace(b'"use_pickle": false', b'"use_pickle": true', 1)
            if name.endswith("/weight_0" if in_weights else "/sample_inputs/model.pt"):
                content = pickled.getvalue()
            target.writestr(name.replace(good.stem, path.stem, 1), content)


@pytest.mark.parametrize("in_weights", [True, False])
def test_a_pickled_payload_does_not_run_unless_trusted(tmp_path: Path, store: Path, in_weights: bool) -> None:
    source, marker = tmp_path / "network.pt2", tmp_path / "marker"
    save_pt2_with_payload(source, marker, in_weights=in_weights)
    pack = ("pack", source, "--spec", write_spec(tmp_path), "--store", store)
    refused = run(*pack)
    assert not marker.exists()
    if in_weights:
        assert "--trust" in refusal(refused)
        assert not store.exists()
    run(*pack, "--trust")
    assert marker.exists()


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("nowhere.pt2", "there is no such file"),
        ("nowhere.onnx", "there is no such file"),
        ("support.tiny_network", "package.module:factory"),
        ("support.nowhere:classifier", "cannot be imported"),
        ("support.tiny_network:nothing", "cannot be imported"),
        ("support.tiny_network:not_a_network", "returns a str, not a torch.nn.Module"),
        ("support.tiny_network:broken", "raised OSError: no weights here"),
        ("support.tiny_network:sorter", "aten.sort"),
    ],
)
def test_a_source_that_cannot_be_packed(tmp_path: Path, store: Path, source: str, says: str) -> None:
    assert says in refusal(run("pack", source, "--spec", write_spec(tmp_path), "--store", store))
    assert not store.exists()


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"labels": "dark, dim, light"}, "a classification with 3 labels takes scores of"),
        ({"tolerance": 1e-12}, "raise `tolerance`"),
        ({"version": "../2"}, "version: "),
    ],
)
def test_a_network_that_does_not_fit_its_spec(tmp_path: Path, store: Path, spec: dict[str, str], says: str) -> None:
    result = run("pack", "support.tiny_network:classifier", "--spec", write_spec(tmp_path, **spec), "--store", store)
    assert says in refusal(result)
    assert not store.exists()


def test_an_example_that_is_no_picture(tmp_path: Path, store: Path) -> None:
    spec = write_spec(tmp_path)
    result = run("pack", "support.tiny_network:classifier", "--spec", spec, "--store", store, "--example", spec)
    assert "is not a picture" in refusal(result)


def test_verify_inspect_and_list_show_a_store(tmp_path: Path, store: Path) -> None:
    pack = ("pack", "support.tiny_network:classifier", "--store", store)
    run(*pack, "--spec", write_spec(tmp_path))
    run(*pack, "--spec", write_spec(tmp_path, version="2"))
    model = open_model(store / "tiny" / "1")
    assert model.sha256 in run("verify", model.folder, "--sha256", model.sha256).stdout
    inspected = run("inspect", model.folder).stdout
    for fact in ("classification, 2 labels: dark, light", "8 x 8 rgb", model.sha256, "Apache-2.0"):
        assert fact in inspected
    (store / "tiny" / "2" / MODEL_FILE).write_text("?")
    listed = run("list", store).stdout
    assert model.sha256[:12] in listed
    assert "broken" in listed


def test_verify_refuses_a_changed_file(tmp_path: Path, store: Path) -> None:
    run("pack", "support.tiny_network:classifier", "--spec", write_spec(tmp_path), "--store", store)
    folder = store / "tiny" / "1"
    (folder / WEIGHTS_FILE).write_bytes(b"")
    assert "weights.safetensors is truncated or was changed" in refusal(run("verify", folder))
    assert "weights.safetensors is truncated or was changed" in refusal(run("inspect", folder))


def test_a_store_that_is_not_there(tmp_path: Path) -> None:
    assert "there is no such store" in refusal(run("list", tmp_path / "nowhere"))


def test_looking_at_a_store_does_not_import_torch() -> None:
    imports = "import sys, framepilot_app.models.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", imports], check=False).returncode == 0
