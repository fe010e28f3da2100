"""`python -m support.cluster up|down|env|start|stop|restart`, with tests/ in PYTHONPATH: a Kubernetes of one node."""

from __future__ import annotations

import argparse
import shlex
import sys

from support.cluster import components, lifecycle, paths
from support.cluster.errors import ClusterSetupError
from support.cluster.progress import say


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m support.cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="build and start what is missing; wait until it can be used")
    commands.add_parser("down", help="stop it and remove what it made (built tools and layers of images stay)")
    commands.add_parser("env", help='print what a shell needs: eval "$(… env)"')
    for command in ("start", "stop", "restart"):
        parts = commands.add_parser(command, help=f"{command} one part of it")
        parts.add_argument("component", choices=components.names())
    arguments = parser.parse_args()
    try:
        _run(arguments)
    except ClusterSetupError as error:
        say(f"error: {error}")
        return 1
    return 0


def _run(arguments: argparse.Namespace) -> None:
    match arguments.command:
        case "up":
            lifecycle.up()
            say(f"up; the registry is {paths.REGISTRY}. To use it in this shell:")
            print(_environment())
        case "down":
            lifecycle.down()
            say("down")
        case "env":
            if not paths.KUBECONFIG.exists():
                raise ClusterSetupError("the cluster is not up: `python -m support.cluster up`")
            print(_environment())
        case "start":
            components.start(arguments.component)
        case "stop":
            components.stop(arguments.component)
        case "restart":
            components.restart(arguments.component)


def _environment() -> str:
    tools = ":".join(str(tool.parent) for tool in (paths.KUBECTL, paths.HELM, paths.KUBECONFORM))
    return f'export KUBECONFIG={shlex.quote(str(paths.KUBECONFIG))} PATH={shlex.quote(tools)}:"$PATH"'


if __name__ == "__main__":
    sys.exit(main())
