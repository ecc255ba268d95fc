"""What somebody sends who means no good is refused by the real process, each with its status.

All of it comes within seconds; none of it reaches the engine, and who means well is answered then.
"""

import asyncio
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.service_process import ServiceProcess, exchange
from tests.team.hostile import ATTACKS, PORT, TOKEN, Attack, request

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    data = tmp_path_factory.mktemp("hostile")
    give_token(data)
    with ServiceProcess(data) as service:
        yield service


@pytest.fixture(scope="module")
def statuses(service: ServiceProcess) -> dict[str, int | None]:
    """Send all of it, a part at a time; return what each was answered with."""
    port = str(service.port).encode()
    places = asyncio.Semaphore(16)

    async def send(attack: Attack) -> int | None:
        pieces = [
            piece.replace(PORT, port) if isinstance(piece, bytes) else piece
            for piece in attack.pieces
        ]
        async with places:
            return await exchange(service.port, pieces)

    async def send_all() -> list[int | None]:
        return list(await asyncio.gather(*map(send, ATTACKS)))

    found = asyncio.run(send_all())
    return {attack.name: status for attack, status in zip(ATTACKS, found, strict=True)}


def give_token(data: Path) -> None:
    """Write down the hash of a token that is known, as `inkling token add` writes one's."""
    folder = data / "inkling"
    folder.mkdir()
    path = folder / "tokens.json"
    sha256 = hashlib.sha256(TOKEN.encode()).hexdigest()
    path.write_text(json.dumps([{"name": "ann", "sha256": sha256, "created": 0}]))
    path.chmod(0o600)


def test_there_are_more_than_forty() -> None:
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) > 40


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_it_is_refused(attack: Attack, statuses: dict[str, int | None]) -> None:
    assert statuses[attack.name] == attack.status


def test_who_means_well_is_answered_behind_all_of_it(
    service: ServiceProcess, statuses: dict[str, int | None]
) -> None:
    assert service.count("inkling_completions_total") == 0
    good = request().replace(PORT, str(service.port).encode())
    assert asyncio.run(exchange(service.port, [good])) == 200
    assert service.count("inkling_completions_total") == 1
    assert service.process.poll() is None
    assert len(statuses) == len(ATTACKS)


def test_the_log_quotes_nothing_of_it(
    service: ServiceProcess, statuses: dict[str, int | None]
) -> None:
    log = service.errors.read_text()
    assert TOKEN not in log
    assert "evil" not in log
    assert "Traceback" not in log
    assert statuses
