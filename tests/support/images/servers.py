"""The images of the servers that instances and the operator meet in tests, from Debian's packages.

They hold no file of ours: what a server is told comes with its pod.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from support.images import base
from support.images.base import Recipe
from support.images.build import Image, alone, cache_folder, prune, push
from support.images.buildah import Buildah
from support.images.registry import Registry
from support.images.tags import LENGTH

SERVERS: Final = "servers"
PROMETHEUS: Final = "prometheus"

PACKAGES: Final[Mapping[str, tuple[str, ...]]] = {
    # What cameras and brokers are: GStreamer's RTSP server and mosquitto.
    SERVERS: (
        *("python3-gi", "gir1.2-gst-rtsp-server-1.0"),
        *("gstreamer1.0-plugins-base", "gstreamer1.0-plugins-good", "gstreamer1.0-plugins-ugly"),
        "mosquitto",
    ),
    PROMETHEUS: ("prometheus",),
}
"""By image."""


def publish(registry: Registry, environment: Mapping[str, str], name: str) -> str:
    """Have the image of this name in the registry; its reference.

    Raises:
        ImagesError: it cannot be made or pushed.
    """
    recipe = replace(Recipe(), packages=PACKAGES[name])
    image = Image(name, recipe.key[:LENGTH])
    if registry.digest(image.repository, image.tag) is None:
        buildah = Buildah(cache_folder(environment))
        with alone(buildah.folder):
            if buildah.digest(image.name) is None:
                base.make(buildah, image.name, recipe)
            push(buildah, image, registry)
            prune(buildah, [image], registry)
    return image.reference(registry)
