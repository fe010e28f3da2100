"""What is to be said of an instance, in the words of a condition, whoever's status it stands in. Pure.

Each function gives a reason and a message, or None where there is nothing to say.
"""

from __future__ import annotations

from framepilot_operator.cluster.port import Instance


def not_ready(instance: Instance | None) -> tuple[str, str] | None:
    """Why nothing can be known of what it serves."""
    if instance is None:
        return "NoInstance", "There is no instance yet."
    if not instance.running:
        return "NotRunning", _because("The instance does not run", instance)
    if instance.observed is None:
        return "NotObserved", _because("The instance does not answer", instance)
    return None


def under_way(instance: Instance | None, *, pending: bool) -> tuple[str, str] | None:
    """What is on its way to it; `pending`: its newest desired state is not written yet."""
    told = "Applying", "The instance is being told of what is declared now."
    if instance is None or pending:
        return told
    if not instance.running or instance.observed is None:
        return "Starting", _because("The instance is starting", instance)
    if instance.desired is not None and instance.observed.generation < instance.desired.generation:
        return told
    return None


def refused(instance: Instance | None) -> tuple[str, str] | None:
    """Why it does not do what it is told."""
    state = None if instance is None else instance.observed
    if state is None or state.error is None:
        return None
    return "DesiredStateRefused", f"The instance does not take the desired state: {state.error}"


def _because(what: str, instance: Instance) -> str:
    return f"{what}." if instance.reason is None else f"{what}: {instance.reason}"
