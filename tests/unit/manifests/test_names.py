"""Names are valid and tell owners apart, however long they are."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from framepilot_operator.manifests.names import labels, object_name, owner_of, selector_labels
from framepilot_operator.manifests.owner import Owner, OwnerKind

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
OWNERS = st.builds(Owner, st.sampled_from(OwnerKind), st.just("cameras"), NAMES)


@given(OWNERS)
def test_the_name_of_the_objects_is_a_dns_label(owner: Owner) -> None:
    name = object_name(owner)
    assert len(name) <= 63
    assert LABEL.fullmatch(name)


@given(st.lists(OWNERS, unique=True, max_size=20), st.text("ab-", min_size=45, max_size=45))
def test_different_owners_have_different_objects(owners: list[Owner], stem: str) -> None:
    # Those that differ only where a name is cut are among them, and those whose names look like those of the others.
    long = [Owner(kind, "cameras", f"a{stem}{end:016d}z") for end in range(3) for kind in OwnerKind]
    alike = [
        Owner(OwnerKind.SERVICE, "cameras", "runtime-x"),
        Owner(OwnerKind.RUNTIME, "cameras", "x"),
        Owner(OwnerKind.SERVICE, "cameras", "inference-runtime-x"),
    ]
    every = {*owners, *long, *alike}
    assert len({object_name(owner) for owner in every}) == len(every)


@given(OWNERS)
def test_labels_can_be_labels_and_contain_what_the_deployment_selects(owner: Owner) -> None:
    assert all(len(value) <= 63 for value in labels(owner).values())
    assert selector_labels(owner).items() <= labels(owner).items()


@given(OWNERS)
def test_an_owner_is_found_again_by_its_labels(owner: Owner) -> None:
    assert owner_of(owner.namespace, labels(owner)) == owner
    assert owner_of(owner.namespace, {}) is None
