"""What `inkling serve` refuses before it listens, and what `inkling token` says."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from inference import InklingError, is_loopback
from team import cli, tokens
from team.cli import ServeOptions, serve, settings_for, token
from team.tokens import TokenStore


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TokenStore:
    monkeypatch.setattr(tokens, "data_folder", lambda: tmp_path)
    return TokenStore(tmp_path / "tokens.json")


def options(host: str, *names: str) -> ServeOptions:
    return ServeOptions(
        host=host,
        port=0,
        names=names,
        tls_certificate=None,
        tls_key=None,
        metrics_port=None,
        max_waiting=16,
        as_json=False,
    )


def check(*arguments: str) -> Result:
    result = CliRunner().invoke(token, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


@pytest.mark.parametrize(
    ("host", "is_alone"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example", False),
    ],
)
def test_whom_an_address_lets_in(host: str, is_alone: bool) -> None:
    assert is_loopback(host) is is_alone


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "server.example"])
def test_others_are_let_in_by_tokens_alone(host: str, store: TokenStore) -> None:
    with pytest.raises(InklingError, match=r"nobody has a token; `inkling token add NAME`"):
        settings_for(options(host))
    store.add("ann")
    settings = settings_for(options(host))
    assert settings.requires_token
    assert settings.takes_addresses


def test_tokens_count_on_this_machine_too(store: TokenStore) -> None:
    assert not settings_for(options("127.0.0.1")).requires_token
    store.add("ann")
    assert settings_for(options("127.0.0.1")).requires_token


def test_other_names_may_be_given_where_there_are_tokens(store: TokenStore) -> None:
    with pytest.raises(InklingError, match=r"Inkling\.Example can be reached by others"):
        settings_for(options("127.0.0.1", "Inkling.Example"))
    store.add("ann")
    settings = settings_for(options("127.0.0.1", "Inkling.Example"))
    assert "inkling.example" in settings.hosts
    assert not settings.takes_addresses


def test_a_cluster_wants_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "LIBRARIES", ("click",))
    monkeypatch.setattr(cli, "RAY", "no_such_library")
    with pytest.raises(InklingError, match=r"pip install 'inkling-lsp\[team,cluster\]'"):
        CliRunner().invoke(serve, ["--cluster"], catch_exceptions=False)


def test_what_is_for_a_cluster_is_refused_without_one() -> None:
    with pytest.raises(InklingError, match=r"--replicas, --gpus: for --cluster alone"):
        CliRunner().invoke(serve, ["--replicas", "2", "--gpus", "0.5"], catch_exceptions=False)


def test_a_token_is_shown_once(store: TokenStore) -> None:
    shown = check("add", "ann", "--per-minute", "5").stdout.strip()
    record = store.find(shown)
    assert record is not None
    assert (record.name, record.per_minute, record.per_day) == ("ann", 5, 0)
    assert shown not in check("list").output


def test_who_has_one_is_listed(store: TokenStore) -> None:
    assert "Nobody" in check("list").output
    store.add("ann")
    store.add("bob", per_day=7)
    assert all(word in check("list").output for word in ("ann", "bob", "7"))
    told = json.loads(check("list", "--json").output)
    assert [one["name"] for one in told] == ["ann", "bob"]
    assert all("sha256" not in one for one in told)
    check("revoke", "ann")
    assert "ann" not in check("list").output
