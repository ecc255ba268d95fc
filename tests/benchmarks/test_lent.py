"""lent: what stays of a library's fatbins is the machine code for one architecture."""

import struct

import click
import pytest

from benchmarks.lent import keep_architecture

NAMES = b"\0.nv_fatbin\0.text\0.shstrtab\0"
MACHINE_CODE, ASSEMBLY = 2, 1
Entry = tuple[int, int, bytes]
"""Its kind, its architecture and its content."""


def entry(kind: int, architecture: int, content: bytes) -> bytes:
    head = struct.pack("<HHIQIIHHI", kind, 0x101, 64, len(content), 0, 0, 0, 1, architecture)
    return head.ljust(64, b"\0") + content


def fatbin(*entries: Entry) -> bytes:
    content = b"".join(entry(*parts) for parts in entries)
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(content)) + content


def library(fatbins: bytes, text: bytes = b"code") -> bytearray:
    """Return an ELF64 file with a section of fatbins, one of code, and their names."""
    places, content = [(0, 0, 0)], bytes(64)
    for name, part in ((b".nv_fatbin", fatbins), (b".text", text), (b".shstrtab", NAMES)):
        places.append((NAMES.index(b"\0" + name + b"\0") + 1, len(content), len(part)))
        content += part
    table = len(content)
    content += b"".join(
        struct.pack("<IIQQQQIIQQ", name, 1, 0, 0, offset, size, 0, 0, 8, 0)
        for name, offset, size in places
    )
    made = bytearray(content)
    struct.pack_into("<Q", made, 0x28, table)
    struct.pack_into("<HHH", made, 0x3A, 64, len(places), 3)
    return made


@pytest.mark.parametrize(
    ("given", "left", "counts"),
    [
        ([(2, 80, b"a" * 24), (2, 90, b"b" * 40)], [(2, 90, b"b" * 40)], (1, 1)),
        ([(2, 90, b"b" * 8), (2, 90, b"c" * 16)], [(2, 90, b"b" * 8), (2, 90, b"c" * 16)], (2, 0)),
        ([(2, 80, b"a" * 24), (1, 90, b"ptx " * 4)], [], (0, 2)),
        ([], [], (0, 0)),
    ],
)
def test_one_architecture_is_kept(
    given: list[Entry], left: list[Entry], counts: tuple[int, int]
) -> None:
    second = fatbin((MACHINE_CODE, 90, b"second fatbin   "))
    made = library(fatbin(*given) + second)
    before = bytes(made)
    num_kept, num_left_out = keep_architecture(made, 90)
    assert (num_kept - 1, num_left_out) == counts
    assert bytes(made) == before.replace(
        fatbin(*given) + second, fatbin(*left).ljust(len(fatbin(*given)), b"\0") + second
    )


def test_another_layout_is_refused() -> None:
    with pytest.raises(click.ClickException, match="no fatbin at 64"):
        keep_architecture(library(b"\1" * 64), 90)
