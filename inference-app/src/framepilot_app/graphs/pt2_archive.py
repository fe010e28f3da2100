"""The records of a `torch.export.save` archive, read without torch's reader: tensors as bytes and the graph as JSON.

torch's own reader unpickles weights, constants and sample inputs when the archive says so, loads compiled code, imports
what names in the graph ask for, and evaluates size expressions: reading an archive from outside is running it. Here it
is bytes and JSON, and what would need more than that is refused before anything of it is used.
"""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from framepilot_app.graphs.conversion import ExportError

MAX_BYTES: Final = 4 << 30
_MAX_JSON_BYTES: Final = 256 << 20

Json = object
"""What `json.loads` gives; only looked into after a check of its type."""

DTYPES: Final[Mapping[int, torch.dtype]] = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    12: torch.bool,
    13: torch.bfloat16,
}
"""`ScalarType` of the archive's schema."""


@dataclass(frozen=True, slots=True)
class Pt2Archive:
    """What a program needs of an archive: the graph and its signature as JSON, and all tensors by their full names."""

    graph_module: Mapping[str, Json]
    tensors: Mapping[str, torch.Tensor]

    @classmethod
    def read(cls, path: Path) -> Pt2Archive:
        """Read an archive of one model.

        Raises:
            ExportError: it is damaged, too large, or holds something that only running code could read.
        """
        try:
            with zipfile.ZipFile(path) as archive:
                records = _records(archive, path)
        except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise ExportError(f"not a .pt2 archive: {error}", str(path), _SAVE_AGAIN) from error
        _refuse_code(records, path)
        try:
            (graph,) = [name for name in records if name.startswith("models/")]
            stem = graph.removeprefix("models/").removesuffix(".json")
            tensors = _tensors(records, "data/weights/", f"{stem}_weights_config.json", path)
            tensors |= _tensors(records, "data/constants/", f"{stem}_constants_config.json", path)
            document = _load_json(records[graph])
            return cls(as_object(as_object(document)["graph_module"]), tensors)
        except (KeyError, TypeError, ValueError, RuntimeError, RecursionError) as error:
            raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> ExportError:
    """The error for an archive whose content is not as its format says."""
    return ExportError(f"damaged, or of an unknown form: {type(error).__name__}: {error}", str(path), _SAVE_AGAIN)


def as_object(value: Json) -> dict[str, Json]:
    """A JSON object.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(value, dict):
        raise TypeError(f"expected an object, got {type(value).__name__}")
    return value


def as_list(value: Json) -> list[Json]:
    """A JSON array.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(value, list):
        raise TypeError(f"expected a list, got {type(value).__name__}")
    return value


def as_text(value: Json) -> str:
    """A JSON string.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(value, str):
        raise TypeError(f"expected a string, got {type(value).__name__}")
    return value


def as_int(value: Json) -> int:
    """A whole number.

    Raises:
        TypeError: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"expected a whole number, got {type(value).__name__}")
    return value


_SAVE_AGAIN: Final = "save it again with torch.export.save"
_TRUST: Final = "save the model with plain tensors only or export it to ONNX; if you trust its author, add --trust"


def _records(archive: zipfile.ZipFile, path: Path) -> dict[str, bytes]:
    entries = archive.infolist()
    if sum(entry.file_size for entry in entries) > MAX_BYTES:
        raise ExportError(f"more than {MAX_BYTES} bytes", str(path), "export a smaller model")
    records: dict[str, bytes] = {}
    for entry in entries:
        _, _, name = entry.filename.partition("/")
        if name in records:
            raise ExportError(f"holds '{name}' twice", str(path), _SAVE_AGAIN)
        records[name] = archive.read(entry)
    return records


def _refuse_code(records: Mapping[str, bytes], path: Path) -> None:
    for name, content in records.items():
        base = name.rpartition("/")[2]
        if name.startswith("data/aotinductor/"):
            raise ExportError(f"holds compiled code ('{name}')", str(path), _TRUST)
        if base.startswith(("custom_obj_", "opaque_obj_")) or (
            name.startswith(("data/weights/", "data/constants/")) and name.endswith(".pt")
        ):
            raise _pickled(name, path)
        if name.startswith("data/sample_inputs/") and content and not _is_plain(content):
            raise _pickled(name, path)


def _pickled(name: str, path: Path) -> ExportError:
    return ExportError(f"holds pickled content ('{name}'), and reading that can execute anything", str(path), _TRUST)


def _is_plain(content: bytes) -> bool:
    """Whether torch's restricted unpickler, which calls nothing but constructors of tensors, can read it."""
    try:
        torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    except (pickle.UnpicklingError, RuntimeError, ValueError, TypeError, KeyError, EOFError, AttributeError):
        return False
    return True


def _tensors(records: Mapping[str, bytes], folder: str, config: str, path: Path) -> dict[str, torch.Tensor]:
    entries = as_object(as_object(_load_json(records[folder + config]))["config"])
    tensors: dict[str, torch.Tensor] = {}
    for name, value in entries.items():
        entry = as_object(value)
        record = folder + as_text(entry["path_name"])
        if entry["use_pickle"] is not False:
            raise _pickled(record, path)
        tensors[name] = _tensor(records[record], as_object(entry["tensor_meta"]))
    return tensors


def _tensor(content: bytes, meta: Mapping[str, Json]) -> torch.Tensor:
    dtype = DTYPES[as_int(meta["dtype"])]
    sizes = [as_int(as_object(size)["as_int"]) for size in as_list(meta["sizes"])]
    strides = [as_int(as_object(stride)["as_int"]) for stride in as_list(meta["strides"])]
    if not content:
        return torch.zeros(sizes, dtype=dtype)
    flat = torch.frombuffer(bytearray(content), dtype=dtype)
    offset = as_int(as_object(meta["storage_offset"])["as_int"])
    return torch.as_strided(flat, sizes, strides, offset).clone()


def _load_json(content: bytes) -> Json:
    if len(content) > _MAX_JSON_BYTES:
        raise ValueError(f"{len(content)} bytes of JSON")
    parsed: Json = json.loads(content)
    return parsed
