"""Names are valid and tell services apart, however long they are."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from framepilot_operator.manifests.names import labels, object_name, selector_labels

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)


@given(NAMES)
def test_the_name_of_the_objects_is_a_dns_label(service: str) -> None:
    name = object_name(service)
    assert len(name) <= 63
    assert LABEL.fullmatch(name)


@given(st.lists(NAMES, unique=True, max_size=20), st.text("ab-", min_size=45, max_size=45))
def test_different_services_have_different_objects(services: list[str], stem: str) -> None:
    # Those that differ only where a name is cut are among them.
    long = [f"a{stem}{end:016d}z" for end in range(3)]
    every = {*services, *long}
    assert len({object_name(service) for service in every}) == len(every)


@given(NAMES)
def test_labels_can_be_labels_and_contain_what_the_deployment_selects(service: str) -> None:
    assert all(len(value) <= 63 for value in labels(service).values())
    assert selector_labels(service).items() <= labels(service).items()
