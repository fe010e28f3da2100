from __future__ import annotations

from framepilot_operator.manifests.last_words import last_words


def test_the_last_words_are_those_of_a_person_also_in_a_log_of_json() -> None:
    assert last_words("") is None
    assert last_words("one\n\ntwo \n \n") == "two"
    assert last_words('{"message": "gone"}\n') == "gone"
    assert last_words("[1, 2]") == "[1, 2]"
    assert len(str(last_words("x" * 5000))) <= 400
