"""The cluster as a whole: `up` starts what does not run as it should, `down` leaves the machine as it was.

Both may be repeated, and after a crash or a reboot too: each step looks first at what is there.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from support.cluster import (
    certificates,
    components,
    dns,
    footprint,
    images,
    network,
    packages,
    paths,
    pods,
    processes,
    settings,
    tools,
)
from support.cluster.commands import run
from support.cluster.errors import ClusterSetupError
from support.cluster.progress import progress, say

READY_TIMEOUT_S = 600.0
POLL_S = 0.5


def up() -> None:
    """Bring the cluster up, whatever of it there is; return when a node is ready and DNS answers.

    Raises:
        ClusterSetupError: something is missing or does not start.
    """
    _require_root()
    with _alone():
        packages.install_missing()
        tools.build_missing()
        if not paths.FOOTPRINT.exists():
            network.refuse_another_cluster()
        footprint.write_down()
        certificates.make_missing()
        network.set_up()
        paths.REGISTRY_LAYERS.mkdir(parents=True, exist_ok=True)
        for name in components.names():
            components.start(name)
            if name == "registry":
                images.push_missing()
        _until("the node to be ready", _node_is_ready)
        _until("the service accounts of pods", _has_service_accounts)
        _kubectl("apply", "--filename=-", given=dns.manifest())
        _until("DNS to answer (see `kubectl -n kube-system describe pods` if it never does)", dns.answers)
        unfinished = paths.KUBECONFIG.with_suffix(".unfinished")
        unfinished.write_text(settings.kubeconfig("admin"))
        unfinished.replace(paths.KUBECONFIG)


def down() -> None:
    """Stop the cluster and remove what it made; the tools and the layers of images stay for the next time.

    Raises:
        ClusterSetupError: something could not be ended or removed.
    """
    _require_root()
    with _alone():
        if not paths.FOOTPRINT.exists():
            say("there is no cluster")
            return
        for name in reversed(components.names()):
            say(f"stopping {name}")
            processes.stop(name)
        say("removing pods, mounts, networks and data")
        pods.remove()
        network.remove()
        footprint.undo()
        pods.remove_folders()


def _require_root() -> None:
    if os.geteuid() != 0:
        raise ClusterSetupError("a cluster needs root: it mounts, makes networks and runs containers. Run it with sudo")


@contextmanager
def _alone() -> Iterator[None]:
    """One of these at a time on the machine."""
    paths.CACHE.mkdir(parents=True, exist_ok=True)
    with paths.LOCK.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another one of these commands")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _until(what: str, holds: Callable[[], bool]) -> None:
    if holds():
        return
    give_up_at = time.monotonic() + READY_TIMEOUT_S
    with progress(f"waiting for {what}"):
        while not holds():
            if time.monotonic() > give_up_at:
                raise ClusterSetupError(f"gave up waiting for {what}; logs of the cluster: {paths.LOGS}")
            time.sleep(POLL_S)


def _node_is_ready() -> bool:
    nodes = json.loads(_kubectl("get", "nodes", "--output=json"))["items"]
    conditions = [each for node in nodes for each in node["status"].get("conditions", [])]
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _has_service_accounts() -> bool:
    accounts = json.loads(_kubectl("get", "serviceaccounts", "--all-namespaces", "--output=json"))["items"]
    return {"default", "kube-system"} <= {each["metadata"]["namespace"] for each in accounts}


def _kubectl(*arguments: str, given: str | None = None) -> str:
    file = paths.CONFIG / "admin.kubeconfig"
    file.write_text(settings.kubeconfig("admin"))
    return run([paths.KUBECTL, f"--kubeconfig={file}", *arguments], given=given)
