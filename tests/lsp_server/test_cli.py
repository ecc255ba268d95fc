import pytest
from click.testing import CliRunner

from lsp_server.cli import create_server, lsp
from lsp_server.features import FEATURES
from tests.support.scripted_engine import ScriptedEngine


def check(*arguments: str, says: str, exit_code: int = 2) -> None:
    result = CliRunner().invoke(lsp, arguments)
    assert result.exit_code == exit_code
    assert says in result.output


@pytest.mark.parametrize("option", ["--pipe", "--socket"])
def test_other_transports_are_refused(option: str) -> None:
    check(f"{option}=9000", says=f"over stdio only; start it without {option}=9000")


def test_an_unknown_option_is_refused() -> None:
    check("--tcp", says="No such option")


def test_a_client_process_id_is_a_number() -> None:
    check("--clientProcessId=x", says="is not a valid integer")


def test_help_names_the_options_that_are_meant() -> None:
    check("--help", says="--model", exit_code=0)


async def test_two_servers_share_nothing() -> None:
    one, other = create_server(ScriptedEngine()), create_server(ScriptedEngine())
    assert one.documents is not other.documents
    assert one.protocol is not other.protocol
    assert set(one.protocol.fm.features) == {feature.method for feature in FEATURES}
