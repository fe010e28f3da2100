"""Edits a declared service in the text of its YAML file, and leaves everything else as a person wrote it.

The text is read and written by ruamel.yaml's round trip: comments, order, quotes and other documents stay. The
indentation of lists is taken from the text itself, because that is the one thing that a round trip does not keep.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from framepilot.contract.document import DocumentError
from framepilot.resources.parse import parse_resource

AUTO = "auto"


class EditError(Exception):
    """An edit that cannot be made: where, why, what to do. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Edit:
    """What to change of one module; `batch` is a size or 'auto', None leaves a field as it is."""

    service: str
    module: str
    batch: int | str | None = None
    model_version: str | None = None


@dataclass(frozen=True, slots=True)
class Edited:
    """The new text, and one sentence for each field that changed (none: it was like that already)."""

    text: str
    changed: tuple[str, ...]


def declares(text: str, service: str) -> bool:
    """Whether some document of the text declares a service; `name` alone means the namespace `default`.

    Raises:
        EditError: the text is not YAML.
    """
    return any(_key(document) == _full(service) for document in _services(_load(text, _yaml(text), "the file")))


def apply(text: str, edit: Edit, where: str) -> Edited:
    """The text with the edit made.

    Raises:
        EditError: the text is not YAML, there is no such service or module in it, or the service would be invalid.
    """
    yaml = _yaml(text)
    documents = _load(text, yaml, where)
    service = _find(documents, edit.service, where)
    module = _module(service, edit, where)
    changed = tuple(_edit(service, module, edit))
    if not changed:
        return Edited(text, ())
    out = io.StringIO()
    yaml.dump_all(documents, out)
    _check(out.getvalue(), edit.service, where)
    return Edited(out.getvalue(), changed)


def _yaml(text: str) -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 1_000_000
    mapping, offset = _indentation(text)
    yaml.indent(mapping=mapping, sequence=offset + 2, offset=offset)
    yaml.explicit_start = text.lstrip().startswith("---")
    return yaml


def _indentation(text: str) -> tuple[int, int]:
    """Columns by which the text indents a mapping below its key, and the dash of a list below its key."""
    lines = [line.split(" #", 1)[0].rstrip() for line in text.splitlines() if not line.lstrip().startswith("#")]
    mapping, offset = 2, 2
    for above, below in reversed(list(pairwise([line for line in lines if line]))):
        if not above.endswith(":") or above.lstrip().startswith("-"):
            continue
        deeper = _column(below) - _column(above)
        if below.lstrip().startswith("- "):
            offset = max(deeper, 0)
        elif deeper > 0:
            mapping = deeper
    return mapping, offset


def _column(line: str) -> int:
    return len(line) - len(line.lstrip())


def _load(text: str, yaml: YAML, where: str) -> list[object]:
    try:
        return list(yaml.load_all(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise EditError(f"{where}: is not YAML{place}: {error.problem or error.context}") from error
    except YAMLError as error:
        raise EditError(f"{where}: is not YAML: {error}") from error


def _services(documents: list[object]) -> Iterator[CommentedMap]:
    for document in documents:
        if isinstance(document, CommentedMap) and document.get("kind") == "InferenceService" and _key(document):
            yield document


def _key(document: Mapping[str, object]) -> str:
    metadata = document.get("metadata")
    if not isinstance(metadata, Mapping) or "name" not in metadata:
        return ""
    return f"{metadata.get('namespace', 'default')}/{metadata['name']}"


def _full(service: str) -> str:
    return service if "/" in service else f"default/{service}"


def _find(documents: list[object], service: str, where: str) -> CommentedMap:
    known = {_key(document): document for document in _services(documents)}
    if _full(service) in known:
        return known[_full(service)]
    there = f"there are: {', '.join(known)}" if known else "it declares none"
    raise EditError(f"{where}: there is no service '{service}'; {there}")


def _module(service: CommentedMap, edit: Edit, where: str) -> CommentedMap:
    spec = service.get("spec")
    listed = spec.get("modules") if isinstance(spec, CommentedMap) else None
    modules = [module for module in listed or [] if isinstance(module, CommentedMap)]
    for module in modules:
        if module.get("name") == edit.module and isinstance(module.get("model"), CommentedMap):
            return module
    names = ", ".join(str(module.get("name")) for module in modules)
    raise EditError(f"{where}: service '{_key(service)}' has no module '{edit.module}'; there are: {names}")


def _check(text: str, service: str, where: str) -> None:
    """Read the text as whoever follows the file will.

    Raises:
        EditError: the service is invalid.
    """
    for document in YAML(typ="safe", pure=True).load_all(text):
        if isinstance(document, dict) and _key(document) == _full(service):
            try:
                parse_resource(document, where)
            except DocumentError as error:
                raise EditError("\n".join(f"{where}: not changed: {problem}" for problem in error.problems)) from error


def _edit(service: CommentedMap, module: CommentedMap, edit: Edit) -> Iterator[str]:
    subject = f"{_key(service)} {edit.module}"
    if edit.batch is not None:
        before = _batch(service, module)
        after = str(edit.batch)
        if before != after:
            _set_auto(service, module) if edit.batch == AUTO else _set_size(module, int(edit.batch))
            yield f"{subject}: batch {before} -> {after}"
    model = module["model"]
    if edit.model_version is not None and str(model.get("version")) != edit.model_version:
        before = model.get("version")
        # The digest pins the version that it was written for.
        _remove(model, "sha256")
        model["version"] = type(before)(edit.model_version) if isinstance(before, str) else edit.model_version
        yield f"{subject}: model {model.get('name')} version {before} -> {edit.model_version}"


def _batch(service: CommentedMap, module: CommentedMap) -> str:
    override = module.get("batching")
    # An empty one is one too: it is automatic, whatever the service's is.
    batching = (service["spec"].get("batching") or {}) if override is None else override
    return str(batching.get("size")) if batching.get("mode") == "Fixed" else AUTO


def _set_size(module: CommentedMap, size: int) -> None:
    if isinstance(module.get("batching"), CommentedMap):
        module["batching"]["mode"] = "Fixed"
        module["batching"]["size"] = size
    else:
        _put(module, CommentedMap(mode="Fixed", size=size))


def _set_auto(service: CommentedMap, module: CommentedMap) -> None:
    """Batching as the service has it, if that is automatic; else automatic for this module alone."""
    override = module.get("batching")
    general = service["spec"].get("batching") or {}
    bounds = {name: general[name] for name in ("min", "max") if name in general}
    if isinstance(override, CommentedMap) and {"min", "max"} & set(override):
        override["mode"] = "Auto"
        _remove(override, "size")
    elif general.get("mode") == "Fixed" or "batching" in module.ca.items:
        # A comment that stands behind a key goes with the key: so the key stays.
        _put(module, CommentedMap(mode="Auto", **bounds))
    else:
        module.pop("batching", None)


def _put(module: CommentedMap, batching: CommentedMap) -> None:
    batching.fa.set_flow_style()
    if "batching" in module:
        module["batching"] = batching
    else:
        # Not at the end: what stands behind the last key is the comment of the next module.
        module.insert(list(module).index("model"), "batching", batching)


def _remove(mapping: CommentedMap, key: str) -> None:
    """Remove a key, and leave the comment behind it behind the key before."""
    if key not in mapping:
        return
    position = list(mapping).index(key)
    comments = mapping.ca.items.get(key)
    del mapping[key]
    if comments and position and list(mapping)[position - 1] not in mapping.ca.items:
        mapping.ca.items[list(mapping)[position - 1]] = comments
