"""What somebody sends who means no good is refused by the real process, each with its status.

All of it comes within seconds; none of it reaches the engine, and who means well is answered then.
"""

import asyncio
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.service_process import PATIENCE_SECONDS, ServiceProcess, exchange
from tests.team.hostile import ATTACKS, PORT, TOKEN, Attack, get, request

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


AFTERWARDS = {
    "another head without an end": (get("/health"), b"GET /hea", 200),
    "a refused body that goes on and on": (
        request(Authorization=None, Content_Length="99"),
        b"x",
        401,
    ),
}


async def test_who_was_answered_has_no_more_time_than_others(service: ServiceProcess) -> None:
    """The connection is closed, though something comes on it every second."""

    async def drip(first: bytes, piece: bytes, status: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(first.replace(PORT, str(service.port).encode()))
        assert (await reader.readline()).startswith(b"HTTP/1.1 %d " % status)
        rest = asyncio.ensure_future(reader.read())
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (await asyncio.wait({rest}, timeout=1))[0]:
                writer.write(piece)
                piece = b"x"
        assert b"HTTP/1.1" not in rest.result()
        writer.close()

    await asyncio.gather(*(drip(*how) for how in AFTERWARDS.values()))


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
