"""Show what Inkling reads, writes and talks to, so that nobody has to believe it.

What was read for a completion comes from the journal; files, processes and their sockets are looked
at as they are now.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec
import platformdirs

from inference import data_folder, runtime_folder
from lsp_server.insight.journal import SWITCH, last_requests, state_folder

NUM_REQUESTS: Final = 20
MODULES: Final = ("inkling", "inference.serving.host", "inference.serving.shared.host")
"""What our processes run with `python -m`."""

VARIABLES: Final[Mapping[str, str]] = {
    "INKLING_MODEL": "the model that answers",
    "INKLING_REMOTE": "an endpoint that answers in place of the model here",
    "INKLING_REMOTE_MODEL": "which of its models",
    "INKLING_REMOTE_LAYOUT": "how that model spells a hole",
    "INKLING_LOG": "how much is logged",
    "INKLING_SHARE": '"0": an engine for each editor',
    SWITCH: '"off": nothing is written to the journal',
    "HF_HOME": "where `inkling model add` keeps what it fetches",
    "HF_ENDPOINT": "where `inkling model add` fetches from",
    "HF_HUB_OFFLINE": "`inkling model add` fetches nothing",
}
"""The environment variables that change what Inkling does."""

SECRET: Final = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
"""Of these it is only said whether they are set; the engine's process never gets them."""

TELEMETRY: Final = (
    "onnxruntime's own is switched off in every process that loads it (ORT_DISABLE_TELEMETRY=1)"
)


class ReadForRequest(msgspec.Struct, kw_only=True):
    """The characters before and after the cursor that the engine got, of `num_documents`."""

    time: float
    document: str
    language: str
    outcome: str
    read_before: int
    read_after: int
    num_documents: int


class WrittenFile(msgspec.Struct, kw_only=True):
    """A file in one of the user's folders. `mode` is octal; `is_private`: nobody else can read."""

    path: str
    num_bytes: int
    mode: str
    is_private: bool


class RunningProcess(msgspec.Struct, kw_only=True):
    """A process of ours. `sockets` are those to anywhere but this machine's own pipes.

    None where the system does not let us look.
    """

    process_id: int
    command: str
    sockets: list[str] | None


class Audit(msgspec.Struct, kw_only=True):
    requests: list[ReadForRequest]
    folders: dict[str, str]
    files: list[WrittenFile]
    processes: list[RunningProcess]
    environment: dict[str, str]
    telemetry: str = TELEMETRY

    @property
    def num_sockets(self) -> int:
        return sum(len(process.sockets or ()) for process in self.processes)


def audit(environment: Mapping[str, str] = os.environ) -> Audit:
    """Look at everything now. Never raises for what cannot be looked at; that is left out."""
    folders = user_folders()
    return Audit(
        requests=[
            ReadForRequest(
                time=record.time,
                document=record.document,
                language=record.language,
                outcome=record.outcome,
                read_before=record.read_before,
                read_after=record.read_after,
                num_documents=record.num_documents,
            )
            for record in last_requests(folders["state"], NUM_REQUESTS)
        ],
        folders={name: str(path) for name, path in folders.items()},
        files=list(
            {file.path: file for path in folders.values() for file in written_files(path)}.values()
        ),
        processes=running_processes(),
        environment=known_variables(environment),
    )


def user_folders() -> dict[str, Path]:
    """Return the only folders that Inkling writes to by itself."""
    return {
        "state": state_folder(),
        "data": data_folder(),
        "cache": Path(platformdirs.user_cache_dir("inkling", appauthor=False)),
        "runtime": runtime_folder(),
    }


def written_files(folder: Path) -> list[WrittenFile]:
    """Return the files below a folder, in order; none where there is no such folder."""
    return sorted(_files(folder), key=lambda file: file.path)


def known_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that change what Inkling does, without the values of secrets."""
    found = {name: environment[name] for name in VARIABLES if name in environment}
    return found | {name: "(set)" for name in SECRET if name in environment}


def running_processes() -> list[RunningProcess]:
    """Return this user's Inkling processes but this one, with the sockets that they have open."""
    import psutil  # late: only an audit needs it

    found = list[RunningProcess]()
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
            if is_ours(command) and process.pid != os.getpid():
                found.append(
                    RunningProcess(
                        process_id=process.pid,
                        command=" ".join(command),
                        sockets=_sockets(process),
                    )
                )
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def is_ours(command: list[str]) -> bool:
    """Return whether a command line runs Inkling: by its script, or with `python -m`."""
    if any(Path(part).name in {"inkling", "inkling.exe"} for part in command[:2]):
        return True
    return "-m" in command and any(module in command for module in MODULES)


def _sockets(process: object) -> list[str] | None:
    import psutil

    assert isinstance(process, psutil.Process)
    try:
        return [
            f"{connection.type.name} {_address(connection.laddr)} {_address(connection.raddr)}"
            for connection in process.net_connections(kind="inet")
        ]
    except (psutil.AccessDenied, OSError):
        return None


def _address(address: object) -> str:
    ip, port = getattr(address, "ip", ""), getattr(address, "port", "")
    return f"{ip}:{port}" if ip else "-"


def _files(folder: Path) -> Iterator[WrittenFile]:
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            try:
                status = path.lstat()
            except OSError:
                continue
            mode = stat.S_IMODE(status.st_mode)
            yield WrittenFile(
                path=str(path),
                num_bytes=status.st_size,
                mode=f"{mode:04o}",
                is_private=not mode & 0o077,
            )
