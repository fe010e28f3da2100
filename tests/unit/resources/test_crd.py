from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field
from ruamel.yaml import YAML

from framepilot.resources.crd import DEFINITIONS, Definition, custom_resource_definition, open_api_schema
from framepilot.resources.parse import parse_resource
from framepilot.resources.profile import ModelProfile
from framepilot.resources.runtime import InferenceRuntime
from framepilot.resources.service import InferenceService
from support.invalid_services import valid_service
from support.resources import profile_document, runtime_document, service_document

CRDS = Path(__file__).parents[3] / "crds"
GENERATE = CRDS / "generate.py"
RULES = "x-kubernetes-validations"
ALLOWED = {
    "string": {"enum", "format", "minLength", "maxLength"},
    "integer": {"minimum", "maximum"},
    "boolean": set(),
    "object": {"properties", "required", "additionalProperties", "maxProperties"},
    "int or string": {"x-kubernetes-int-or-string", "maxLength"},
    "array": {"items", "minItems", "maxItems", "x-kubernetes-list-type", "x-kubernetes-list-map-keys"},
}
NODES = {InferenceService: 90, InferenceRuntime: 40, ModelProfile: 10}

each_definition = pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.plural)


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for keyword, suffix in (("items", "[]"), ("additionalProperties", "{}")):
        if keyword in schema:
            yield from nodes(schema[keyword], f"{path}{suffix}")


def structural_problems(path: str, node: dict[str, Any]) -> list[str]:
    """What the API server would refuse in one node of a schema, or what it could not bound the cost of a rule by."""
    kind = "int or string" if node.get("x-kubernetes-int-or-string") is True else node.get("type")
    if kind == "int or string" and ("type" in node or "maxLength" not in node):
        return [f"{path}: an int-or-string has no type, and a maxLength"]
    if kind not in ALLOWED:
        return [f"{path}: type {kind!r}"]
    problems = [
        f"{path}: keyword {keyword}"
        for keyword in node
        if keyword not in ALLOWED[kind] | {"type", "description", "default", RULES}
    ]
    if kind == "string" and path not in {".apiVersion", ".kind"} and not {"enum", "maxLength"} & node.keys():
        problems += [f"{path}: no maxLength"] if node.get("format") != "date-time" else []
    if kind == "integer" and "minimum" not in node:
        problems.append(f"{path}: no minimum")
    if kind == "array":
        problems += [f"{path}: no {keyword}" for keyword in ("maxItems", "items") if keyword not in node]
        problems += list_problems(path, node)
    if kind == "object":
        problems += [f"{path}: {name} is required and not there" for name in unknown_required(node)]
        problems += map_problems(path, node)
    if "default" in node:
        problems += [f"{path}: default: {e.message}" for e in Draft202012Validator(node).iter_errors(node["default"])]
    return problems + rule_problems(path, node)


def list_problems(path: str, node: dict[str, Any]) -> list[str]:
    match node.get("x-kubernetes-list-type"):
        case "set" if node["items"]["type"] == "string":
            return []
        case "map":
            keys = node["x-kubernetes-list-map-keys"]
            scalars = [key for key in keys if node["items"]["properties"][key]["type"] in {"string", "integer"}]
            return [] if set(scalars) == set(keys) <= set(node["items"]["required"]) else [f"{path}: keys {keys}"]
        case "atomic":
            return []
        case other:
            return [f"{path}: list type {other!r}"]


def map_problems(path: str, node: dict[str, Any]) -> list[str]:
    if "additionalProperties" not in node:
        return []
    bounded = "maxProperties" in node and any("self.all(key, size(key) <= " in rule["rule"] for rule in node[RULES])
    both = [f"{path}: properties beside additionalProperties"] if "properties" in node else []
    return both if bounded else [*both, f"{path}: no maxProperties, or keys of any form"]


def unknown_required(node: dict[str, Any]) -> set[str]:
    return set(node.get("required", [])) - node.get("properties", {}).keys()


def rule_problems(path: str, node: dict[str, Any]) -> list[str]:
    problems = []
    for rule in node.get(RULES, []):
        expression, message = rule["rule"], rule["message"]
        if set(rule) != {"rule", "message"} or not message or "\n" in message:
            problems.append(f"{path}: {rule} has no message of one line")
        if "duration(" in expression and not 0 <= expression.find(".matches(") < expression.find("duration("):
            problems.append(f"{path}: {expression} is not guarded by matches()")
        for pattern in re.findall(r"matches\('([^']*)'\)", expression):
            re.compile(pattern)
            # RE2, which the API server uses, repeats at most 1000 times and has no look-around.
            if "\\" in pattern or "(?" in pattern or any(int(n) > 1000 for n in re.findall(r"[{,](\d+)\}", pattern)):
                problems.append(f"{path}: {pattern} is not for RE2")
    return problems


@each_definition
def test_the_schema_is_structural_and_bounds_everything(definition: Definition) -> None:
    found = list(nodes(open_api_schema(definition.resource)))
    assert len(found) >= NODES[definition.resource]
    assert [problem for path, node in found for problem in structural_problems(path, node)] == []


@each_definition
def test_the_schema_holds_plain_json_without_references_nulls_and_floats(definition: Definition) -> None:
    text = json.dumps(custom_resource_definition(definition), allow_nan=False)
    for word in ('"$ref"', '"anyOf"', '"$defs"', '"title"', '"number"', '"pattern"', "null", "propertyNames"):
        assert word not in text


@each_definition
def test_every_field_of_the_types_is_in_the_schema(definition: Definition) -> None:
    properties = open_api_schema(definition.resource)["properties"]
    assert isinstance(properties, dict)
    assert set(properties) == {field.alias for field in definition.resource.model_fields.values()}


def test_what_users_type_and_see() -> None:
    crd: dict[str, Any] = custom_resource_definition(DEFINITIONS[0])
    assert crd["metadata"]["name"] == "inferenceservices.framepilot.dev"
    assert crd["spec"]["names"]["shortNames"] == ["infsvc"]
    assert crd["spec"]["names"]["categories"] == ["framepilot"]
    version = crd["spec"]["versions"][0]
    assert version["subresources"] == {"status": {}}
    assert [column["name"] for column in version["additionalPrinterColumns"]] == [
        "Ready", "Reason", "Models", "Objective", "Attainment", "Message", "Age",
    ]  # fmt: skip


def test_defaults_are_in_the_schema() -> None:
    schema: Any = open_api_schema(InferenceService)
    properties = schema["properties"]
    assert properties["status"]["default"] == {"observedGeneration": -1}
    assert properties["spec"]["properties"]["batching"]["default"] == {"mode": "Auto", "min": 1, "max": 32}


def validator(resource: type[BaseModel]) -> Draft202012Validator:
    return Draft202012Validator(open_api_schema(resource))


@pytest.mark.parametrize(
    "document", [service_document(), runtime_document(), profile_document()], ids=lambda document: document["kind"]
)
def test_what_the_types_accept_and_write_the_schema_accepts(document: dict[str, Any]) -> None:
    parsed = parse_resource(document, "sample")
    check = validator(type(parsed))
    check.validate(document)
    check.validate(parsed.model_dump(mode="json", exclude_none=True))


def test_a_service_that_uses_all_of_template_fits_the_schema() -> None:
    parsed = parse_resource(valid_service(), "sample")
    validator(InferenceService).validate(valid_service())
    validator(InferenceService).validate(parsed.model_dump(mode="json", exclude_none=True))


def test_a_map_of_anything_is_refused() -> None:
    class Loose(BaseModel):
        spec: dict[str, Any]

    with pytest.raises(TypeError, match="an object here, got True"):
        open_api_schema(_resource(Loose))


def test_a_map_whose_keys_have_a_form_that_no_rule_says_is_refused() -> None:
    class Loose(BaseModel):
        spec: dict[Annotated[str, Field(min_length=1)], int]

    with pytest.raises(ValueError, match="the keys of a map have a form"):
        open_api_schema(_resource(Loose))


def _resource(spec: type[BaseModel]) -> type[BaseModel]:
    class Resource(spec):  # type: ignore[misc, valid-type]
        api_version: str
        kind: str

    return Resource


def test_a_full_status_fits_the_schema() -> None:
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "Serving",
        "message": "every module serves",
        "lastTransitionTime": "2026-11-23T10:00:00Z",
        "observedGeneration": 3,
    }
    status = {
        "observedGeneration": 3,
        "conditions": [condition],
        "modules": [{"name": "face", "serving": "1", "candidate": "2", "batch": 8, "refused": "3"}],
        "instances": ["lobby-0"],
    }
    parsed = parse_resource(service_document() | {"status": status}, "sample")
    assert parsed.model_dump(mode="json", exclude_none=True)["status"] == status
    validator(InferenceService).validate(service_document() | {"status": status})


@pytest.mark.parametrize(
    "spoil",
    [
        lambda spec: spec.pop("modules"),
        lambda spec: spec.update(modules=[]),
        lambda spec: spec.update(modules=spec["modules"] * 40),
        lambda spec: spec["modules"][1].update(inputs=["face", "age"]),
        lambda spec: spec["modules"][0]["model"].pop("version"),
        lambda spec: spec["modules"][0]["model"].update(version=1),
        lambda spec: spec["streams"][0].update(delivery="latest"),
        lambda spec: spec["streams"][0].update(fps=0),
        lambda spec: spec["sinks"][0].update(type="kafka"),
        lambda spec: spec.update(batching={"mode": "auto"}),
        lambda spec: spec["objective"].update(latency="2" * 17),
        lambda spec: spec.update(template={"nodeSelector": {f"l{number}": "x" for number in range(17)}}),
        lambda spec: spec.update(template={"nodeSelector": {"zone": 1}}),
        lambda spec: spec.update(template={"tolerations": [{"operator": "exists"}]}),
        lambda spec: spec.update(template={"env": [{"name": f"E{number}"} for number in range(33)]}),
    ],
)
def test_the_schema_refuses_what_the_types_refuse(spoil: Callable[[dict[str, Any]], object]) -> None:
    document = service_document()
    spoil(document["spec"])
    assert not validator(InferenceService).is_valid(document)
    with pytest.raises(ValueError, match="sample"):
        parse_resource(document, "sample")


def generate(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, GENERATE, *arguments], capture_output=True, text=True, check=False)


@each_definition
def test_the_written_crd_is_that_of_the_types(definition: Definition) -> None:
    path = CRDS / f"{definition.name}.yaml"
    assert YAML(typ="safe").load(path) == custom_resource_definition(definition)
    assert path.stat().st_size < 262_144


def test_drift_is_named(tmp_path: Path) -> None:
    assert generate(tmp_path).returncode == 0
    assert generate(tmp_path, "--check").returncode == 0
    drifted = tmp_path / "modelprofiles.framepilot.dev.yaml"
    drifted.write_text(drifted.read_text().replace("maxItems: 64", "maxItems: 65"))
    (tmp_path / "old.framepilot.dev.yaml").touch()
    check = generate(tmp_path, "--check")
    assert check.returncode == 1
    assert [line.split()[0] for line in check.stderr.splitlines()] == [
        str(drifted),
        str(tmp_path / "old.framepilot.dev.yaml"),
    ]
