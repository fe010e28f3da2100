"""From the resource types to CustomResourceDefinitions, as plain data.

pydantic already writes JSON schema; the API server takes a structural schema, which is stricter. `_structural` turns
one into the other keyword by keyword, and refuses a keyword that it does not know, so that nothing slips in unseen.
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, JsonValue

from framepilot.resources.meta import GROUP, VERSION
from framepilot.resources.profile import ModelProfile
from framepilot.resources.runtime import InferenceRuntime
from framepilot.resources.service import InferenceService
from framepilot.resources.text import RULES

JsonObject = dict[str, JsonValue]

_ORDER: Final = (
    "description", "type", "format", "enum", "default", "minimum", "maximum", "minLength", "maxLength", "required",
    "properties", "maxProperties", "additionalProperties", "minItems", "maxItems", "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys", "items", "x-kubernetes-int-or-string", RULES,
)  # fmt: skip
"""The keywords that a CRD here may have, in the order in which they are written."""
_DROPPED: Final = frozenset({"title"})
_NAME_RULE: Final[JsonObject] = {
    "rule": "size(self.metadata.name) <= 63 && !self.metadata.name.contains('.')",
    "message": "metadata.name must have at most 63 characters and no dot; instances are named after it",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`; one of priority 1 is shown by `-o wide` only."""

    name: str
    path: str
    description: str
    type: str = "string"
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Definition:
    """What a CRD says beside its schema."""

    resource: type[BaseModel]
    plural: str
    singular: str
    short_names: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def name(self) -> str:
        """The name of the CRD."""
        return f"{self.plural}.{GROUP}"


_AGE: Final = Column("Age", ".metadata.creationTimestamp", "Time since it was created", type="date")

DEFINITIONS: Final = (
    Definition(
        resource=InferenceService,
        plural="inferenceservices",
        singular="inferenceservice",
        short_names=("infsvc",),
        columns=(
            Column("Ready", ".status.conditions[?(@.type=='Ready')].status", "Whether every module serves"),
            Column("Reason", ".status.conditions[?(@.type=='Ready')].reason", "Why it is ready, or not"),
            Column("Models", ".status.conditions[?(@.type=='ModelsReady')].reason", "What happens to its models"),
            Column("Objective", ".spec.objective.latency", "The latency objective"),
            Column("Attainment", ".status.attainment", "About the share of frames within the objective", priority=1),
            Column("Message", ".status.conditions[?(@.type=='Ready')].message", "Why, in a sentence", priority=1),
            _AGE,
        ),
    ),
    Definition(
        resource=InferenceRuntime,
        plural="inferenceruntimes",
        singular="inferenceruntime",
        short_names=("infrt",),
        columns=(
            Column("Ready", ".status.conditions[?(@.type=='Ready')].status", "Whether its instance runs"),
            Column("Reason", ".status.conditions[?(@.type=='Ready')].reason", "Why it is ready, or not"),
            Column("Services", ".status.services", "The services that it runs"),
            Column("Message", ".status.conditions[?(@.type=='Ready')].message", "Why, in a sentence", priority=1),
            _AGE,
        ),
    ),
    Definition(
        resource=ModelProfile,
        plural="modelprofiles",
        singular="modelprofile",
        short_names=(),
        columns=(
            Column("Model", ".spec.model", "The model"),
            Column("Version", ".spec.version", "Its version"),
            Column("Device", ".spec.deviceClass", "The device class that it was measured on"),
            _AGE,
        ),
    ),
)


def custom_resource_definition(definition: Definition) -> JsonObject:
    """The CRD of one kind, ready to be written as YAML or JSON."""
    version: JsonObject = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [_column(column) for column in definition.columns],
        "schema": {"openAPIV3Schema": open_api_schema(definition.resource)},
    }
    if "status" in definition.resource.model_fields:
        version["subresources"] = {"status": {}}
    names: JsonObject = {
        "kind": definition.resource.__name__,
        "listKind": f"{definition.resource.__name__}List",
        "plural": definition.plural,
        "singular": definition.singular,
        "categories": ["framepilot"],
    }
    if definition.short_names:
        names["shortNames"] = list(definition.short_names)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": definition.name},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def _column(column: Column) -> JsonObject:
    # The API server leaves out a priority of 0; written, it would show as drift.
    priority: JsonObject = {"priority": column.priority} if column.priority else {}
    return {
        "name": column.name,
        "type": column.type,
        "jsonPath": column.path,
        "description": column.description,
        **priority,
    }


def open_api_schema(resource: type[BaseModel]) -> JsonObject:
    """The structural schema of one resource type; `metadata` is the API server's own."""
    whole = resource.model_json_schema()
    definitions = _object(whole.pop("$defs", {}))
    whole["properties"]["metadata"] = {"type": "object"}
    for name in ("apiVersion", "kind"):
        whole["properties"][name] = {"type": "string"}
    whole["required"] = ["spec"]
    whole[RULES] = [_NAME_RULE]
    return _structural(whole, definitions)


def _structural(schema: Mapping[str, JsonValue], definitions: Mapping[str, JsonValue]) -> JsonObject:
    """One node of a structural schema: references put in, `X or null` as an X that may be absent."""
    result: JsonObject = {}
    for keyword, value in _with_rules_of_keys(_resolved(schema, definitions)).items():
        # Of unknown fields a CRD says nothing: the API server refuses or prunes them by itself.
        if keyword in _DROPPED or (keyword == "additionalProperties" and value is False):
            continue
        if keyword == "properties":
            properties = _object(value)
            result[keyword] = {name: _structural(_object(node), definitions) for name, node in properties.items()}
        elif keyword in {"items", "additionalProperties"}:
            result[keyword] = _structural(_object(value), definitions)
        elif keyword == "default":
            default = _without_empty(value)
            if default not in (None, [], {}):
                result[keyword] = default
        elif keyword in _ORDER:
            result[keyword] = value
        else:
            raise ValueError(f"a CRD has no keyword {keyword!r}, or not with JSON schema's meaning: {dict(schema)}")
    return {keyword: result[keyword] for keyword in _ORDER if keyword in result}


def _resolved(schema: Mapping[str, JsonValue], definitions: Mapping[str, JsonValue]) -> JsonObject:
    """The schema with its reference or its one alternative beside null put in; its own keywords win."""
    own = {key: value for key, value in schema.items() if key not in {"$ref", "anyOf"}}
    reference = schema.get("$ref")
    if isinstance(reference, str):
        return _resolved(_object(definitions[reference.removeprefix("#/$defs/")]), definitions) | own
    alternatives = schema.get("anyOf")
    if alternatives is None:
        return own
    if not isinstance(alternatives, Sequence):
        raise TypeError(f"anyOf is no list: {alternatives!r}")
    types = [_object(alternative) for alternative in alternatives if alternative != {"type": "null"}]
    if len(types) != 1:
        raise ValueError(f"a field of a CRD has one type, got {types}")
    return _resolved(types[0], definitions) | own


def _with_rules_of_keys(schema: JsonObject) -> JsonObject:
    """The schema with the form of a map's keys as rules of the map: a CRD has no other place for it."""
    names = schema.get("propertyNames")
    if names is None:
        return schema
    form = _object(names)
    if form.keys() != {"maxLength", RULES}:
        raise ValueError(f"the keys of a map have a form and nothing else, got {form}")
    longest, found = form["maxLength"], schema.get(RULES, [])
    of_map: list[JsonValue] = [*found] if isinstance(found, list) else []
    of_keys = form[RULES]
    for rule in of_keys if isinstance(of_keys, list) else []:
        each = _object(rule)
        of_key = str(each["rule"]).replace("self.", "key.", 1)
        of_map.append(
            {
                "message": f"every key {each['message']}",
                "rule": f"self.all(key, size(key) <= {longest} && {of_key})",
            }
        )
    return {keyword: value for keyword, value in schema.items() if keyword != "propertyNames"} | {RULES: of_map}


def _without_empty(value: JsonValue) -> JsonValue:
    """A default without what stands for 'absent' in Python: null, the empty list and the empty map."""
    if isinstance(value, dict):
        filled = {key: _without_empty(entry) for key, entry in value.items()}
        return {key: entry for key, entry in filled.items() if entry not in (None, [], {})}
    return value


def _object(value: object) -> JsonObject:
    if not isinstance(value, dict):
        raise TypeError(f"a JSON schema has an object here, got {value!r}")
    return value
