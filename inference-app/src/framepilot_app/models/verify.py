"""Opening a model's folder: everything is checked before anything of it is used, and every failure is a `ModelError`.

It runs beside the device thread in the serving process, so it never holds the interpreter for long: files are hashed in
large pieces, which releases the interpreter's lock, and of the tensors only the headers are read. Nothing is imported
that could execute a model's content.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from safetensors import SafetensorError, safe_open

from framepilot.contract.document import DocumentError
from framepilot_app.graphs.program import Program, ProgramError
from framepilot_app.models.fit import Shape, input_misfit, output_misfit
from framepilot_app.models.model import (
    ALL_FILES,
    EXAMPLE_FILE,
    LISTED_FILES,
    MODEL_FILE,
    PROGRAM_FILE,
    WEIGHTS_FILE,
    Model,
    ModelError,
    UnavailableError,
)
from framepilot_app.models.spec import ModelSpec, parse_spec

MiB: Final = 1 << 20
MAX_BYTES: Final[Mapping[str, int]] = {
    MODEL_FILE: MiB // 8,
    PROGRAM_FILE: 8 * MiB,
    WEIGHTS_FILE: 8192 * MiB,
    EXAMPLE_FILE: 512 * MiB,
}
"""The largest size of each file; a model's total is therefore bounded, too."""


def open_model(folder: Path, expected_sha256: str | None = None) -> Model:
    """Verify `<store>/<model>/<version>/`, whose name and version must be those of its folder.

    Raises:
        ModelError: anything is missing, superfluous, too large, changed, malformed, or does not fit together.
    """
    model = open_folder(folder, expected_sha256)
    found = (folder.parent.name, folder.name)
    if found != (model.spec.name, model.spec.version):
        raise ModelError(
            folder,
            f"{MODEL_FILE} says model '{model.spec.name}' version '{model.spec.version}', but the folder is "
            f"{found[0]}/{found[1]}; rename the folder, or pack the model again",
        )
    return model


def open_folder(folder: Path, expected_sha256: str | None = None) -> Model:
    """The same for a folder of any name.

    Raises:
        ModelError: as for `open_model`.
    """
    list_files(folder)
    text, sha256 = read_model_file(folder)
    if expected_sha256 is not None and sha256 != expected_sha256:
        raise ModelError(folder, another_digest(sha256, expected_sha256))
    spec = _spec(folder, text)
    _check_digests(folder, spec)
    model = Model(folder, spec, sha256)
    program = _program(model)
    _check_parameters(model, program)
    _check_example(model, program)
    return model


def another_digest(found: str, expected: str) -> str:
    """The refusal of a version that is not the one asked for."""
    return (
        f"another digest under the same version: {MODEL_FILE} has sha256 {found}, asked for is {expected}; a version "
        "never changes: pack the new content as a new version"
    )


def list_files(folder: Path) -> None:
    """Check that a folder holds exactly the files of a model, as regular files of allowed size.

    Raises:
        ModelError: it does not; unavailable, if it is not there or not whole.
    """
    try:
        with os.scandir(folder) as entries:
            found = {entry.name: entry.stat(follow_symlinks=False) for entry in entries}
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UnavailableError(folder, _missing_folder(folder)) from error
    except OSError as error:
        raise UnavailableError(folder, f"cannot be read: {error.strerror}; check the store's permissions") from error
    for name in ALL_FILES:
        if name not in found:
            raise UnavailableError(folder, f"{name} is missing; copy the whole folder again, or pack the model again")
    for name, status in found.items():
        if name not in ALL_FILES:
            raise ModelError(folder, f"{name!r} does not belong into a model's folder; remove it")
        if not stat.S_ISREG(status.st_mode):
            raise ModelError(folder, f"{name} is not a regular file; replace it by the file itself")
        if status.st_size > MAX_BYTES[name]:
            raise ModelError(folder, f"{name} has {status.st_size} bytes, allowed are {MAX_BYTES[name]}")


def _missing_folder(folder: Path) -> str:
    model, store = folder.parent, folder.parent.parent
    if folder.exists():
        return "is not a folder"
    if model.is_dir():
        return f"there is no version '{folder.name}'; there are: {_folders(model)}"
    if store.is_dir():
        return f"there is no model '{model.name}' in {store}; there are: {_folders(store)}"
    return f"there is no store {store}; check the URI, and that the volume is mounted"


def _folders(folder: Path) -> str:
    try:
        return ", ".join(sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))) or "none"
    except OSError as error:
        return f"unknown ({error.strerror})"


def read_model_file(folder: Path) -> tuple[bytes, str]:
    """The bytes of `model.yaml` and their sha256.

    Raises:
        ModelError: it cannot be read.
    """
    try:
        with (folder / MODEL_FILE).open("rb") as file:
            text = file.read(MAX_BYTES[MODEL_FILE])
    except OSError as error:
        raise ModelError(folder, f"{MODEL_FILE} cannot be read: {error.strerror}") from error
    return text, hashlib.sha256(text).hexdigest()


def read_spec(folder: Path) -> tuple[ModelSpec, str]:
    """What `model.yaml` says, and its sha256, without looking at the other files.

    Raises:
        ModelError: it cannot be read or understood.
    """
    text, sha256 = read_model_file(folder)
    return _spec(folder, text), sha256


def _spec(folder: Path, text: bytes) -> ModelSpec:
    try:
        spec = parse_spec(ModelSpec, text, MODEL_FILE)
    except DocumentError as error:
        raise ModelError(folder, f"{error}; pack the model again") from error
    if set(spec.files) != set(LISTED_FILES):
        raise ModelError(folder, f"{MODEL_FILE} lists {_names(spec.files)}, not {_names(LISTED_FILES)}")
    return spec


def _check_digests(folder: Path, spec: ModelSpec) -> None:
    for name, expected in spec.files.items():
        try:
            with (folder / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ModelError(folder, f"{name} cannot be read: {error.strerror}") from error
        if found != expected:
            raise ModelError(
                folder,
                f"{name} is truncated or was changed: sha256 {found}, expected {expected}; copy the folder again",
            )


def _program(model: Model) -> Program:
    try:
        program = Program.parse((model.folder / PROGRAM_FILE).read_bytes())
    except OSError as error:
        raise ModelError(model.folder, f"{PROGRAM_FILE} cannot be read: {error.strerror}") from error
    except ProgramError as error:
        raise ModelError(model.folder, f"{PROGRAM_FILE}: {error}") from error
    taken = program.input
    misfit = input_misfit(model.spec.input, (1, taken.channels, taken.height, taken.width))
    if misfit:
        raise ModelError(model.folder, f"{PROGRAM_FILE} does not fit {MODEL_FILE}: {misfit}; pack the model again")
    return program


def _check_parameters(model: Model, program: Program) -> None:
    stored = set(_header(model.folder, WEIGHTS_FILE))
    used = {name for node in program.nodes for name in node.parameters()}
    listed = set(program.parameters)
    for names, what in (
        (listed - stored, f"has no parameter that {PROGRAM_FILE} needs"),
        (stored - listed, f"has a parameter that {PROGRAM_FILE} does not list"),
        (listed - used, f"has a parameter that no operator of {PROGRAM_FILE} uses"),
    ):
        if names:
            raise ModelError(model.folder, f"{WEIGHTS_FILE} {what}: {_names(names)}; pack the model again")


def _check_example(model: Model, program: Program) -> None:
    header = _header(model.folder, EXAMPLE_FILE)
    outputs = [f"output.{index}" for index in range(len(program.outputs))]
    if set(header) != {"input", *outputs}:
        raise ModelError(
            model.folder,
            f"{EXAMPLE_FILE} holds {_names(header)}, not {_names(['input', *outputs])}; pack the model again",
        )
    for name, (dtype, _) in header.items():
        if dtype != "F32":
            raise ModelError(model.folder, f"{EXAMPLE_FILE}: {name} is {dtype}, not F32; pack the model again")
    spec, (_, shape) = model.spec, header["input"]
    misfit = input_misfit(spec.input, shape) or output_misfit(
        spec.output, spec.input, shape[0], [header[name][1] for name in outputs]
    )
    if misfit:
        raise ModelError(model.folder, f"{EXAMPLE_FILE} does not fit {MODEL_FILE}: {misfit}; pack the model again")


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)[:8]) or "nothing"


def _header(folder: Path, name: str) -> dict[str, tuple[str, Shape]]:
    """Element type and shape of each tensor of a safetensors file, without reading the tensors."""
    try:
        with safe_open(folder / name, framework="numpy") as file:
            slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
            return {key: (piece.get_dtype(), tuple(piece.get_shape())) for key, piece in slices.items()}
    except (OSError, SafetensorError) as error:
        raise ModelError(folder, f"{name} is not a safetensors file: {error}; pack the model again") from error
