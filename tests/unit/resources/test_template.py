from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from framepilot.resources.parse import parse_resource
from framepilot.resources.quantities import AMOUNT, Amount, amount
from framepilot.resources.service import InferenceService
from framepilot.resources.template import RESERVED_PATHS, InstanceTemplate, VolumeMount
from support.invalid_services import valid_service


def parsed(document: dict[str, Any]) -> InferenceService:
    service = parse_resource(document, "lobby.yaml")
    assert isinstance(service, InferenceService)
    return service


def test_a_template_is_read_as_it_is_written() -> None:
    template = parsed(valid_service()).spec.template
    assert template.resources.requests == {"cpu": "2", "memory": "4Gi"}
    assert template.resources.limits == {"memory": "4Gi", "nvidia.com/gpu": "1"}
    assert [variable.value for variable in template.env] == ["/ca/ca.crt", ""]
    assert [mount.mount_path for mount in template.volume_mounts] == ["/models", "/ca"]
    claim = template.volumes[0].persistent_volume_claim
    assert claim is not None
    assert (claim.claim_name, claim.read_only) == ("models", False)


def test_without_a_template_there_is_an_empty_one() -> None:
    document = valid_service()
    del document["spec"]["template"]
    assert parsed(document).spec.template == InstanceTemplate()


def test_a_template_survives_json_by_the_names_of_kubernetes() -> None:
    service = parsed(valid_service())
    document = service.model_dump(mode="json", exclude_none=True)
    assert document["spec"]["template"]["volumeMounts"][0] == {
        "name": "models",
        "mountPath": "/models",
        "readOnly": True,
    }
    assert parsed(document) == service


@given(st.text(st.sampled_from("+-.0129eEkKmMGiu "), max_size=8))
def test_every_amount_has_a_number_of_0_or_more(text: str) -> None:
    if re.fullmatch(AMOUNT.pattern, text):
        assert amount(text) >= 0
    else:
        with pytest.raises(ValueError, match="is not an amount"):
            amount(text)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2", "2"),
        ("+.5", "0.5"),
        ("1.", "1"),
        ("500m", "0.5"),
        ("1Ki", "1024"),
        ("2E", "2000000000000000000"),
        ("2E3", "2000"),
        ("2e-3", "0.002"),
        ("0.5Gi", "536870912"),
        ("7n", "0.000000007"),
    ],
)
def test_amounts_are_those_of_kubernetes(text: str, number: str) -> None:
    assert amount(text) == Decimal(number)


@given(st.integers(min_value=0, max_value=10**30))
def test_a_whole_number_needs_no_quotes(number: int) -> None:
    adapter: TypeAdapter[str] = TypeAdapter(Amount)
    assert adapter.validate_json(str(number), strict=True) == str(number)


@pytest.mark.parametrize("value", ["true", "1.5", "-1", "null", "[]"])
def test_what_is_no_amount_is_none_without_quotes_either(value: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Amount).validate_json(value, strict=True)


@given(st.text(st.sampled_from("/.abc"), max_size=12), st.sampled_from(RESERVED_PATHS))
def test_no_spelling_of_a_path_leads_into_a_reserved_folder(suffix: str, reserved: str) -> None:
    for path in (reserved + suffix, suffix + reserved):
        try:
            mount = VolumeMount(name="x", mount_path=path)
        except ValidationError:
            continue
        assert mount.mount_path == path
        assert "/../" not in f"{path}/"
        assert "//" not in path
        assert not f"{path}/".startswith(f"{reserved}/")
