"""What the pods' network needs of the machine: a bridge, a few rules of iptables, a few settings of the kernel.

The bridge is made before anything else, as its address is the node's. Rules that kube-proxy makes are in chains whose
names start with KUBE-; together with ours, which carry a comment, they can be told from everybody else's and removed
whatever state they are in. The functions that say which are pure: from the text of iptables-save to that of
iptables-restore.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from support.cluster import settings
from support.cluster.commands import run
from support.cluster.errors import ClusterSetupError

MARK = "framepilot-cluster"
RULES = (
    ("filter", "FORWARD", ["-i", settings.BRIDGE, "-j", "ACCEPT"]),
    ("filter", "FORWARD", ["-o", settings.BRIDGE, "-j", "ACCEPT"]),
    (
        "nat",
        "POSTROUTING",
        ["-s", settings.POD_RANGE, "!", "-d", settings.POD_RANGE, "!", "-o", settings.BRIDGE, "-j", "MASQUERADE"],
    ),
)
"""Table, chain, rule: pods may reach what the machine reaches, and a firewall that forwards nothing lets them."""

KERNEL = {
    "net/ipv4/ip_forward": "1",
    # Without it an answer between two pods of the node would bypass the rules that make a service's address.
    "net/bridge/bridge-nf-call-iptables": "1",
}
FAMILIES = ("iptables", "ip6tables")


def set_up() -> None:
    """Make the bridge, the rules and the settings that are not there yet."""
    if not Path("/proc/sys/net/bridge").exists():
        run(["modprobe", "br_netfilter"])
    for name, value in KERNEL.items():
        setting = Path("/proc/sys") / name
        if setting.read_text().strip() != value:
            setting.write_text(value)
    if not Path(f"/sys/class/net/{settings.BRIDGE}").exists():
        run(["ip", "link", "add", settings.BRIDGE, "type", "bridge"])
    length = settings.POD_RANGE.partition("/")[2]
    run(["ip", "address", "replace", f"{settings.NODE_ADDRESS}/{length}", "dev", settings.BRIDGE])
    run(["ip", "link", "set", settings.BRIDGE, "up"])
    for table, chain, rule in RULES:
        marked = [*rule, "-m", "comment", "--comment", MARK]
        if _lacks(table, chain, marked):
            run(["iptables", "-w", "-t", table, "-I", chain, *marked])


def _lacks(table: str, chain: str, rule: list[str]) -> bool:
    command = ["iptables", "-w", "-t", table, "-C", chain, *rule]
    return subprocess.run(command, capture_output=True, check=False).returncode != 0


def remove() -> None:
    """Take the bridge and the rules away, those of kube-proxy too. Settings of the kernel: see `footprint`."""
    for family in FAMILIES:
        if shutil.which(f"{family}-save") is None:
            continue
        if restore := removal(_saved(family)):
            run([f"{family}-restore", "--noflush", "--wait"], given=restore)
    if Path(f"/sys/class/net/{settings.BRIDGE}").exists():
        run(["ip", "link", "delete", settings.BRIDGE])


def refuse_another_cluster() -> None:
    """Raises:
    ClusterSetupError: rules say that the node of another cluster runs here; two of them would undo each other's.
    """
    for family in FAMILIES:
        if shutil.which(f"{family}-save") is not None and removal(_saved(family)):
            raise ClusterSetupError(
                f"`{family}-save` shows rules of another Kubernetes on this machine (chains KUBE-…): two nodes on one "
                "machine would undo each other's. Stop that one; if only its rules are left, `kube-proxy --cleanup` "
                "removes them."
            )


def _saved(family: str) -> str:
    return run([f"{family}-save"])


def removal(saved: str) -> str:
    """What iptables-restore has to be told to take away the cluster's chains and rules; empty if there are none."""
    text = ""
    for table, chains, rules in _tables(saved):
        ours = [chain for chain in chains if chain.startswith("KUBE-")]
        others = [rule for rule in rules if _is_ours(shlex.split(rule))]
        if not ours and not others:
            continue
        lines = [f"*{table}"]
        lines += ["-D" + rule.removeprefix("-A") for rule in others]
        lines += [f"-F {chain}" for chain in ours] + [f"-X {chain}" for chain in ours]
        text += "\n".join([*lines, "COMMIT"]) + "\n"
    return text


def _is_ours(rule: list[str]) -> bool:
    """Whether a rule in a chain of someone else is ours, or leads to one of ours."""
    if rule[1].startswith("KUBE-"):
        return False
    targets = [rule[at + 1] for at, word in enumerate(rule[:-1]) if word in {"-j", "-g"}]
    return MARK in rule or any(target.startswith("KUBE-") for target in targets)


def _tables(saved: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """Of each table its name, its chains, its rules."""
    table, chains, rules = "", list[str](), list[str]()
    for line in saved.splitlines():
        if line.startswith("*"):
            table, chains, rules = line[1:], [], []
        elif line.startswith(":"):
            chains.append(line[1:].split()[0])
        elif line.startswith("-A"):
            rules.append(line)
        elif line == "COMMIT":
            yield table, chains, rules
