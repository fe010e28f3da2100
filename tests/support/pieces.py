"""Has programs run in pieces of so many pictures, however small these are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from framepilot_app.graphs import pieces
from framepilot_app.graphs.program import ImageInput
from framepilot_app.graphs.work import item_bytes
from support.torch_threads import torch_threads


@contextmanager
def pieces_of(pictures: int, image: ImageInput) -> Iterator[None]:
    """What is compiled in here takes so many pictures of this size at once, and computes on one thread."""
    with torch_threads(1), pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "CACHE_BYTES", pictures * item_bytes((-1, image.channels, image.height, image.width)))
        yield
