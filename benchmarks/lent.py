"""Make the parcel that brings onnxruntime with CUDA to a machine that nothing reaches.

    python -m benchmarks.lent WHEELS build/cuda [--architecture 90]

WHEELS holds the wheel of onnxruntime-gpu for that machine's Python, 256 MB, and those of whatever
else its image lacks. Most of the first is machine code for other GPUs, which is left out here: in
the section `.nv_fatbin` of the provider's library each fatbin is a header (magic, version, size of
the header, size of what follows) with entries behind it, and an entry says what it is, its sizes
and its architecture. A fatbin stays where it is, since the code points at it; its entries move up,
its size shrinks, and zeros are left behind, which packing takes away.

The layout is not documented: it was read off the files, and `cuobjdump --list-elf` reads what comes
out. Writes `site.tar.xz`, a folder for PYTHONPATH, `code.tar.xz`, what of this repository runs
there, and a copy of `lent.sh`, which unpacks both and says what it does.
"""

import lzma
import shutil
import struct
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import click

PROVIDER: Final = "onnxruntime/capi/libonnxruntime_providers_cuda.so"
UNUSED: Final = ("libonnxruntime.so*", "libonnxruntime_providers_tensorrt.so")
"""What the Python module does not load: it holds the first itself."""

ROOT: Final = Path(__file__).parents[1]
TRAVELLING: Final = (
    "benchmarks/",
    "evaluation/",
    "export/",
    "inference/",
    "pyproject.toml",
    "tests/conftest.py",
    "tests/export/",
    "tests/support/",
    "training/",
)
STAYING: Final = ("inference/default_model/", "training/checkpoints/", "training/runs/")

_MAGIC: Final = 0xBA55ED50
_FATBIN: Final = struct.Struct("<IHHQ")
_ENTRY: Final = struct.Struct("<HHIQ")
_MACHINE_CODE: Final = 2
_ARCHITECTURE_AT: Final = 28
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_FILTERS: Final = [
    {"id": lzma.FILTER_X86},
    {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME},
]


@click.command()
@click.argument("wheels", type=click.Path(path_type=Path, exists=True))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--architecture", default=90, show_default=True, help="90 is Hopper's.")
def main(wheels: Path, folder: Path, architecture: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as temporary:
        site = Path(temporary)
        for wheel in sorted(wheels.glob("*.whl")):
            zipfile.ZipFile(wheel).extractall(site)  # noqa: S202 - named by hash in an index
        for pattern in UNUSED:
            for path in (site / PROVIDER).parent.glob(pattern):
                path.unlink()
        library = bytearray((site / PROVIDER).read_bytes())
        num_kept, num_left_out = keep_architecture(library, architecture)
        (site / PROVIDER).write_bytes(library)
        click.echo(f"{num_kept} modules for {architecture}, {num_left_out} for others left out")
        _pack(folder / "site.tar.xz", {"site": site})
    _pack(folder / "code.tar.xz", {str(Path("code") / name): ROOT / name for name in _code()})
    shutil.copy(ROOT / "benchmarks" / "lent.sh", folder)


def _pack(path: Path, members: Mapping[str, Path]) -> None:
    with (
        lzma.open(path, "wb", filters=_FILTERS) as file,
        tarfile.open(fileobj=file, mode="w") as archive,
    ):
        for name, member in members.items():
            archive.add(member, name)
    click.echo(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


def _code() -> Iterator[str]:
    """Yield the files that are Python or read by it, without models, editors and manuals."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in listed.splitlines():
        is_ours = name.startswith(TRAVELLING) and not name.startswith(STAYING)
        if is_ours and (ROOT / name).exists():
            yield name


def keep_architecture(library: bytearray, architecture: int) -> tuple[int, int]:
    """Drop the modules of other architectures in place; return how many were kept and dropped."""
    num_kept = num_left_out = 0
    for start, end in _sections(library, ".nv_fatbin"):
        at = start
        while at < end:
            magic, version, header_size, size = _FATBIN.unpack_from(library, at)
            if magic != _MAGIC:
                raise click.ClickException(f"no fatbin at {at}: the layout is another one")
            first, stop = at + header_size, at + header_size + size
            entries = list(_entries(library, first, stop))
            kept = [
                library[begin:behind]
                for begin, behind, kind, found in entries
                if kind == _MACHINE_CODE and found == architecture
            ]
            num_kept += len(kept)
            num_left_out += len(entries) - len(kept)
            content = b"".join(kept)
            library[first:stop] = content.ljust(size, b"\0")
            _FATBIN.pack_into(library, at, magic, version, header_size, len(content))
            at = stop
    return num_kept, num_left_out


def _entries(library: bytearray, at: int, stop: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield where each entry of a fatbin begins and ends, its kind and its architecture."""
    while at < stop:
        kind, _, header_size, size = _ENTRY.unpack_from(library, at)
        (architecture,) = struct.unpack_from("<I", library, at + _ARCHITECTURE_AT)
        yield at, at + header_size + size, kind, architecture
        at += header_size + size


def _sections(library: bytearray, name: str) -> Iterator[tuple[int, int]]:
    """Yield where the sections of an ELF64 file with that name begin and end."""
    (table,) = struct.unpack_from("<Q", library, 0x28)
    size, count, names_index = struct.unpack_from("<HHH", library, 0x3A)
    sections = [_SECTION.unpack_from(library, table + index * size) for index in range(count)]
    names = sections[names_index][4]
    for section in sections:
        start = names + section[0]
        if library[start : library.index(0, start)].decode("ascii") == name:
            yield section[4], section[4] + section[5]


if __name__ == "__main__":
    main()
