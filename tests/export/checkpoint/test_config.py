"""config: every value is asked for by type, and what nobody asked for is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from export.checkpoint.config import MAX_SHOWN, Config, read_config
from export.errors import CheckpointError, ExportError, UnsupportedError


def check(values: dict[str, Any], read: Callable[[Config], object], *, gives: object) -> None:
    """`gives` is the value read, or text that the error must hold."""
    config = Config(values, "config.json")
    if isinstance(gives, str) and gives.startswith("error: "):
        with pytest.raises(ExportError, match=gives.removeprefix("error: ")):
            read(config)
    else:
        assert read(config) == gives


def test_an_integer() -> None:
    check({"n": 3}, lambda config: config.integer("n"), gives=3)


def test_an_absent_integer_takes_its_default() -> None:
    check({}, lambda config: config.integer("n", default=4), gives=4)


def test_null_counts_as_absent() -> None:
    check({"n": None}, lambda config: config.integer("n", default=4), gives=4)


def test_an_absent_integer_without_default_is_named() -> None:
    check({}, lambda config: config.integer("n"), gives="error: config.json has no n")


def test_a_float_is_no_integer() -> None:
    check(
        {"n": 3.0}, lambda config: config.integer("n"), gives="error: n = 3.0, which is not an in"
    )


def test_true_is_no_integer() -> None:
    check({"n": True}, lambda config: config.integer("n"), gives="error: n = True")


def test_zero_is_no_size() -> None:
    check(
        {"n": 0}, lambda config: config.integer("n"), gives="error: n = 0, which is not between 1"
    )


def test_a_huge_integer_is_refused() -> None:
    check({"n": 1 << 40}, lambda config: config.integer("n"), gives="error: not between 1")


def test_a_number_may_be_written_as_an_integer() -> None:
    check({"x": 10000}, lambda config: config.number("x"), gives=10000.0)


def test_a_number_is_above_zero() -> None:
    check({"x": -1.0}, lambda config: config.number("x"), gives="error: finite and above zero")


def test_text_is_no_number() -> None:
    check({"x": "1"}, lambda config: config.number("x"), gives="error: x = '1', which is not a n")


def test_a_boolean() -> None:
    check({"flag": False}, lambda config: config.boolean("flag"), gives=False)


def test_zero_is_no_boolean() -> None:
    check({"flag": 0}, lambda config: config.boolean("flag"), gives="error: not true or false")


def test_a_list_of_integers() -> None:
    check({"ids": [1, 2]}, lambda config: config.integers("ids"), gives=(1, 2))


def test_one_integer_is_a_list_too() -> None:
    check({"ids": 7}, lambda config: config.integers("ids"), gives=(7,))


def test_an_absent_list_is_empty() -> None:
    check({}, lambda config: config.integers("ids"), gives=())


def test_a_list_of_text_is_refused() -> None:
    check({"ids": ["a"]}, lambda config: config.integers("ids"), gives="error: a list of integers")


def test_a_list_of_numbers() -> None:
    check({"factors": [1, 2.5]}, lambda config: config.numbers("factors"), gives=(1.0, 2.5))


def test_a_list_with_a_zero_is_no_list_of_factors() -> None:
    check(
        {"factors": [1.0, 0.0]}, lambda config: config.numbers("factors"), gives="error: above zero"
    )


def test_no_list_of_numbers() -> None:
    check({}, lambda config: config.numbers("factors"), gives="error: no factors")


def test_a_list_of_strings() -> None:
    check({"kinds": ["a"]}, lambda config: config.texts("kinds"), gives=("a",))


def test_a_list_of_integers_is_no_list_of_strings() -> None:
    check({"kinds": [1]}, lambda config: config.texts("kinds"), gives="error: a list of strings")


def test_a_section_is_read_like_the_whole() -> None:
    check({"rope": {"n": 2}}, lambda config: config.section("rope").integer("n"), gives=2)


def test_a_section_is_named_in_errors() -> None:
    check(
        {"rope": {}},
        lambda config: config.section("rope").integer("n"),
        gives="error: config.json: rope has no n",
    )


def test_the_spelling_that_is_there() -> None:
    check({"b": 1}, lambda config: config.spelling("a", "b"), gives="b")


def test_the_implemented_value_passes() -> None:
    check({"act": "silu"}, lambda config: config.require("act", "silu"), gives=None)


def test_an_absent_key_has_the_implemented_value() -> None:
    check({}, lambda config: config.require("act", "silu"), gives=None)


def test_another_value_is_refused_by_name() -> None:
    check(
        {"act": "gelu"},
        lambda config: config.require("act", "silu", "swish"),
        gives="error: config.json says act = 'gelu'; only 'silu' or 'swish' is implemented",
    )


def test_zero_is_not_the_implemented_false() -> None:
    check({"bias": 0}, lambda config: config.require("bias", False), gives="error: bias = 0")


def test_what_was_read_is_not_refused() -> None:
    config = Config({"n": 1, "harmless": 2, "absent": None}, "config.json")
    config.integer("n")
    config.refuse_unread({"harmless"})


def test_what_nobody_read_is_refused_by_name() -> None:
    config = Config({"n": 1, "logit_softcapping": 30.0}, "config.json")
    config.integer("n")
    with pytest.raises(UnsupportedError, match=r"logit_softcapping = 30.0, which is not impl"):
        config.refuse_unread()


def test_a_long_value_that_nobody_read_is_shown_in_part() -> None:
    config = Config({"kinds": [0] * 1_000_000}, "config.json")
    with pytest.raises(UnsupportedError, match=r"kinds = \[0, 0, .*\.\.\., which") as caught:
        config.refuse_unread()
    assert len(str(caught.value)) < 2 * MAX_SHOWN


def test_another_spelling_must_say_the_same() -> None:
    check({"a": 1, "b": 1}, lambda config: config.require_same("a", "b"), gives=None)
    check({"a": 1, "b": 2}, lambda config: config.require_same("a", "b"), gives="error: only 2 is")


def check_ignored(values: dict[str, Any], *ignored: str, refused: str | None = None) -> None:
    """Read `n` and `rope.n`; the rest is refused but for what is ignored."""
    config = Config(values, "config.json", ignored=ignored)

    def read() -> None:
        config.integer("n", default=1)
        section = config.section("rope")
        section.integer("n", default=1)
        section.refuse_unread()
        config.refuse_unread()
        config.refuse_needless()

    if refused is None:
        read()
        return
    with pytest.raises(UnsupportedError, match=refused):
        read()


def test_what_the_user_knows_to_change_nothing() -> None:
    check_ignored({"n": 1, "x": 2}, "x")
    check_ignored({"n": 1, "x": 2, "y": 3}, "x", refused="y = 3, .* add --ignore-config y")


def test_what_the_user_knows_of_a_section() -> None:
    check_ignored({"rope": {"x": 2}}, "rope.x")
    check_ignored({"rope": {"x": 2}}, "x", refused=r"add --ignore-config rope\.x")


def test_what_is_read_cannot_be_passed_over() -> None:
    check_ignored({"n": 1}, "n", refused="has no n that nothing reads; leave --ignore-config n out")
    check_ignored({"n": 1}, "typo", refused="has no typo that nothing reads")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"3", b'{"a": \xff}', b"[" * 100_000], ids=repr
)
def test_what_is_no_json_object_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"config\.json is not what it should be"):
        read_config(tmp_path / "config.json")


def test_what_python_writes_for_no_number_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"limit": [0.0, Infinity], "x": NaN}', "utf-8")
    config = read_config(tmp_path / "config.json")
    with pytest.raises(CheckpointError, match="x = nan, which is not finite"):
        config.number("x")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"cannot read .*config\.json"):
        read_config(tmp_path / "config.json")
