import pytest

from seal_datasets.endpoints.keys import check_keys, key_for
from seal_datasets.errors import DataError

HERE, THERE = "http://localhost:8000/v1", "https://api.openai.com/v1"


def test_one_key_is_for_one_service_whatever_the_paths():
    check_keys([THERE, "https://api.openai.com/v2"], "sk-1")
    assert key_for(THERE, "sk-1") == "sk-1"
    for none in (None, ""):
        check_keys([THERE, HERE], none)
        assert key_for(THERE, none) is None
    check_keys([], "sk-1")  # it is not sent, nothing is asked


def test_one_key_for_two_services_is_refused_without_repeating_it():
    with pytest.raises(DataError, match=r"2 services.*localhost:8000") as caught:
        check_keys([THERE, HERE], "sk-1")
    assert "sk-1" not in str(caught.value)


def test_each_service_gets_its_own_key_or_none():
    keys = "https://api.openai.com/v1=sk-1==  http://localhost:8000=x"
    check_keys([THERE, HERE], keys)
    assert [key_for(each, keys) for each in (THERE, HERE, "http://localhost:9000/v1")] == ["sk-1==", "x", None]
    assert key_for("http://api.openai.com/v1", keys) is None  # in the clear is another service


def test_blanks_around_keys_do_not_make_them_one_key_for_all():
    keys = "\n https://api.openai.com=sk-1\n http://localhost:8000=x\n"
    check_keys([THERE, HERE], keys)
    assert [key_for(each, keys) for each in (THERE, HERE, "http://localhost:9000/v1")] == ["sk-1", "x", None]
    assert key_for(THERE, " sk-1\n") == "sk-1"
    assert key_for(THERE, " ") is None


@pytest.mark.parametrize(
    "keys", ["https://api.openai.com", "https://api.openai.com=", "https://a=sk-1 sk-2", "sk-2 https://a=sk-1"]
)
def test_what_is_not_address_and_key_is_refused_without_repeating_it(keys):
    with pytest.raises(DataError, match=r"entry \d of the keys is not ADDRESS=KEY") as caught:
        key_for(THERE, keys)
    assert "sk-2" not in str(caught.value)
