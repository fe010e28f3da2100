"""What is kept of streams, by service, is what a plain dictionary would keep."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from framepilot_app.modules.by_service import ByService

STREAMS = st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"))


@given(st.lists(st.tuples(STREAMS, st.one_of(st.none(), st.integers(0, 9)))))
def test_it_holds_what_was_put_in_and_not_taken_out(steps):
    kept, plain = ByService[int](), {}
    for stream, value in steps:
        if value is not None:
            assert kept.put(stream, value) == plain.get(stream)
            plain[stream] = value
        elif stream in plain:
            assert kept.take(stream) == plain.pop(stream)
        else:
            kept.discard(stream)
        assert (len(kept), kept.get(stream), stream in kept) == (len(plain), value, value is not None)
    assert dict(kept.items()) == plain
    for service in "abc":
        assert dict(kept.items(service)) == {key: value for key, value in plain.items() if key[0] == service}
