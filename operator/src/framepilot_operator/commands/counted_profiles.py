"""The profiles by which the modules of an instance are planned: as measured, with what they share counted once. Pure.

The same rules as the operator's (`planning/stems.py`), from the same: what services declare, and what their instance
says of its stages. What the operator learns while they run is known to it alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from framepilot.contract.document import DocumentError
from framepilot.contract.observed import ObservedState
from framepilot.resources.parse import parse_resource
from framepilot.resources.service import InferenceService
from framepilot_operator.commands.service_view import Json
from framepilot_operator.planning.load import Key
from framepilot_operator.planning.profile import ModuleProfile, from_observed
from framepilot_operator.planning.stems import counted_once, stems


def measured_profiles(state: ObservedState) -> dict[Key, ModuleProfile]:
    """Of each module that is measured, alone on the device."""
    found = (((each.service, each.name), from_observed(each.profile)) for each in state.modules)
    return {key: profile for key, profile in found if profile is not None}


def counted_profiles(state: ObservedState, declared: Mapping[str, Json]) -> dict[Key, ModuleProfile]:
    """The same with what they share counted once; `declared` are the services, by `<namespace>/<name>`.

    Of a service that is not there, or that this command line cannot read, it is not known which pictures it has, so
    nothing of it counts as shared.
    """
    return counted_once(measured_profiles(state), {}, stems([*_services(state, declared)], state))


def _services(state: ObservedState, declared: Mapping[str, Json]) -> Iterator[tuple[InferenceService, str]]:
    for pipeline in state.pipelines:
        document = declared.get(pipeline.service)
        if document is None:
            continue
        try:
            resource = parse_resource({**document, "status": {}}, pipeline.service)
        except DocumentError:
            continue
        if isinstance(resource, InferenceService):
            yield resource, pipeline.uid
