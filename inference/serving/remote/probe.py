"""Find out what an endpoint can do by asking it, and remember that for its address and model.

    is it ours?                  the list of models says so                 OWN
    is it Ollama?                it tells a version; the model can insert   INSERT
    does it make holes itself?   POST /infill answers                       INFILL
    does `suffix` count?         the prompt has more tokens with it         SUFFIX
    else, with a layout          we spell the hole                          RAW, PROMPT
    else                         what stands behind the cursor is unknown   ONWARD

A parameter that is ignored looks like one that is taken, but for the number of tokens in the
prompt; where that is not told it counts as ignored. What was found is kept in the user's cache
folder, holds no text, and is asked again where the endpoint tells another model or refuses us.
"""

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import msgspec
import platformdirs

from inference.completion import CompletionRequest
from inference.errors import RemoteError
from inference.private_files import write_private
from inference.serving.remote.credentials import read_private
from inference.serving.remote.dialects import COMPLETIONS, Question, Way, question
from inference.serving.remote.endpoint import Endpoint, Layout, RemoteOptions, layout_for
from inference.serving.remote.link import Link
from inference.serving.remote.trouble import TroubleError

OURS: Final = "inkling"
"""Who owns the models that our own service tells."""

MAX_FILE_BYTES: Final = 1 << 20
MAX_AGE_S: Final = 30 * 86_400.0

_BEFORE: Final = "def add(a, b):\n    return "
_BEHIND: Final = "\n\n\nprint(add(1, 2))\n"


class Ability(msgspec.Struct, frozen=True, kw_only=True):
    """What an endpoint was found to do, and for which model; `layout` names how we spell holes.

    `model_bytes` is what our own service tells of its model's size, 0 where nothing does.
    """

    way: Way
    model: str
    layout: str | None = None
    model_bytes: int = 0
    found_at: float = 0.0

    @property
    def fills_holes(self) -> bool:
        return self.way is not Way.ONWARD


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """An ability with the layout itself; `round_trip_ms` is how long a simple answer took."""

    ability: Ability
    layout: Layout | None
    round_trip_ms: float


async def find_ability(link: Link, endpoint: Endpoint, options: RemoteOptions) -> Found:
    """Return what an endpoint can do. Raises RemoteError where it cannot be used."""
    started = time.perf_counter()
    models = await _models(link)
    round_trip_ms = (time.perf_counter() - started) * 1000
    model = options.model or next(iter(models), "")
    layout = layout_for(model, options)
    known = _remembered().get(_key(endpoint, model))
    named = layout.name if layout else None
    if known is None or known.layout != named or time.time() - known.found_at > MAX_AGE_S:
        is_ours = any(one.owner == OURS for one in models.values())
        known = Ability(
            way=await _way(link, model, layout, is_ours=is_ours),
            model=model,
            layout=named,
            model_bytes=models[model].num_bytes if model in models else 0,
            found_at=time.time(),
        )
        _remember(endpoint, known)
    return Found(ability=known, layout=layout, round_trip_ms=round_trip_ms)


def forget(endpoint: Endpoint, model: str) -> None:
    """Have an endpoint be asked again what it can do."""
    _write({key: one for key, one in _remembered().items() if key != _key(endpoint, model)})


class _Model(NamedTuple):
    owner: str
    num_bytes: int


async def _models(link: Link) -> Mapping[str, _Model]:
    """Return the models that an endpoint tells, in its order.

    One that tells none may still complete: its only model then has no name.
    """
    try:
        said = await link.get("/v1/models")
    except TroubleError as error:
        if not error.is_refusal:
            raise
        return {}
    models: dict[str, _Model] = {}
    for one in _list(_dict(said).get("data")):
        entry = _dict(one)
        name, owner = entry.get("id"), entry.get("owned_by")
        if isinstance(name, str):
            num_bytes = _dict(entry.get("inkling")).get("model_bytes")
            models[name] = _Model(
                owner if isinstance(owner, str) else "",
                num_bytes if isinstance(num_bytes, int) and num_bytes > 0 else 0,
            )
    return models


async def _way(link: Link, model: str, layout: Layout | None, *, is_ours: bool) -> Way:
    if is_ours:
        return Way.OWN
    if await _is_ollama(link):
        if await _can_insert(link, model):
            return Way.INSERT
        return Way.RAW if layout else Way.ONWARD
    if await _infills(link):
        return Way.INFILL
    if await _counts_suffix(link, model):
        return Way.SUFFIX
    return Way.PROMPT if layout else Way.ONWARD


async def _is_ollama(link: Link) -> bool:
    with _refused():
        return isinstance(_dict(await link.get("/api/version")).get("version"), str)
    return False


async def _can_insert(link: Link, model: str) -> bool:
    with _refused():
        said = _dict(await link.post(Question("/api/show", {"model": model})))
        return "insert" in _list(said.get("capabilities"))
    return False


async def _infills(link: Link) -> bool:
    hole = CompletionRequest(document="", prefix=_BEFORE, suffix=_BEHIND, max_tokens=1)
    asked = question(Way.INFILL, hole, "")
    with _refused():
        said = _dict(await link.post(Question(asked.route, {**asked.body, "stream": False})))
        return isinstance(said.get("content"), str)
    return False


async def _counts_suffix(link: Link, model: str) -> bool:
    """Say whether a prompt has more tokens with a suffix. Raises TroubleError.

    Without a suffix an endpoint of this kind has to answer, or it is none.
    """
    body = {"model": model, "prompt": _BEFORE, "max_tokens": 1, "temperature": 0}
    alone = _num_read(await link.post(Question(COMPLETIONS, body)))
    with _refused():
        said = await link.post(Question(COMPLETIONS, body | {"suffix": _BEHIND}))
        return 0 < alone < _num_read(said)
    return False


def _num_read(said: object) -> int:
    """Return how many tokens an endpoint says that it read; 0 where it does not say."""
    if not _list(_dict(said).get("choices")):
        raise TroubleError("it completes nothing: no route of it is known to us")
    told = _dict(_dict(said).get("usage")).get("prompt_tokens")
    return told if isinstance(told, int) else 0


def _refused() -> contextlib.AbstractContextManager[None]:
    """Go on where an endpoint does not know what it is asked; trouble is raised."""
    return _Refused()


class _Refused(contextlib.AbstractContextManager[None]):
    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        return isinstance(error, TroubleError) and error.is_refusal


def _key(endpoint: Endpoint, model: str) -> str:
    return f"{endpoint.base} {model}"


def _file() -> Path:
    return Path(platformdirs.user_cache_dir("inkling", appauthor=False)) / "remote.json"


def _remembered() -> dict[str, Ability]:
    """Return what is remembered; nothing where the file is not whole, or not ours alone."""
    try:
        content = read_private(_file(), MAX_FILE_BYTES)
        return msgspec.json.decode(content or b"{}", type=dict[str, Ability])
    except (RemoteError, msgspec.DecodeError):
        return {}


def _remember(endpoint: Endpoint, ability: Ability) -> None:
    _write(_remembered() | {_key(endpoint, ability.model): ability})


def _write(abilities: Mapping[str, Ability]) -> None:
    with contextlib.suppress(OSError):  # it is asked again the next time, and no more
        write_private(_file(), msgspec.json.encode(abilities))


def _dict(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []
