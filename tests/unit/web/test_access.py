from __future__ import annotations

import pytest

from framepilot_app.web.access import Access, refusal


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("host", ["localhost:8080", "localhost", "127.0.0.1:8080", "[::1]:8080", "LOCALHOST:1"])
def test_this_machine_sees_the_page(peer, host):
    assert refusal(Access.LOCAL, peer, host) is None


@pytest.mark.parametrize("peer", ["10.0.0.7", "192.168.1.1", "::ffff:10.0.0.7", "fe80::1%eth0", "", None, "unix:"])
def test_another_machine_is_told_how_to_see_it(peer):
    assert "kubectl port-forward" in refusal(Access.LOCAL, peer, "localhost:8080")


@pytest.mark.parametrize(
    "host", ["evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "", "[", "10.0.0.7"]
)
def test_a_name_that_was_made_to_point_here_is_refused(host):
    assert refusal(Access.LOCAL, "127.0.0.1", host) is not None


def test_everybody_sees_it_where_that_was_asked_for():
    assert refusal(Access.ALL, "10.0.0.7", "cameras.example") is None
