"""Where everything of the development cluster lies: nothing of it stands in the checkout.

What takes long to make is kept by version under `${XDG_CACHE_HOME:-~/.cache}/framepilot` (tools, layers of images);
what runs is one folder beside it that `down` removes. Sockets stand under /run, where their paths are short enough.
"""

from __future__ import annotations

import os
from pathlib import Path

from support.cluster import versions

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "framepilot"
TOOLS = CACHE / "tools"

CLUSTER = CACHE / "cluster"
KUBECONFIG = CLUSTER / "kubeconfig"
CERTIFICATES = CLUSTER / "certificates"
CONFIG = CLUSTER / "config"
DATA = CLUSTER / "data"
LOGS = CLUSTER / "logs"
PROCESSES = CLUSTER / "processes"
FOOTPRINT = CLUSTER / "footprint.json"
LOCK = CACHE / "cluster.lock"
RUN = Path("/run/framepilot-cluster")
CONTAINERD_SOCKET = RUN / "containerd.sock"

REGISTRY = "127.0.0.1:5000"
REGISTRY_LAYERS = CACHE / "registry"


def tool_folder(name: str) -> Path:
    """Where the binaries of one of `versions.MODULES` lie, once they are built."""
    return TOOLS / f"{name}-{versions.version(name)}"


KUBERNETES = tool_folder("kubernetes")
KUBECTL = KUBERNETES / "kubectl"
HELM = tool_folder("helm") / "helm"
KUBECONFORM = tool_folder("kubeconform") / "kubeconform"
COREDNS = tool_folder("coredns") / "coredns"
