"""What kopf is told to watch, and what it makes of an event."""

from __future__ import annotations

import kopf
import pytest

from framepilot_operator.kubernetes.handlers import WATCHED, registry, settings


async def login() -> kopf.ConnectionInfo:
    return kopf.ConnectionInfo(server="http://localhost")


def handler(changes: list[tuple[str, str, str | None]], plural: str):
    handlers = registry(lambda *change: changes.append(change), login)
    return next(each for each in handlers._watching.get_all_handlers() if each.id == plural).fn


@pytest.mark.parametrize(("kind", "version"), [(None, "7"), ("ADDED", "7"), ("MODIFIED", "7"), ("DELETED", None)])
async def test_an_event_says_which_object_and_which_version_of_it(kind: str | None, version: str | None):
    changes: list[tuple[str, str, str | None]] = []
    metadata = {"namespace": "cameras", "name": "lobby", "resourceVersion": "7"}
    await handler(changes, "pods")(event={"type": kind, "object": {"metadata": metadata}}, name="lobby")
    assert changes == [("pods", "cameras/lobby", version)]


async def test_an_object_of_the_whole_cluster_has_no_namespace():
    changes: list[tuple[str, str, str | None]] = []
    metadata = {"name": "edge-1", "resourceVersion": "7"}
    await handler(changes, "nodes")(event={"type": "MODIFIED", "object": {"metadata": metadata}}, name="edge-1")
    assert changes == [("nodes", "/edge-1", "7")]


def test_only_handlers_that_write_nothing_are_registered():
    handlers = registry(lambda *_: None, login)
    assert len(handlers._watching.get_all_handlers()) == len(WATCHED)
    for others in (handlers._changing, handlers._spawning, handlers._indexing, handlers._webhooks):
        assert not others.get_all_handlers()


def test_of_everyday_kinds_only_objects_of_ours_are_watched():
    selectors = settings().watching.label_selectors
    for each in WATCHED:
        ours = each.group == "framepilot.dev"
        # Nodes are few, and carry no label of ours.
        assert ((each.group, each.version, each.plural) in selectors) != (ours or each.whole_cluster)
