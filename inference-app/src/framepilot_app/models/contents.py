"""What is in a parameter file: the digest of every parameter, apart from its name. Reads it once, without torch.

The format is that of safetensors: the length of a header in 8 bytes, little endian; the header, JSON, with type, shape
and place of every tensor; their bytes. `verify` has the library check it; here each tensor's bytes are needed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import pydantic_core

from framepilot_app.graphs.parameter import Parameter, TensorType
from framepilot_app.models.model import ModelError
from framepilot_app.stamp import Stamp

_MAX_HEADER: Final = 100_000_000
_PIECE: Final = 1 << 20
_TYPES: Final = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
    "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Contents:
    """A file's sha256, its parameters by name, and what the system said of it while it was read."""

    sha256: str
    parameters: Mapping[str, Parameter]
    stamp: Stamp

    @property
    def types(self) -> dict[str, TensorType]:
        """Element types and shapes, by name."""
        return {name: parameter.type for name, parameter in self.parameters.items()}


def read_contents(path: Path) -> Contents:
    """Read a parameter file.

    Raises:
        ModelError: it cannot be read, is no safetensors file, or is being changed.
    """
    try:
        with path.open("rb") as file:
            stamp = Stamp.of(os.fstat(file.fileno()))
            contents = Contents(*_read(file), stamp)
            if Stamp.of(os.fstat(file.fileno())) != stamp:
                raise ModelError(path, "is being changed; fetch the model again when nobody writes to it")
            return contents
    except OSError as error:
        raise ModelError(path, f"cannot be read: {error.strerror}; fetch the model again") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(path, f"is not a safetensors file: {error}; pack the model again") from error


def _read(file: BinaryIO) -> tuple[str, dict[str, Parameter]]:
    length = file.read(8)
    header = file.read(min(int.from_bytes(length, "little"), _MAX_HEADER))
    whole = hashlib.sha256(length + header)
    described = pydantic_core.from_json(header)
    described.pop("__metadata__", None)
    parameters: dict[str, Parameter] = {}
    for name, entry in sorted(described.items(), key=lambda item: item[1]["data_offsets"]):
        begin, end = entry["data_offsets"]
        kind = TensorType(_TYPES[entry["dtype"]], tuple(entry["shape"]))
        digest = hashlib.sha256(f"{kind.dtype} {kind.shape}\n".encode())
        for _ in range(begin, end, _PIECE):
            piece = file.read(min(_PIECE, end - begin))
            begin += len(piece)
            digest.update(piece)
            whole.update(piece)
        if begin != end:
            raise ValueError(f"it ends within '{name}'")
        parameters[name] = Parameter(digest.hexdigest(), kind)
    whole.update(file.read(1))
    return whole.hexdigest(), parameters
