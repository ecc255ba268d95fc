"""Run one program under limits: the source of the sandbox's child process.

It is handed to a bare interpreter as text, so it imports nothing of ours. Its arguments are the
isolation, then the limits in the order of `Limits`; the program comes on standard input. What
became of it is told by the exit status alone: the program is left no other way to talk.

The order matters. First the network goes, while this process may still ask for it; then the limits
are set, and it is tried whether they hold; last the hook, which cannot be taken off again.
"""

import contextlib
import ctypes
import os
import sys
from types import CodeType
from typing import Final

PASSED: Final = 80
WRONG: Final = 81
RAISED: Final = 82
UNPARSABLE: Final = 83
OUT_OF_MEMORY: Final = 84
NO_NAMESPACE: Final = 90
NO_LIMITS: Final = 91

NAMESPACE: Final = "namespace"
"""Isolation by a network namespace of its own, in which there is no network."""

REFUSAL: Final = "refusal"
"""Isolation by refusing to make sockets, which holds for Python code only."""

CLONE_NEWUSER: Final = 0x1000_0000
CLONE_NEWNET: Final = 0x4000_0000  # linux/sched.h

NOBODY: Final = 65_534
"""The limit of processes never holds for root, and it goes by the real user, not the effective."""

# https://docs.python.org/3/library/audit_events.html
REFUSED: Final = (
    "ctypes.", "fcntl.", "ftplib.", "http.", "mmap.", "os.chflags", "os.chmod", "os.chown",
    "os.exec", "os.fork", "os.forkpty", "os.kill", "os.killpg", "os.link", "os.lockf", "os.mkdir",
    "os.posix_spawn", "os.putenv", "os.remove", "os.removexattr", "os.rename", "os.rmdir",
    "os.setxattr", "os.spawn", "os.startfile", "os.symlink", "os.system", "os.truncate",
    "os.unsetenv", "os.utime", "pty.", "resource.", "shutil.", "signal.", "smtplib.", "socket.",
    "subprocess.", "syslog.", "urllib.", "webbrowser.",
)  # fmt: skip
WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def main() -> None:
    isolation, *limits = sys.argv[1:]
    program = sys.stdin.read()
    if os.geteuid() == 0:
        with contextlib.suppress(OSError):  # in a container there may be no other user to become
            os.setreuid(NOBODY, -1)
    if isolation == NAMESPACE and not has_left_the_network():
        os._exit(NO_NAMESPACE)
    if not has_limits(*map(int, limits)):
        os._exit(NO_LIMITS)
    folder = os.path.realpath(".") + os.sep
    sys.addaudithook(lambda event, arguments: refuse(event, arguments, folder))
    os._exit(status_of(program))


def has_left_the_network() -> bool:
    """Enter a network namespace without any network, by way of a user namespace of one's own."""
    try:
        return ctypes.CDLL(None).unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0
    except (AttributeError, OSError):
        return False


def has_limits(
    cpu_seconds: int, num_bytes: int, num_file_bytes: int, num_files: int, num_processes: int
) -> bool:
    """Set the limits; say whether all are set and that of processes, the tricky one, holds."""
    import resource  # not there on every platform; the sandbox asks before

    limits = (
        (resource.RLIMIT_CPU, cpu_seconds, cpu_seconds + 1),  # first asked, then killed
        (resource.RLIMIT_AS, num_bytes, num_bytes),
        (resource.RLIMIT_FSIZE, num_file_bytes, num_file_bytes),
        (resource.RLIMIT_NOFILE, num_files, num_files),
        (resource.RLIMIT_NPROC, num_processes, num_processes),
        (resource.RLIMIT_CORE, 0, 0),
    )
    try:
        for kind, soft, hard in limits:
            resource.setrlimit(kind, (soft, hard))
        return not can_fork()
    except (OSError, ValueError):
        return False


def can_fork() -> bool:
    try:
        process_id = os.fork()
    except OSError:
        return False
    if process_id == 0:
        os._exit(0)
    os.waitpid(process_id, 0)
    return True


def refuse(event: str, arguments: tuple[object, ...], folder: str) -> None:
    """Raise PermissionError at what no solution of a problem has to do."""
    if event.startswith(REFUSED):
        raise PermissionError(event)
    if event == "open":
        path, _, flags = arguments
        is_writing = isinstance(flags, int) and flags & WRITING != 0
        if is_writing and isinstance(path, str | bytes) and not is_inside(path, folder):
            raise PermissionError(event)


def is_inside(path: str | bytes, folder: str) -> bool:
    return os.path.realpath(os.fsdecode(path)).startswith(folder)


def status_of(program: str) -> int:
    try:
        code: CodeType = compile(program, "<program>", "exec")
    except (SyntaxError, ValueError, RecursionError):
        return UNPARSABLE
    except MemoryError:
        return OUT_OF_MEMORY
    try:
        exec(code, {"__name__": "__main__"})  # noqa: S102 - what all of this is for
    except AssertionError:
        return WRONG
    except MemoryError:
        return OUT_OF_MEMORY
    except BaseException:
        return RAISED
    return PASSED


if __name__ == "__main__":
    main()
