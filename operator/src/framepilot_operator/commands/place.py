"""Where a command works: in a session of this machine, or in a Kubernetes context.

A session that has the service is meant, because that is what the same command did before there was a cluster; else the
current context. What names a context, or one of the two places, decides at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from framepilot_operator.commands.context_error import ContextError, NoContextError
from framepilot_operator.running import Running, running, state_home

Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", help="The namespace; else the context's.", metavar="NAME")
]
ContextName = Annotated[
    str | None, typer.Option("--context", help="A context of the kubeconfig; else the current one.", metavar="NAME")
]
Kubeconfig = Annotated[
    Path | None, typer.Option("--kubeconfig", help="The kubeconfig; else $KUBECONFIG, else ~/.kube/config.")
]
Local = Annotated[
    bool | None,
    typer.Option(
        "--local/--cluster",
        help="In a running `framepilot up`, or in the context; else in the first of them that has what is named.",
        show_default=False,
    ),
]


class Place(Enum):
    """The places."""

    SESSION = "a running `framepilot up`"
    CONTEXT = "a Kubernetes context"


@dataclass(frozen=True, slots=True)
class Choice:
    """The context that a command line names; None where it leaves that to the kubeconfig."""

    namespace: str | None = None
    context: str | None = None
    kubeconfig: Path | None = None

    @property
    def kubeconfigs(self) -> str:
        """The kubeconfig, or several that are merged."""
        if self.kubeconfig is not None:
            return str(self.kubeconfig)
        return os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")


def decided(local: bool | None, choice: Choice) -> Place | None:
    """The place, as far as the command line says which.

    Raises:
        typer.BadParameter: it says both.
    """
    context = choice.context is not None or choice.kubeconfig is not None
    if local and context:
        raise typer.BadParameter("does not go with --context and --kubeconfig", param_hint="--local")
    if local is None and not context:
        return None
    return Place.SESSION if local else Place.CONTEXT


def qualified(service: str, namespace: str | None) -> str:
    """The service as `<namespace>/<name>` where its namespace is known, else its name.

    Raises:
        typer.BadParameter: two namespaces are named.
    """
    if namespace is None:
        return service
    named, _, name = service.rpartition("/")
    if named not in {"", namespace}:
        raise typer.BadParameter(f"is not the namespace of '{service}'; name one of them", param_hint="--namespace")
    return f"{namespace}/{name}"


def sessions() -> tuple[Running, ...]:
    """The running `framepilot up` processes."""
    return running(state_home(os.environ) / "up")


def note(line: str) -> None:
    """Say something, such as which place it is, without disturbing who reads the answer."""
    typer.echo(line, err=True)


@contextmanager
def not_in_a_session(what: str, place: Place | None) -> Iterator[None]:
    """Ask a context, because no session `what`; where the context has no answer either, both are said.

    Raises:
        ContextError: what the context said.
    """
    try:
        yield
    except ContextError as error:
        nowhere = isinstance(error, NoContextError) or (error.status == 404 and sessions())
        if place is None and nowhere:
            raise ContextError(f"no running `framepilot up` {what}; {error}", error.status) from error
        raise
