"""What a parameter is, apart from its name: its contents, by which it is known wherever it occurs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

_ITEM_BYTES: Final = {
    "float64": 8, "int64": 8, "float32": 4, "int32": 4, "float16": 2, "bfloat16": 2, "int16": 2, "int8": 1, "uint8": 1,
    "bool": 1,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TensorType:
    """Element type, by torch's name, e.g. `float32`, and shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """As many as such a tensor takes; 0 of an element type that is not known here."""
        return math.prod(self.shape) * _ITEM_BYTES.get(self.dtype, 0)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A tensor of a model. Equal digests mean equal types and bytes."""

    digest: str
    type: TensorType
