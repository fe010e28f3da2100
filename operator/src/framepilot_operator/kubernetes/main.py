"""`framepilot-operator`: the operator on a cluster. What runs is declared there; these are only its settings."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import uuid
from enum import StrEnum
from typing import Annotated, Final

import typer
from kubernetes.aio.config import ConfigException
from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from framepilot_operator import prometheus_options
from framepilot_operator.cluster.kube_api import KubeApi
from framepilot_operator.cluster.kubernetes import KubernetesCluster, KubernetesSettings
from framepilot_operator.commands.price_option import price_option
from framepilot_operator.kubernetes.leader import SHORTEST_S, LeaseSettings
from framepilot_operator.kubernetes.process import Options, Process

KOPF_EXTRAS: Final = ("k8s_ref", "k8s_skip", "settings")

_log = logging.getLogger(__name__)


class PullPolicy(StrEnum):
    """When a node pulls the app's image."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class LogLevel(StrEnum):
    """What is logged: this and what is worse."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def run(
    app_image: Annotated[str, typer.Option(help="The image that instances run.")],
    namespace: Annotated[list[str] | None, typer.Option(help="Look at this namespace; repeatable; none: all.")] = None,
    image_pull_policy: Annotated[PullPolicy, typer.Option(help="Of the instances.")] = PullPolicy.IF_NOT_PRESENT,
    image_pull_secret: Annotated[
        list[str] | None, typer.Option(help="Name of a Secret in each service's namespace; repeatable.")
    ] = None,
    listen: Annotated[
        str, typer.Option(help="HOST:PORT of /healthz /readyz /metrics; port 0 takes a free one, which is logged.")
    ] = "0.0.0.0:8080",
    leader_elect: Annotated[bool, typer.Option(help="Of several replicas, one works; needs a Lease.")] = True,
    lease_namespace: Annotated[
        str | None, typer.Option(envvar="POD_NAMESPACE", help="Where the Lease is: the operator's own namespace.")
    ] = None,
    lease_seconds: Annotated[
        int, typer.Option(min=SHORTEST_S, help="How long another replica waits after this one is gone.")
    ] = 15,
    price: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLASS=PRICE", help="What a device costs an hour where its node does not say; repeatable."
        ),
    ] = None,
    prometheus: prometheus_options.Url = None,
    prometheus_token_file: prometheus_options.TokenFile = None,
    prometheus_ca_file: prometheus_options.CaFile = None,
    log_level: Annotated[LogLevel, typer.Option(help="What to log on stderr, as JSON.")] = LogLevel.INFO,
) -> None:
    """Run inference services on a cluster until SIGTERM."""
    host, _, port = listen.rpartition(":")
    if not port.isdigit() or not host:
        raise typer.BadParameter(f"'{listen}' is not HOST:PORT, as in 0.0.0.0:8080", param_hint="--listen")
    if leader_elect and not lease_namespace:
        raise typer.BadParameter("give it, or --no-leader-elect for a single replica", param_hint="--lease-namespace")
    prices = price_option(price)
    server = prometheus_options.server(prometheus, prometheus_token_file, prometheus_ca_file)
    _log_as_json(log_level)
    # Another process in the same pod, after a crash, is another candidate.
    identity = f"{socket.gethostname()}_{uuid.uuid4()}"
    settings = KubernetesSettings(
        app_image=app_image,
        image_pull_policy=image_pull_policy.value,
        image_pull_secrets=tuple(image_pull_secret or ()),
        namespaces=tuple(namespace or ()),
        reporter=os.environ.get("POD_NAME") or socket.gethostname(),
        prices=prices,
    )
    options = Options(
        host=host.strip("[]"),
        port=int(port),
        namespaces=settings.namespaces,
        lease=LeaseSettings(lease_namespace, identity, lease_seconds) if leader_elect and lease_namespace else None,
        prometheus=server,
    )
    raise typer.Exit(asyncio.run(_run(options, settings)))


async def _run(options: Options, settings: KubernetesSettings) -> int:
    def cluster(api: KubeApi) -> KubernetesCluster:
        return KubernetesCluster(api, settings)

    try:
        return await Process(options, cluster).run()
    except (ConfigException, OSError) as error:
        _log.error("cannot start: %s", error)
        return 1


def _log_as_json(level: LogLevel) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter(
            ["asctime", "levelname", "name", "message"],
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
            reserved_attrs=(*RESERVED_ATTRS, *KOPF_EXTRAS),
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[handler])
    if level is not LogLevel.DEBUG:
        handler.addFilter(_worth_reading)


def _worth_reading(record: logging.LogRecord) -> bool:
    """All but what kopf says of each event, and of each attempt for each kind while the API server is away."""
    if not record.name.startswith("kopf"):
        return True
    return record.levelno >= logging.WARNING and "will retry" not in record.getMessage()


def main() -> None:
    """Entry point of the script."""
    typer.run(run)


if __name__ == "__main__":
    main()
