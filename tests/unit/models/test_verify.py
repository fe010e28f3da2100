"""Every way in which a model's folder can be bad, and that each is refused with one error that says what to do."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from framepilot_app.graphs.program import Node, NodeRef
from framepilot_app.models import verify
from framepilot_app.models.folder import write_folder, write_model_file
from framepilot_app.models.model import (
    ALL_FILES,
    EXAMPLE_FILE,
    LISTED_FILES,
    MODEL_FILE,
    PROGRAM_FILE,
    WEIGHTS_FILE,
    Example,
    ModelError,
)
from framepilot_app.models.verify import open_model, read_spec
from support.tiny_model import TINY_PROGRAM, TINY_SPEC, tiny_example, tiny_weights, write_tiny_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "store")


def refusal(folder: Path, sha256: str | None = None) -> str:
    with pytest.raises(ModelError) as refused:
        open_model(folder, sha256)
    message = str(refused.value)
    assert str(folder) in message
    assert "\n" not in message
    return message


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / MODEL_FILE).read_bytes()).hexdigest()


def test_a_good_folder_opens(folder: Path) -> None:
    model = open_model(folder, digest(folder))
    assert model.sha256 == digest(folder)
    assert (model.spec.name, model.spec.version) == ("tiny", "1")
    assert model.program() == TINY_PROGRAM
    assert set(load_file(model.weights)) == {"weight", "bias"}
    example = model.example()
    torch.testing.assert_close(example.input, tiny_example().input, rtol=0, atol=0)
    torch.testing.assert_close(example.expected, tiny_example().expected, rtol=0, atol=0)


def test_what_changes_after_verifying_is_still_one_error(folder: Path) -> None:
    model = open_model(folder)
    (folder / PROGRAM_FILE).write_bytes(b"{}")
    (folder / EXAMPLE_FILE).unlink()
    with pytest.raises(ModelError, match="fetch it again"):
        model.program()
    with pytest.raises(ModelError, match="fetch it again"):
        model.example()


def test_a_missing_version_names_those_there_are(folder: Path) -> None:
    write_tiny_model(folder.parents[1], "2")
    assert "there is no version '3'; there are: 1, 2" in refusal(folder.parent / "3")


def test_a_missing_model_names_those_there_are(folder: Path) -> None:
    assert "there is no model 'huge'" in refusal(folder.parents[1] / "huge" / "1")
    assert "there are: tiny" in refusal(folder.parents[1] / "huge" / "1")


def test_a_missing_store_is_said(tmp_path: Path) -> None:
    assert "there is no store" in refusal(tmp_path / "nowhere" / "tiny" / "1")


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "1").write_text("?")
    assert "is not a folder" in refusal(tmp_path / "1")


@pytest.mark.parametrize("name", ALL_FILES)
def test_each_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert f"{name} is missing" in refusal(folder)


def test_a_file_too_many(folder: Path) -> None:
    (folder / "setup.py").write_text("import os")
    assert "'setup.py' does not belong" in refusal(folder)


@pytest.mark.parametrize("name", ALL_FILES)
def test_a_symbolic_link(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    assert f"{name} is not a regular file" in refusal(folder)


def test_another_digest_than_asked_for_names_both(folder: Path) -> None:
    message = refusal(folder, "0" * 64)
    assert "another digest under the same version" in message
    assert digest(folder) in message
    assert "0" * 64 in message


@pytest.mark.parametrize("name", LISTED_FILES)
def test_a_truncated_file(folder: Path, name: str) -> None:
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    assert f"{name} is truncated or was changed" in refusal(folder)


@pytest.mark.parametrize("name", LISTED_FILES)
def test_a_tampered_file(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    assert f"{name} is truncated or was changed" in refusal(folder)


@pytest.mark.parametrize("name", ALL_FILES)
def test_an_oversized_file_is_refused_unread(folder: Path, name: str) -> None:
    with (folder / name).open("r+b") as file:
        file.truncate(verify.MAX_BYTES[name] + 1)
    assert f"{name} has {verify.MAX_BYTES[name] + 1} bytes, allowed are {verify.MAX_BYTES[name]}" in refusal(folder)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text[:0] + b"\x00\x01", "not YAML"),
        (lambda text: text[: len(text) // 3], "model.yaml"),
        (lambda text: text + b"colour: red\n", "colour: unknown field"),
        (lambda text: text.replace(b"width: 8", b"width: 0"), "input.width"),
        (lambda text: text.replace(b"  weights.safetensors", b"  ../../etc/passwd"), "../../etc/passwd"),
        (lambda text: text.replace(b"width: 8", b"width: 16"), "does not fit"),
        (lambda text: text.replace(b"  - light", b"  - light\n  - bright"), "with 3 labels takes scores of 1 x 3"),
        (lambda text: text.replace(b"name: tiny", b"name: huge"), "says model 'huge' version '1'"),
        (lambda text: text.replace(b"version: '1'", b"version: '2'"), "says model 'tiny' version '2'"),
    ],
)
def test_a_bad_model_file(folder: Path, change: Callable[[bytes], bytes], says: str) -> None:
    text = (folder / MODEL_FILE).read_bytes()
    assert change(text) != text
    (folder / MODEL_FILE).write_bytes(change(text))
    assert says in refusal(folder)


def test_an_operator_that_is_not_allowed(folder: Path) -> None:
    program = (folder / PROGRAM_FILE).read_bytes()
    (folder / PROGRAM_FILE).write_bytes(program.replace(b"aten.linear.default", b"aten.from_file.default"))
    write_model_file(folder, TINY_SPEC)
    assert "'aten.from_file.default' is not allowed" in refusal(folder)


def test_a_program_that_is_not_one(folder: Path) -> None:
    (folder / PROGRAM_FILE).write_bytes(b"[]")
    write_model_file(folder, TINY_SPEC)
    assert PROGRAM_FILE in refusal(folder)


@pytest.mark.parametrize("name", [WEIGHTS_FILE, EXAMPLE_FILE])
@pytest.mark.parametrize("content", [b"", b"\xff" * 64, b"\x02\0\0\0\0\0\0\0{]"])
def test_a_malformed_tensor_file(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    write_model_file(folder, TINY_SPEC)
    assert f"{name} is not a safetensors file" in refusal(folder)


def test_a_parameter_that_is_missing(folder: Path) -> None:
    save_file({"weight": tiny_weights()["weight"]}, folder / WEIGHTS_FILE)
    write_model_file(folder, TINY_SPEC)
    assert "has no parameter that program.json needs: bias" in refusal(folder)


def test_a_parameter_that_nothing_lists(folder: Path) -> None:
    save_file({**tiny_weights(), "ballast": torch.zeros(9)}, folder / WEIGHTS_FILE)
    write_model_file(folder, TINY_SPEC)
    assert "has a parameter that program.json does not list: ballast" in refusal(folder)


def test_a_parameter_that_no_operator_uses(tmp_path: Path) -> None:
    folder = tmp_path / "tiny" / "1"
    colour_only = type(TINY_PROGRAM)(
        TINY_PROGRAM.input,
        (Node("colour", "aten.mean.dim", (NodeRef("image"), (2, 3))),),
        ("colour",),
        TINY_PROGRAM.parameters,
    )
    write_folder(folder, TINY_SPEC, colour_only, tiny_weights(), tiny_example())
    assert "has a parameter that no operator of program.json uses: bias, weight" in refusal(folder)


@pytest.mark.parametrize(
    ("example", "says"),
    [
        (Example(torch.zeros(1, 3, 4, 4), (torch.zeros(1, 2),)), "the input is 1 x 3 x 4 x 4"),
        (Example(torch.zeros(1, 3, 8, 8), (torch.zeros(2, 2),)), "takes scores of 1 x 2, the network gives 2 x 2"),
        (Example(torch.zeros(1, 3, 8, 8), ()), "holds input, not input, output.0"),
        (Example(torch.zeros(1, 3, 8, 8), (torch.zeros(1, 2), torch.zeros(1))), "holds input, output.0, output.1"),
        (Example(torch.zeros(1, 3, 8, 8, dtype=torch.float16), (torch.zeros(1, 2),)), "input is F16, not F32"),
    ],
)
def test_an_example_that_does_not_fit(tmp_path: Path, example: Example, says: str) -> None:
    folder = tmp_path / "tiny" / "1"
    write_folder(folder, TINY_SPEC, TINY_PROGRAM, tiny_weights(), example)
    assert says in refusal(folder)


def test_reading_the_spec_alone_looks_at_no_other_file(folder: Path) -> None:
    (folder / WEIGHTS_FILE).unlink()
    spec, sha256 = read_spec(folder)
    assert (spec.name, sha256) == ("tiny", digest(folder))
