"""The image of what cameras and brokers are in tests: GStreamer's RTSP server and mosquitto, from Debian's packages.

It holds no file of ours: what a server is told comes with its pod.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from support.images import base
from support.images.base import Recipe
from support.images.build import Image, alone, cache_folder, prune, push
from support.images.buildah import Buildah
from support.images.registry import Registry
from support.images.tags import LENGTH

RECIPE = replace(
    Recipe(),
    packages=(
        *("python3-gi", "gir1.2-gst-rtsp-server-1.0"),
        *("gstreamer1.0-plugins-base", "gstreamer1.0-plugins-good", "gstreamer1.0-plugins-ugly"),
        "mosquitto",
    ),
)


def publish(registry: Registry, environment: Mapping[str, str]) -> str:
    """Have the image in the registry; its reference.

    Raises:
        ImagesError: it cannot be made or pushed.
    """
    image = Image("servers", RECIPE.key[:LENGTH])
    if registry.digest(image.repository, image.tag) is None:
        buildah = Buildah(cache_folder(environment))
        with alone(buildah.folder):
            if buildah.digest(image.name) is None:
                base.make(buildah, image.name, RECIPE)
            push(buildah, image, registry)
            prune(buildah, [image], registry)
    return image.reference(registry)
