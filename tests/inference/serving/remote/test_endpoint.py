"""endpoint: what is an address, and which layout is a model's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.errors import RemoteError
from inference.serving.remote.endpoint import Endpoint, Layout, RemoteOptions, layout_for


def check(url: str, *, base: str, origin: str, is_private: bool = True) -> None:
    endpoint = Endpoint.parse(url)
    assert (endpoint.base, endpoint.origin) == (base, origin)
    assert endpoint.is_private is is_private


def test_an_address_is_taken_with_and_without_its_version() -> None:
    for url in (
        "https://a.example",
        "https://a.example/",
        "https://a.example/v1",
        " https://a.example/v1/ ",
    ):
        check(url, base="https://a.example", origin="https://a.example:443")


def test_a_path_stays() -> None:
    check("https://a.example/x/v1", base="https://a.example/x", origin="https://a.example:443")


def test_a_port_belongs_to_the_origin() -> None:
    check("https://A.example:8443", base="https://A.example:8443", origin="https://a.example:8443")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "[::1]"])
def test_this_machine_is_private_without_tls(host: str) -> None:
    check(f"http://{host}:1", base=f"http://{host}:1", origin=f"http://{host}:1")


@pytest.mark.parametrize("host", ["a.example", "localhost.evil", "127.0.0.1.evil", "10.0.0.1"])
def test_other_hosts_are_not(host: str) -> None:
    check(f"http://{host}", base=f"http://{host}", origin=f"http://{host}:80", is_private=False)


@pytest.mark.parametrize(
    "url",
    ["", "a.example", "ftp://a.example", "file:///etc/passwd", "https://", "https://a:x", "https://[x",
     "https://a.example/?q=1", "https://a.example/#x", "https://a.example:99999"],
)  # fmt: skip
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(RemoteError, match="address"):
        Endpoint.parse(url)


def test_a_password_is_refused_and_not_repeated() -> None:
    with pytest.raises(RemoteError) as refused:
        Endpoint.parse("https://me:canary@a.example")
    assert "canary" not in str(refused.value)


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_refused(url: str) -> None:
    try:
        endpoint = Endpoint.parse(url)
    except RemoteError:
        return
    assert endpoint.scheme in ("http", "https")
    assert endpoint.host


SHORT = Layout(name="short", order="psm", prefix="P", suffix="S", middle="M", models=("cat",))
LONG = Layout(name="long", order="spm", prefix="p", suffix="s", middle="m", models=("cat-2",))
OPTIONS = RemoteOptions(url="https://a.example", layouts=(SHORT, LONG))


def test_the_longest_part_of_a_name_decides() -> None:
    assert layout_for("Org/CAT-2-7b", OPTIONS) is LONG
    assert layout_for("cat-1", OPTIONS) is SHORT
    assert layout_for("dog", OPTIONS) is None


def test_the_user_decides_over_a_name() -> None:
    options = RemoteOptions(url="https://a.example", layouts=(SHORT, LONG), layout="long")
    assert layout_for("cat-1", options) is LONG
    with pytest.raises(RemoteError, match="no layout is called x; there are short, long"):
        layout_for("cat", RemoteOptions(url="", layouts=(SHORT, LONG), layout="x"))


def test_each_order_puts_the_parts_where_it_says() -> None:
    assert SHORT.arrange("a", "b") == "PaSbM"
    assert LONG.arrange("a", "b") == "psbma"
    backward = Layout(name="b", order="suffix_prefix", prefix="[P]", suffix="[S]")
    assert backward.arrange("a", "b") == "[S]b[P]a"
    assert backward.markers == ("[P]", "[S]")
