"""Has programs run in pieces of so many pictures, however small these are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from framepilot_app.graphs import pieces
from framepilot_app.graphs.program import ImageInput
from framepilot_app.graphs.work import item_bytes


@contextmanager
def pieces_of(pictures: int, image: ImageInput) -> Iterator[None]:
    """What is compiled in here takes so many pictures of this size at once, and computes on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "CACHE_BYTES", pictures * item_bytes((-1, image.channels, image.height, image.width)))
        try:
            yield
        finally:
            torch.set_num_threads(threads)
