"""Files and values that look like secrets, and those that only look a little like them."""

import pytest

from lsp_server.policy.secrets import holds_secret, is_secret_file, masked


@pytest.mark.parametrize(
    "name",
    [
        *(".env", ".env.local", "prod.env", "server.pem", "id_rsa", "id_ed25519.pub", "x.tfstate"),
        *("secrets.yaml", ".npmrc", ".pypirc", "credentials.json", "KEY.PEM", "vault.yml"),
        *("a%20b/.env", ".netrc", "prod.tfvars", "store.jks", "db.kdbx"),
    ],
)
def test_such_files_hold_secrets(name: str) -> None:
    assert is_secret_file(f"file:///code/{name}")


@pytest.mark.parametrize(
    "name", ["a.py", "environment.py", ".env.example", "keys.py", "secret_santa.py", "token.ts"]
)
def test_such_files_do_not(name: str) -> None:
    assert not is_secret_file(f"file:///code/{name}")


def spelled(*parts: str) -> str:
    """Join what would be taken for a secret if it stood here in one piece."""
    return "".join(parts)


@pytest.mark.parametrize(
    "text",
    [
        spelled("-----BEGIN RSA ", "PRIVATE KEY-----"),
        spelled("AKIA", "QYLPMN5HHHFPZAM2"),
        spelled("gh", "p_", "x7Kq" * 9),
        spelled("sk_", "live_", "4eC39HqLyjWDarjtT1zdp7dc"),
        spelled("sk-", "proj-", "4eC39HqLyjWDarjtT1zdp7dc"),
        spelled("xoxb", "-2345678901-abcdefghij"),
        spelled("postgres://me:", "hunter22", "@db/x"),
        spelled('password = "', "tr0ub4dor&3", '"'),
        spelled("API_KEY: '", "9f86d081884c7d65", "'"),
        spelled('"', "Q2hhcmxpZUJ1Y2tldEFuZFRoZUdvbGRlblRpY2tldDQyIQ", '"'),
    ],
)
def test_such_values_are_secrets(text: str) -> None:
    assert holds_secret(text)
    assert holds_secret(f"x = 1\n{text}\ny = 2")
    assert not holds_secret(masked(text))
    assert len(masked(text)) == len(text)


@pytest.mark.parametrize(
    "text",
    [
        "return a + b",
        'password = "changeme123"',
        "password = getpass.getpass()",
        'token = os.environ["TOKEN"]',
        'API_KEY = "your-api-key-here"',
        "postgres://me:${PASSWORD}@db/x",
        "https://example.org/a/b?c=d",
        "this_is_a_very_long_name_of_a_function_that_does_things",
        "class AbstractSingletonProxyFactoryBeanConfigurationReader:",
        "for token in tokens:",
        "0123456789abcdef" * 4,
        "",
    ],
)
def test_such_values_are_none(text: str) -> None:
    assert not holds_secret(text)
    assert masked(text) == text
