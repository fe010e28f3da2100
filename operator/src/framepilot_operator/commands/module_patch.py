"""The JSON patch that changes one module of a service, and nothing beside it. Pure.

A list is patched by position, so the patch holds only where it was computed: the module's name stands in it as a test,
and the version of the service that was read as a precondition. Whoever edited the list meanwhile is not overwritten.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from framepilot_operator.commands.service_view import AUTO, BatchingView, Json, ModuleView, ServiceView
from framepilot_operator.edit import Edit, EditError


@dataclass(frozen=True, slots=True)
class ModulePatch:
    """The operations, and one sentence for each field that they change (none: it is declared like that already)."""

    operations: tuple[Json, ...]
    changed: tuple[str, ...]


def module_patch(service: ServiceView, edit: Edit) -> ModulePatch:
    """The patch that makes an edit in a service as it was read.

    Raises:
        EditError: it has no such module.
    """
    module = service.module(edit.module)
    if module is None:
        names = ", ".join(each.name for each in service.spec.modules)
        raise EditError(f"service '{service.key}' has no module '{edit.module}'; there are: {names}")
    position = service.spec.modules.index(module)
    path = f"/spec/modules/{position}"
    steps = [*_batch(service, module, edit, path), *_version(service, module, edit, path)]
    guards: list[Json] = [
        {"op": "test", "path": f"{path}/name", "value": edit.module},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": service.metadata.resource_version},
    ]
    return ModulePatch(
        operations=(*guards, *(operation for _, operations in steps for operation in operations)) if steps else (),
        changed=tuple(sentence for sentence, _ in steps),
    )


def _batch(service: ServiceView, module: ModuleView, edit: Edit, path: str) -> Iterator[tuple[str, list[Json]]]:
    before = service.batching_of(module).declared
    if edit.batch is None or before == str(edit.batch):
        return
    batching = _automatic(service, module) if edit.batch == AUTO else _fixed(module, int(edit.batch))
    at = f"{path}/batching"
    operation: Json = {"op": "remove", "path": at} if batching is None else {"op": "add", "path": at, "value": batching}
    yield f"{service.key} {module.name}: batch {before} -> {edit.batch}", [operation]


def _fixed(module: ModuleView, size: int) -> Json:
    # Bounds are kept: they are in force again when it is automatic again.
    bounds = {} if module.batching is None else module.batching.bounds
    return {"mode": "Fixed", "size": size, **bounds}


def _automatic(service: ServiceView, module: ModuleView) -> Json | None:
    """Batching as the service has it (None), if that is automatic; else automatic for this module alone."""
    own = (module.batching or BatchingView()).bounds
    general = service.spec.batching
    if not own and general.declared == AUTO:
        return None
    return {"mode": "Auto", **(own or general.bounds)}


def _version(service: ServiceView, module: ModuleView, edit: Edit, path: str) -> Iterator[tuple[str, list[Json]]]:
    model = module.model
    if edit.model_version is None or model.version == edit.model_version:
        return
    operations: list[Json] = [{"op": "replace", "path": f"{path}/model/version", "value": edit.model_version}]
    if model.sha256 is not None:
        # The digest pins the version that it was written for.
        operations.append({"op": "remove", "path": f"{path}/model/sha256"})
    yield f"{service.key} {module.name}: model {model.name} version {model.version} -> {edit.model_version}", operations
