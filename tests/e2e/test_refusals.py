"""What cannot be used is refused by the API server, with a message that says what to do."""

from __future__ import annotations

import pytest

from support.invalid_services import INVALID_SERVICES, InvalidService
from support.kubectl import Kubectl


@pytest.mark.usefixtures("crds")
@pytest.mark.parametrize("case", INVALID_SERVICES, ids=lambda case: case.name)
def test_an_invalid_resource_is_refused_with_a_message(namespace: Kubectl, case: InvalidService) -> None:
    done = namespace.attempt("apply", "-f", "-", given=case.yaml)
    assert done.returncode != 0
    assert case.says in done.stderr, done.stderr
