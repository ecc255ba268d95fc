"""probe: what each kind of endpoint is found to do, and how long that is remembered."""

import stat
from pathlib import Path

import msgspec
import pytest

from inference.engine import EngineState
from inference.serving.remote.dialects import Way
from tests.inference.serving.remote.conftest import Opening
from tests.support.fake_endpoint import FakeEndpoint, Kind

WAYS: dict[Kind, Way] = {
    "ours": Way.OWN,
    "llama-server": Way.INFILL,
    "ollama": Way.INSERT,
    "ollama-raw": Way.RAW,
    "vllm": Way.PROMPT,
    "lmstudio": Way.PROMPT,
    "openai": Way.SUFFIX,
    "tgi": Way.PROMPT,
}


def remembered(tmp_path: Path) -> dict[str, dict[str, object]]:
    file = tmp_path / "cache" / "inkling" / "remote.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    return msgspec.json.decode(file.read_bytes())


async def check(
    connect: Opening,
    endpoint: FakeEndpoint,
    tmp_path: Path,
    *,
    way: Way,
    num_asked: int,
    **options: object,
) -> None:
    """Open an engine; it asks so many questions, and the way is remembered."""
    before = len(endpoint.asked)
    engine = await connect(endpoint, **options)
    assert engine.status().state is EngineState.READY
    assert engine.status().fills_holes is (way is not Way.ONWARD)
    assert engine.status().model_bytes == (12345 if way is Way.OWN else 0)
    assert len(endpoint.asked) - before == num_asked
    (known,) = remembered(tmp_path).values()
    assert known["way"] == way


@pytest.mark.parametrize(("kind", "way"), WAYS.items())
async def test_each_kind_is_known_by_what_it_does(
    kind: Kind, way: Way, endpoint: FakeEndpoint, connect: Opening, tmp_path: Path
) -> None:
    questions = {"ours": 1, "llama-server": 3, "ollama": 3, "ollama-raw": 3}
    endpoint.kind = kind
    await check(connect, endpoint, tmp_path, way=way, num_asked=questions.get(kind, 5))


@pytest.mark.parametrize("kind", ["vllm", "lmstudio", "tgi", "ollama-raw"])
async def test_without_a_layout_what_stands_behind_is_unknown(
    kind: Kind, endpoint: FakeEndpoint, connect: Opening, tmp_path: Path
) -> None:
    endpoint.kind = kind
    num_asked = 3 if kind == "ollama-raw" else 5
    await check(connect, endpoint, tmp_path, way=Way.ONWARD, num_asked=num_asked, layouts=())


async def test_what_was_found_is_not_asked_again(
    endpoint: FakeEndpoint, connect: Opening, tmp_path: Path
) -> None:
    await check(connect, endpoint, tmp_path, way=Way.SUFFIX, num_asked=5)
    await check(connect, endpoint, tmp_path, way=Way.SUFFIX, num_asked=1)


async def test_another_model_is_asked_about(
    endpoint: FakeEndpoint, connect: Opening, tmp_path: Path
) -> None:
    await check(connect, endpoint, tmp_path, way=Way.SUFFIX, num_asked=5)
    endpoint.model = "another"
    await connect(endpoint)
    assert len(endpoint.asked) == 10
    assert len(remembered(tmp_path)) == 2


async def test_a_user_who_names_a_layout_is_asked_for_it_anew(
    endpoint: FakeEndpoint, connect: Opening, tmp_path: Path
) -> None:
    endpoint.kind, endpoint.model = "vllm", "unknown"
    await check(connect, endpoint, tmp_path, way=Way.ONWARD, num_asked=5)
    await check(connect, endpoint, tmp_path, way=Way.PROMPT, num_asked=5, layout="plain")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"a": 1}', b"\xff", b"x" * (2 << 20)])
async def test_a_file_that_is_not_whole_is_asked_anew_and_replaced(
    content: bytes, endpoint: FakeEndpoint, connect: Opening, tmp_path: Path
) -> None:
    file = tmp_path / "cache" / "inkling" / "remote.json"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    file.chmod(0o600)
    await check(connect, endpoint, tmp_path, way=Way.SUFFIX, num_asked=5)


async def test_a_file_that_others_can_write_is_not_believed(
    endpoint: FakeEndpoint, connect: Opening, tmp_path: Path
) -> None:
    await connect(endpoint)
    (tmp_path / "cache" / "inkling" / "remote.json").chmod(0o666)
    await check(connect, endpoint, tmp_path, way=Way.SUFFIX, num_asked=5)


async def test_nothing_of_a_document_is_in_a_probe(
    endpoint: FakeEndpoint, connect: Opening
) -> None:
    await connect(endpoint)
    prompts = {one.body["prompt"] for one in endpoint.asked if one.body.get("prompt")}
    assert prompts == {"def add(a, b):\n    return "}


async def test_an_endpoint_that_refuses_our_way_is_asked_again_what_it_can(
    endpoint: FakeEndpoint, connect: Opening, tmp_path: Path
) -> None:
    from tests.inference.serving.remote.test_remote_engine import REQUEST

    engine = await connect(endpoint)
    endpoint.kind = "vllm"  # it was updated
    assert (await engine.complete(REQUEST)).text == ""
    assert remembered(tmp_path) == {}
    engine.retry()
    while engine.status().state is not EngineState.READY:
        await engine.complete(REQUEST)
    (known,) = remembered(tmp_path).values()
    assert known["way"] == Way.PROMPT
    assert (await engine.complete(REQUEST)).text == "name"
