from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from framepilot.contract.desired import Delivery, DesiredModule, DesiredStream, ModelRef
from framepilot.contract.desired import Name as ContractName
from framepilot.resources.parse import parse_resource
from framepilot.resources.profile import ModelProfile
from framepilot.resources.quantities import duration_ms, fraction
from framepilot.resources.service import BatchingMode, InferenceService
from framepilot.resources.stream import Motion
from framepilot.resources.text import Name, Version
from framepilot.resources.uris import StoreUri, absolute
from support.resources import profile_document, service_document


def service(**spec: Any) -> InferenceService:
    document = service_document()
    document["spec"] |= spec
    parsed = parse_resource(document, "lobby.yaml")
    assert isinstance(parsed, InferenceService)
    return parsed


def test_the_key_is_namespace_and_name() -> None:
    assert service().key == "cameras/lobby"


def test_without_a_namespace_it_is_in_default() -> None:
    assert parse_resource(profile_document(), "profile.yaml").key == "default/centerface-1-cpu"


def test_what_is_left_out_has_its_default() -> None:
    spec = service(sinks=[]).spec
    assert (spec.batching.mode, spec.batching.min, spec.batching.max) == (BatchingMode.AUTO, 1, 32)
    assert (spec.streams[0].fps, spec.streams[0].loop) == (None, False)
    assert service().status.observed_generation == -1


@pytest.mark.parametrize(
    ("stream", "delivery"),
    [
        ({"source": "file:door.mp4"}, Delivery.LOSSLESS),
        ({"source": "file:///videos/door.mp4"}, Delivery.LOSSLESS),
        ({"source": "test://640x360"}, Delivery.NEWEST),
        ({"source": "file:door.mp4", "delivery": "newest"}, Delivery.NEWEST),
        ({"source": "test://640x360?frames=500&fps=25", "delivery": "lossless"}, Delivery.LOSSLESS),
    ],
)
def test_files_are_lossless_and_the_rest_is_newest_unless_declared(stream: dict[str, str], delivery: Delivery) -> None:
    assert service(streams=[{"name": "door", **stream}]).spec.streams[0].effective_delivery is delivery


@pytest.mark.parametrize(
    ("stream", "paced"),
    [
        ({"source": "file:door.mp4"}, False),
        ({"source": "file:///videos/door.mp4", "delivery": "newest"}, False),
        ({"source": "file:door.mp4", "realtime": True}, True),
        ({"source": "test://640x360"}, True),
        ({"source": "test://640x360?fps=25", "delivery": "lossless"}, True),
        ({"source": "test://640x360?fps=25", "realtime": False}, False),
    ],
)
def test_a_live_source_is_paced_and_a_file_is_not_unless_declared(stream: dict[str, Any], paced: bool) -> None:
    assert service(streams=[{"name": "door", **stream}]).spec.streams[0].effective_realtime is paced


def test_a_module_batches_as_the_service_unless_it_says_otherwise() -> None:
    modules = service_document()["spec"]["modules"]
    modules[1]["batching"] = {"mode": "Fixed", "size": 4}
    spec = service(batching={"max": 16}, modules=modules).spec
    assert [spec.batching_of(module).bounds for module in spec.modules] == [(1, 16), (4, 4)]


def test_quantities_are_numbers_in_python() -> None:
    spec = service(objective={"latency": "1.5s"}).spec
    assert (spec.objective.latency_ms, spec.objective.attainment_fraction) == (1500, 0.99)
    promised = service(objective={"latency": "1.5s", "attainment": "99.9%"}).spec.objective
    assert promised.attainment_fraction == 0.999
    assert spec.modules[1].where is not None
    assert spec.modules[1].where.min_score_fraction == 0.6
    profile = parse_resource(profile_document(), "profile.yaml")
    assert isinstance(profile, ModelProfile)
    assert [(point.p50_ms, point.p99_ms) for point in profile.spec.points] == [(12.5, 15), (80, 100)]


@pytest.mark.parametrize("store", ["file:///models", "https://models.site:8443/a", "http://10.0.0.7"])
def test_a_model_is_found_by_name_and_version(store: str) -> None:
    for written in (store, f"{store}/"):
        spec = service(models={"store": written}).spec
        assert spec.models.uri_of(spec.modules[0].model) == f"{store}/centerface/1"


@given(st.text(st.sampled_from("aZ0.-_:@/?#%[] \n"), max_size=20))
def test_no_store_has_a_user_name_or_a_query_or_lacks_a_host(rest: str) -> None:
    store = f"https://{rest}"
    if not _accepted(TypeAdapter(StoreUri), store):
        return
    parts = urlsplit(store)
    assert (parts.username, parts.password, parts.query, parts.fragment) == (None, None, "", "")
    assert parts.hostname
    assert absolute(store, PurePosixPath("/home/me")) == store


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("file:videos/a b.mp4", "file:///home/me/videos/a b.mp4"),
        ("file:../a.mp4", "file:///home/me/../a.mp4"),
        ("file:///a.mp4", "file:///a.mp4"),
        ("test://640x360?fps=25", "test://640x360?fps=25"),
    ],
)
def test_a_relative_file_is_below_the_folder_of_its_yaml(uri: str, expected: str) -> None:
    assert absolute(uri, PurePosixPath("/home/me")) == expected


def test_a_folder_with_strange_characters_is_percent_encoded() -> None:
    assert absolute("file:a%20b.mp4", PurePosixPath("/what? 100%")) == "file:///what%3F%20100%25/a%20b.mp4"


def test_a_resource_survives_json() -> None:
    original = service(batching={"mode": "Fixed", "size": 8})
    document = original.model_dump(mode="json", exclude_none=True)
    assert parse_resource(document, "again") == original


@given(st.text(st.sampled_from("az09AZ-._/ \n"), max_size=66))
def test_every_name_and_version_of_the_api_is_one_of_the_contract(text: str) -> None:
    if _accepted(TypeAdapter(Name), text):
        TypeAdapter(ContractName).validate_python(text)
    if _accepted(TypeAdapter(Version), text):
        ModelRef(name="model", version=text, uri="file:///models")


def test_a_declared_stream_and_module_fit_into_desired_state() -> None:
    spec = service().spec
    stream, module = spec.streams[0], spec.modules[1]
    DesiredStream(
        name=stream.name,
        source=stream.source,
        fps=stream.fps,
        delivery=stream.effective_delivery,
        realtime=stream.effective_realtime,
        transport="udp",
        timeout_ms=stream.timeout_ms,
        motion={"change": fraction(Motion().change), "at_least_every_ms": duration_ms(Motion().at_least_every)},
    )
    DesiredModule(
        name=module.name,
        inputs=module.inputs,
        budget_ms=spec.objective.latency_ms,
        batch={"size": spec.batching_of(module).bounds[1]},
        model=ModelRef(name=module.model.name, version=module.model.version, uri=spec.models.uri_of(module.model)),
    )


def _accepted(adapter: TypeAdapter[str], text: str) -> bool:
    try:
        adapter.validate_python(text)
    except ValidationError:
        return False
    return True
