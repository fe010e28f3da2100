"""How the parts of the cluster are configured. Pure: what the files hold and the commands say, nothing is written here.

Everything listens on loopback or on the bridge that the pods hang on, which is also the node's address: nothing of the
cluster can be reached from another machine. The settings that are not plain are those that let it run where a process
has no CAP_SYS_RESOURCE, cgroups are of version 1, or the disk is rather full; each says so.
"""

from __future__ import annotations

import json
from pathlib import Path

from support.cluster import paths, versions
from support.cluster.packages import CNI_PLUGINS
from support.cluster.tools import source_digest

NODE = "node-1"
BRIDGE = "framepilot0"
NODE_ADDRESS = "10.244.0.1"
POD_RANGE = "10.244.0.0/24"
SERVICE_RANGE = "10.96.0.0/16"
API_SERVICE_ADDRESS = "10.96.0.1"
DNS_ADDRESS = "10.96.0.10"
DNS_DOMAIN = "cluster.local"
API_PORT = 6443
API_SERVER = f"https://{NODE_ADDRESS}:{API_PORT}"
ETCD_PORT = 12379
ETCD_PEER_PORT = 12380
PAUSE_IMAGE = f"{paths.REGISTRY}/pause:{versions.version('kubernetes')}"
DNS_IMAGE = f"{paths.REGISTRY}/coredns:{versions.version('coredns')}-{source_digest(versions.GO / 'coredns')[:8]}"

IDENTITIES = {
    "admin": "/O=system:masters/CN=framepilot-admin",
    "kube-controller-manager": "/CN=system:kube-controller-manager",
    "kube-scheduler": "/CN=system:kube-scheduler",
    "kube-proxy": "/CN=system:kube-proxy",
    "kubelet": f"/O=system:nodes/CN=system:node:{NODE}",
    "apiserver-kubelet-client": "/O=system:masters/CN=kube-apiserver-kubelet-client",
}
"""Who has a client certificate, and as whom: Kubernetes' own roles are bound to these names."""


def kubeconfig(identity: str) -> str:
    """How one of the identities reaches the API server."""
    folder = paths.CERTIFICATES
    user = {"client-certificate": f"{folder}/{identity}.crt", "client-key": f"{folder}/{identity}.key"}
    cluster = {"server": API_SERVER, "certificate-authority": f"{folder}/ca.crt"}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "framepilot", "cluster": cluster}],
        "users": [{"name": identity, "user": user}],
        "contexts": [{"name": "framepilot", "context": {"cluster": "framepilot", "user": identity}}],
        "current-context": "framepilot",
    }
    return as_json(content)


def etcd() -> list[str]:
    """Its command line."""
    client, peer = f"http://127.0.0.1:{ETCD_PORT}", f"http://127.0.0.1:{ETCD_PEER_PORT}"
    return [
        "etcd",
        "--name=framepilot",
        f"--data-dir={paths.DATA}/etcd",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=framepilot={peer}",
    ]


def api_server() -> list[str]:
    """Its command line: RBAC and the node authorizer, the default admission and that of nodes."""
    folder = paths.CERTIFICATES
    return [
        str(paths.KUBERNETES / "kube-apiserver"),
        f"--etcd-servers=http://127.0.0.1:{ETCD_PORT}",
        f"--bind-address={NODE_ADDRESS}",
        f"--advertise-address={NODE_ADDRESS}",
        f"--secure-port={API_PORT}",
        f"--tls-cert-file={folder}/apiserver.crt",
        f"--tls-private-key-file={folder}/apiserver.key",
        f"--client-ca-file={folder}/ca.crt",
        f"--kubelet-client-certificate={folder}/apiserver-kubelet-client.crt",
        f"--kubelet-client-key={folder}/apiserver-kubelet-client.key",
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-key-file={folder}/service-accounts.key",
        f"--service-account-signing-key-file={folder}/service-accounts.key",
        f"--service-account-issuer=https://kubernetes.default.svc.{DNS_DOMAIN}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        # Tells those who watch that it ends; without it it waits a minute for them to go.
        "--shutdown-watch-termination-grace-period=5s",
    ]


def controller_manager() -> list[str]:
    """Its command line. One of it runs, so it elects no leader: that saves writes all the time."""
    return [
        str(paths.KUBERNETES / "kube-controller-manager"),
        f"--kubeconfig={paths.CONFIG}/kube-controller-manager.kubeconfig",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        "--use-service-account-credentials=true",
        f"--flex-volume-plugin-dir={paths.DATA}/kubelet/volume-plugins",
        f"--root-ca-file={paths.CERTIFICATES}/ca.crt",
        f"--service-account-private-key-file={paths.CERTIFICATES}/service-accounts.key",
    ]


def scheduler() -> list[str]:
    """Its command line."""
    return [
        str(paths.KUBERNETES / "kube-scheduler"),
        f"--kubeconfig={paths.CONFIG}/kube-scheduler.kubeconfig",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
    ]


def registry() -> str:
    """Configuration of docker-registry (YAML, of which JSON is a part); layers stay when the cluster goes."""
    return as_json(
        {
            "version": 0.1,
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {
                "filesystem": {"rootdirectory": str(paths.REGISTRY_LAYERS)},
                "delete": {"enabled": True},
            },
            "http": {"addr": paths.REGISTRY},
        }
    )


def containerd() -> str:
    """Configuration of containerd, which shares nothing with another one on the machine."""
    return f"""\
version = 2
root = "{paths.DATA}/containerd"
state = "{paths.RUN}/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.nri.v1.nri"]

[grpc]
  address = "{paths.CONTAINERD_SOCKET}"

[plugins."io.containerd.internal.v1.opt"]
  path = "{paths.DATA}/containerd-opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  netns_mounts_under_state_dir = true
  # runc cannot make a process less likely to be killed without CAP_SYS_RESOURCE, and would end in a riddle.
  restrict_oom_score_adj = true

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        Root = "{paths.RUN}/runc"
        SystemdCgroup = false

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_PLUGINS}"
    conf_dir = "{paths.CONFIG}/cni"
"""


def pod_network() -> str:
    """CNI: pods hang on the bridge. The way out of it is one rule of `network`, so that pods leave no rules behind."""
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": POD_RANGE, "gateway": NODE_ADDRESS}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": f"{paths.DATA}/pod-addresses",
    }
    bridge = {"type": "bridge", "bridge": BRIDGE, "isGateway": True, "hairpinMode": True, "ipMasq": False, "ipam": ipam}
    return as_json({"cniVersion": "0.4.0", "name": "framepilot", "plugins": [bridge]})


def kubelet(resolver: Path) -> str:
    """KubeletConfiguration; `resolver` is the resolv.conf of pods that ask for the node's."""
    return as_json(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": NODE_ADDRESS,
            "healthzBindAddress": "127.0.0.1",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": f"{paths.CERTIFICATES}/ca.crt"},
            },
            "authorization": {"mode": "Webhook"},
            "clusterDNS": [DNS_ADDRESS],
            "clusterDomain": DNS_DOMAIN,
            "resolvConf": str(resolver),
            "containerRuntimeEndpoint": f"unix://{paths.CONTAINERD_SOCKET}",
            "volumePluginDir": f"{paths.DATA}/kubelet/volume-plugins",
            "podLogsDir": f"{paths.DATA}/pod-logs",
            # What a machine without systemd has, and with cgroups of version 1 in places.
            "cgroupDriver": "cgroupfs",
            "failCgroupV1": False,
            "enforceNodeAllocatable": [],
            "failSwapOn": False,
            "oomScoreAdj": 0,
            # Rules that kube-proxy makes are enough; kubelet's would stay when it ends.
            "makeIPTablesUtilChains": False,
            "serializeImagePulls": False,
            # Shares of a disk say nothing where it is large and used by others; pods would be evicted for no reason.
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1Gi", "imagefs.available": "1Gi"},
            "imageGCHighThresholdPercent": 97,
            "imageGCLowThresholdPercent": 95,
        }
    )


def kube_proxy() -> str:
    """KubeProxyConfiguration: leaves the kernel's settings of connections as they are."""
    return as_json(
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "iptables",
            "clientConnection": {"kubeconfig": f"{paths.CONFIG}/kube-proxy.kubeconfig"},
            "clusterCIDR": POD_RANGE,
            "hostnameOverride": NODE,
            "healthzBindAddress": "127.0.0.1:10256",
            "metricsBindAddress": "127.0.0.1:10249",
            "nodePortAddresses": [POD_RANGE],
            "iptables": {"localhostNodePorts": False},
            "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
            "oomScoreAdj": 0,
        }
    )


def as_json(content: object) -> str:
    """As every file of the cluster is written."""
    return json.dumps(content, indent=2) + "\n"
