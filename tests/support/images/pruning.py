"""Which images may go, so that the disk does not fill: pure decisions from what the storage and the registry list.

An untagged image is a step of a build. It is kept while a tagged one stands on it: it costs nothing then, and the
next build begins there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from support.images.buildah import StoredImage

KEPT_TAGS = 3
"""How many tags each image keeps: the newest, and those that a rollback goes to."""


def old_names(images: Iterable[StoredImage], repository: str, current: str) -> tuple[str, ...]:
    """The names of a repository that are neither `current` nor among its newest, oldest first."""
    newest_first = sorted(images, key=lambda image: image.created, reverse=True)
    names = [name for image in newest_first for name in image.names if name.rpartition(":")[0] == repository]
    others = [name for name in names if name != current]
    return tuple(reversed(others[KEPT_TAGS - 1 :]))


def without_names(images: Iterable[StoredImage], names: Collection[str]) -> list[StoredImage]:
    """The images as they are once these names are taken from them."""
    return [replace(image, names=tuple(name for name in image.names if name not in names)) for image in images]


def leftovers(images: Collection[StoredImage]) -> tuple[str, ...]:
    """The ids of untagged images that no tagged one stands on, those with the most layers first."""
    tagged = [image.layers for image in images if image.names]
    loose = [
        image
        for image in images
        if not image.names and not any(layers[: len(image.layers)] == image.layers for layers in tagged)
    ]
    return tuple(image.id for image in sorted(loose, key=lambda image: len(image.layers), reverse=True))


def deletable(digests: Mapping[str, str], kept: Collection[str]) -> frozenset[str]:
    """The manifests in a registry that no kept tag names; `digests` by tag. Equal images are one manifest."""
    needed = {digest for tag, digest in digests.items() if tag in kept}
    return frozenset(digests.values()) - needed
