"""The processes below this one, some of which may be ending while they are looked at."""

from pathlib import Path

import psutil


def command_of(process: psutil.Process) -> list[str]:
    """Return what a process was started with; nothing of one that has ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def children_named(word: str, parent: int | None = None) -> list[psutil.Process]:
    """Return the processes below `parent`, by default this one, that have `word` as an argument."""
    try:
        children = psutil.Process(parent).children(recursive=True)
    except psutil.Error:
        return []
    return [child for child in children if any(word in one for one in command_of(child))]


def processes_with(folder: Path) -> list[psutil.Process]:
    """Return all that were started with a path in a folder as an argument, whoever did that."""
    return [
        process
        for process in psutil.process_iter()
        if any(argument.startswith(f"{folder}/") for argument in command_of(process))
    ]
