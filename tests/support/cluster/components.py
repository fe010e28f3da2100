"""The processes that are the cluster: each can be stopped, started and restarted by its name, as tests of outages do.

A component is started only if it does not run as it should, so doing it twice does nothing; it counts as started once
it answers. What it needs must run already: `COMPONENTS` is in that order.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from support.cluster import paths, processes, settings
from support.cluster.commands import tail
from support.cluster.errors import ClusterSetupError
from support.cluster.progress import say

START_TIMEOUT_S = 300.0
POLL_S = 0.1
ANSWER_TIMEOUT_S = 10.0
RESOLVERS = (Path("/run/systemd/resolve/resolv.conf"), Path("/etc/resolv.conf"))
"""The first that exists is the node's: systemd's other file names itself as the server, which pods cannot reach."""


@dataclass(frozen=True)
class Component:
    """A process, the files that it reads, and how one sees that it answers."""

    name: str
    command: Sequence[str]
    answers: Callable[[], bool]
    files: Mapping[Path, str] = field(default_factory=dict)

    def digest(self) -> str:
        """Of what it is started with."""
        content = repr((tuple(self.command), sorted((str(path), text) for path, text in self.files.items())))
        return hashlib.sha256(content.encode()).hexdigest()


def start(name: str) -> bool:
    """Start a component and wait until it answers; False if it ran already, as it should.

    Raises:
        ClusterSetupError: it ended, or does not answer; the end of its log stands in the message.
    """
    component = _component(name)
    running = processes.running(name)
    if running is not None and running.digest == component.digest():
        _wait(component)
        return False
    processes.stop(name)
    for path, content in component.files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    say(f"starting {name}")
    processes.start(name, component.command, component.digest())
    _wait(component)
    return True


def stop(name: str) -> None:
    """End a component; pods go on running without kubelet and containerd."""
    processes.stop(_component(name).name)


def restart(name: str) -> None:
    """End it, start it again, wait until it answers."""
    stop(name)
    start(name)


def names() -> list[str]:
    """Of all components, in the order in which they are started."""
    return [component.name for component in COMPONENTS]


def _component(name: str) -> Component:
    for component in COMPONENTS:
        if component.name == name:
            return component
    raise ClusterSetupError(f"the cluster has no component {name}; it has {', '.join(names())}")


def _wait(component: Component) -> None:
    give_up_at = time.monotonic() + START_TIMEOUT_S
    while not component.answers():
        log = processes.log_of(component.name)
        if processes.running(component.name) is None:
            said = tail(log.read_text(errors="replace"))
            raise ClusterSetupError(f"{component.name} ended instead of answering; the end of its log, {log}:\n{said}")
        if time.monotonic() > give_up_at:
            said = tail(log.read_text(errors="replace"))
            raise ClusterSetupError(f"{component.name} runs but does not answer; the end of its log, {log}:\n{said}")
        time.sleep(POLL_S)


def _http(url: str) -> Callable[[], bool]:
    """Answers 200, whatever its certificate: the parts that are asked so make their own, and listen on loopback."""
    untested = ssl.create_default_context()
    untested.check_hostname = False
    untested.verify_mode = ssl.CERT_NONE
    return lambda: _answers(url, untested)


def _api_server_answers() -> bool:
    folder = paths.CERTIFICATES
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    context.load_cert_chain(folder / "admin.crt", folder / "admin.key")
    return _answers(f"{settings.API_SERVER}/readyz", context)


def _answers(url: str, context: ssl.SSLContext) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with direct.open(url, timeout=ANSWER_TIMEOUT_S) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _containerd_answers() -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(ANSWER_TIMEOUT_S)
        try:
            client.connect(str(paths.CONTAINERD_SOCKET))
        except OSError:
            return False
    return True


def _with_identity(name: str) -> dict[Path, str]:
    return {paths.CONFIG / f"{name}.kubeconfig": settings.kubeconfig(name)}


def _resolver() -> Path:
    return next((path for path in RESOLVERS if path.exists()), RESOLVERS[-1])


_REGISTRY = paths.CONFIG / "registry.yaml"
_CONTAINERD = paths.CONFIG / "containerd.toml"
_KUBELET = paths.CONFIG / "kubelet.yaml"
_KUBE_PROXY = paths.CONFIG / "kube-proxy.yaml"

COMPONENTS = (
    Component(
        "registry",
        ["docker-registry", "serve", str(_REGISTRY)],
        _http(f"http://{paths.REGISTRY}/v2/"),
        {_REGISTRY: settings.registry()},
    ),
    Component("etcd", settings.etcd(), _http(f"http://127.0.0.1:{settings.ETCD_PORT}/health")),
    Component("kube-apiserver", settings.api_server(), _api_server_answers),
    Component(
        "kube-controller-manager",
        settings.controller_manager(),
        _http("https://127.0.0.1:10257/healthz"),
        _with_identity("kube-controller-manager"),
    ),
    Component(
        "kube-scheduler",
        settings.scheduler(),
        _http("https://127.0.0.1:10259/healthz"),
        _with_identity("kube-scheduler"),
    ),
    Component(
        "containerd",
        ["containerd", f"--config={_CONTAINERD}"],
        _containerd_answers,
        {_CONTAINERD: settings.containerd(), paths.CONFIG / "cni" / "framepilot.conflist": settings.pod_network()},
    ),
    Component(
        "kubelet",
        [
            str(paths.KUBERNETES / "kubelet"),
            f"--config={_KUBELET}",
            f"--kubeconfig={paths.CONFIG}/kubelet.kubeconfig",
            f"--root-dir={paths.DATA}/kubelet",
            f"--cert-dir={paths.DATA}/kubelet/certificates",
            f"--hostname-override={settings.NODE}",
            f"--node-ip={settings.NODE_ADDRESS}",
        ],
        _http("http://127.0.0.1:10248/healthz"),
        {_KUBELET: settings.kubelet(_resolver()), **_with_identity("kubelet")},
    ),
    Component(
        "kube-proxy",
        [str(paths.KUBERNETES / "kube-proxy"), f"--config={_KUBE_PROXY}"],
        _http("http://127.0.0.1:10256/healthz"),
        {_KUBE_PROXY: settings.kube_proxy(), **_with_identity("kube-proxy")},
    ),
)
