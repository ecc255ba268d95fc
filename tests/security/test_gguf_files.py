"""GGUF files made to harm, and good ones that were damaged: refused, or read to the right numbers.

Never another exception, a wait without end, or more memory than a good file takes.
"""

import math
import os
import struct
import time
import tracemalloc
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from gguf.constants import GGMLQuantizationType as Kind

from export.errors import ExportError
from export.original import open_slots, read_original
from export.pipeline import export_checkpoint
from inference.package.manifest import TOKENIZER_FILE
from inference.runtime.tokenizer import Tokenizer
from tests.support.exported import no_progress, tiny_options
from tests.support.gguf_files import write_gguf_file
from tests.support.raw_gguf import (
    ARRAY,
    BOOL,
    F32,
    I32,
    STRING,
    U8,
    U32,
    U64,
    Header,
    RawGguf,
    taken_apart,
)
from tests.support.tiny_checkpoints import tiny, write_tiny_checkpoint

MODEL = tiny("llama", "LlamaForCausalLM", intermediate_size=64, num_hidden_layers=1)
MIXTURE = tiny("mixtral", "MixtralForCausalLM", num_local_experts=4, num_experts_per_tok=2)
NUM_FLIPS = 300
NUM_TRUNCATIONS = 100
SECONDS = 20.0
"""Far more than any of this takes, far less than a wait without end."""

Change = Callable[[RawGguf], object]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good files: of float32 numbers, of blocks, and of experts."""
    folder = tmp_path_factory.mktemp("good")
    checkpoint = write_tiny_checkpoint(folder / "checkpoint", MODEL)
    write_gguf_file(folder / "plain.gguf", checkpoint)
    write_gguf_file(folder / "rounded.gguf", checkpoint, Kind.Q8_0)
    write_gguf_file(
        folder / "experts.gguf", write_tiny_checkpoint(folder / "mixture", MIXTURE), Kind.F16
    )
    return folder


def read_all(path: Path) -> dict[str, np.ndarray]:
    """Read a file as an export does, without the writing."""
    original = read_original(str(path), tiny_options())
    opened = open_slots(original.source, original.architecture)
    opened.check_copies()
    Tokenizer.load(original.folder / TOKENIZER_FILE)
    return {name: opened.values[name] for name in opened.values}


def check(folder: Path, change: Change, because: str, *, good: str = "plain.gguf") -> None:
    """A changed file is refused with its reason, and nothing is left behind."""
    parts = taken_apart(folder / good)
    assert parts.encoded() == (folder / good).read_bytes()
    change(parts)
    check_content_refused(folder, parts.encoded(), because)


def check_content_refused(folder: Path, content: bytes, because: str) -> None:
    path = folder / "changed.gguf"
    path.write_bytes(content)
    start = time.monotonic()
    with pytest.raises(ExportError, match=because):
        export_checkpoint(str(path), folder / "package", tiny_options(), progress=no_progress)
    assert time.monotonic() - start < SECONDS
    assert not (folder / "package").exists()


def setting(name: str, value: object, *types: int) -> Change:
    return lambda parts: parts.set(name, value, *types)


def removing(name: str) -> Change:
    return lambda parts: parts.remove(name)


def of(tensor: str, **changes: object) -> Change:
    """Change the header of a tensor."""

    def change(parts: RawGguf) -> None:
        header = parts.header(tensor)
        for field, value in changes.items():
            setattr(header, field, value)

    return change


def part(**changes: object) -> Change:
    def change(parts: RawGguf) -> None:
        for field, value in changes.items():
            setattr(parts, field, value)

    return change


def element(name: str, index: int, value: object) -> Change:
    """Change one element of a list."""

    def change(parts: RawGguf) -> None:
        found = list(parts[name])
        found[index] = value
        parts.set(name, found)

    return change


def shortened(name: str) -> Change:
    return lambda parts: parts.set(name, parts[name][:-1])


def twice(parts: RawGguf) -> None:
    parts.values.append(parts.values[0])


def one_tensor_twice(parts: RawGguf) -> None:
    parts.headers[1].name = parts.headers[0].name


def one_tensor_less(parts: RawGguf) -> None:
    """The last one, whose bytes go too."""
    last = parts.headers.pop()
    parts.data = parts.data[: last.offset]


def in_big_endian(parts: RawGguf) -> None:
    parts.order = ">"


def more(name: str, sizes: list[int], kind: Kind = Kind.F32, num_bytes: int = 128) -> Change:
    """Put one more tensor behind the others."""

    def change(parts: RawGguf) -> None:
        parts.headers.append(Header(name, sizes, kind, len(parts.data)))
        parts.data += b"\0" * num_bytes

    return change


def all_of(*changes: Change) -> Change:
    return lambda parts: [change(parts) for change in changes]


Q, EMBEDDING, NORM = "blk.0.attn_q.weight", "token_embd.weight", "output_norm.weight"
LENGTH = struct.Struct("<Q").pack
TOKENS = "tokenizer.ggml.tokens"

LAYOUTS: dict[str, tuple[Change, str]] = {
    "another magic": (part(magic=b"GGML"), "no GGUF file"),
    "version 1": (part(version=1), "version 1"),
    "version 4": (part(version=4), "version 4"),
    "the other order of bytes": (in_big_endian, "least significant byte first"),
    "more tensors than it has": (part(num_headers=1000), "damaged"),
    "tensors without end": (part(num_headers=2**63), "claims 9223372036854775808 tensors"),
    "fewer tensors": (part(num_headers=1), "damaged"),
    "no tensors": (part(num_headers=0), "damaged"),
    "more values than it has": (part(num_values=1000), "damaged|not known"),
    "values without end": (part(num_values=2**64 - 1), "values"),
    "fewer values": (part(num_values=3), "damaged|not known"),
    "a value twice": (twice, "'general.architecture' twice"),
    "a tensor twice": (one_tensor_twice, "twice"),
    "a name of no letters": (of(NORM, name=""), "a name has 0 bytes"),
    "a name of many letters": (of(NORM, name="x" * 5000), "a name has 5000 bytes"),
    "a name that is not UTF-8": (of(NORM, name=b"\xff\xfe"), "not UTF-8"),
    "no dimensions": (of(NORM, sizes=[]), "0 dimensions"),
    "five dimensions": (of(NORM, sizes=[1, 1, 1, 1, 64]), "5 dimensions"),
    "dimensions without end": (of(NORM, num_dimensions=2**32 - 1), "dimensions"),
    "a size of zero": (of(NORM, sizes=[0]), "has sizes"),
    "a size of 2^63": (of(NORM, sizes=[2**63]), "has sizes"),
    "sizes that wrap around": (of(NORM, sizes=[2**32, 2**32]), "has sizes"),
    "sizes that wrap to the right one": (of(NORM, sizes=[2**63 + 32, 2]), "has sizes"),
    "a larger size": (of(NORM, sizes=[128]), "damaged"),
    "a row that is no blocks": (of(Q, kind=Kind.Q8_0, sizes=[33, 64]), "has sizes"),
    "a type of no number": (of(NORM, kind=999), "type 999, which is not known"),
    "a type that was removed": (of(NORM, kind=4), "type 4, which is not known"),
    "another type": (of(Q, kind=Kind.F16), "damaged"),
    "integers": (of(NORM, kind=Kind.I32), "as I32"),
    "blocks of another size": (of(Q, kind=Kind.Q8_K, sizes=[256, 4]), "damaged"),
    "an offset before the data": (of(NORM, offset=2**64 - 32), "begins at byte"),
    "an offset behind the file": (of(NORM, offset=2**40), "begins at byte"),
    "an offset that is not aligned": (of(NORM, offset=1), "begins at byte"),
    "two tensors in one place": (of(NORM, offset=0), "begins at byte"),
    "an alignment of zero": (setting("general.alignment", 0, U32), "alignment is 0"),
    "an alignment of three": (setting("general.alignment", 3, U32), "alignment is 3"),
    "an alignment of 2^31": (setting("general.alignment", 2**31, U32), "alignment is"),
    "an alignment in words": (setting("general.alignment", "32", STRING), "alignment is '32'"),
    "a true alignment": (setting("general.alignment", True, BOOL), "alignment is True"),
    "another alignment": (setting("general.alignment", 4096, U32), "damaged"),
    "a text without end": (setting("general.x", LENGTH(2**63), STRING), "bytes are wanted"),
    "a text behind the file": (setting("general.x", LENGTH(2**31), STRING), "bytes are wanted"),
    "a text that is not UTF-8": (setting("general.x", LENGTH(1) + b"\xff", STRING), "not UTF-8"),
    "a value of no type": (setting("general.x", b"", 13), "general.x is of type 13"),
    "a value of a huge type": (setting("general.x", b"", 2**32 - 1), "is of type"),
    "a list of lists": (setting("general.x", [[1]], ARRAY, ARRAY, U8), "is a list of type 9"),
    "a list of no type": (setting("general.x", struct.pack("<IQ", 77, 1), ARRAY), "type 77"),
    "a list without end": (setting("general.x", struct.pack("<IQ", U8, 2**63), ARRAY), "elements"),
    "a list behind the file": (
        setting("general.x", struct.pack("<IQ", U64, 2**21), ARRAY),
        "bytes are wanted",
    ),
    "texts behind the file": (
        setting("general.x", struct.pack("<IQ", STRING, 2**21), ARRAY),
        "bytes are wanted",
    ),
    "a tensor without its bytes": (lambda parts: parts.headers.pop(), "damaged"),
    "a byte more": (lambda parts: setattr(parts, "data", parts.data + b"\0"), "bytes instead of"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_with(name: str, folder: Path) -> None:
    check(folder, *LAYOUTS[name])


METADATA: dict[str, tuple[Change, str]] = {
    "no architecture": (removing("general.architecture"), "None is not implemented"),
    "another architecture": (setting("general.architecture", "gemma5"), "'gemma5' is not impl"),
    "an architecture that is a list": (
        setting("general.architecture", ["llama"], ARRAY, STRING),
        "not implemented",
    ),
    "one file of several": (setting("split.count", 3, U32), "one of 3 parts"),
    "a split that is a list": (setting("split.count", [2], ARRAY, U32), "is not an integer"),
    "no layers": (setting("llama.block_count", 0), "between 1"),
    "layers without end": (setting("llama.block_count", 2**31, U32), "block_count = 2147483648"),
    "layers beyond all": (setting("llama.block_count", 2**64 - 1, U64), "between 1"),
    "a layer more": (setting("llama.block_count", 2), "no tensor for layers.1"),
    "layers in words": (setting("llama.block_count", "1", STRING), "is not an integer"),
    "layers in a list": (setting("llama.block_count", [1], ARRAY, U32), "is not an integer"),
    "layers by half": (setting("llama.block_count", 1.5, F32), "is not an integer"),
    "true layers": (setting("llama.block_count", True, BOOL), "is not an integer"),
    "negative layers": (setting("llama.block_count", -1, I32), "between 1"),
    "no size": (removing("llama.embedding_length"), "has no embedding_length"),
    "another size": (setting("llama.embedding_length", 128), "only 32 is implemented"),
    "no heads": (setting("llama.attention.head_count", 0), "between 1"),
    "heads that do not divide": (setting("llama.attention.head_count", 3), "only"),
    "heads without end": (setting("llama.attention.head_count", 2**31, U32), "key|only"),
    "heads of every layer": (
        setting("llama.attention.head_count_kv", [2, 2], ARRAY, I32),
        r"head_count_kv = \(2, 2\) for 1 layers",
    ),
    "other heads": (setting("llama.attention.head_count_kv", 4), "needs"),
    "an epsilon that is none": (
        setting("llama.attention.layer_norm_rms_epsilon", math.nan),
        "finite and above zero",
    ),
    "an infinite epsilon": (
        setting("llama.attention.layer_norm_rms_epsilon", math.inf),
        "finite and above zero",
    ),
    "a negative base": (setting("llama.rope.freq_base", -1.0), "finite and above zero"),
    "another rotation": (setting("llama.rope.dimension_count", 4), "only 16 is implemented"),
    "a scaling of no name": (setting("llama.rope.scaling.type", "dynamic", STRING), "only"),
    "a scaling without a factor": (setting("llama.rope.scaling.type", "linear", STRING), "no rope"),
    "a key that nobody knows": (setting("llama.attention.clamp_kqv", 1.0, F32), "clamp_kqv, which"),
    "a mask of its own": (setting("llama.attention.causal", False, BOOL), "causal = False"),
    "experts that are not there": (setting("llama.expert_count", 4, U32), "."),
    "another vocabulary": (setting("llama.vocab_size", 300), "vocab_size = 300"),
    "a tensor of no name": (of(NORM, name="norm"), "tensor norm has no place"),
    "a tensor by the checkpoint's name": (of(NORM, name="model.norm.weight"), "has no place"),
    "query, key and value in one": (of(Q, name="blk.0.attn_qkv.weight"), "attn_qkv"),
    "a factor beside": (more("blk.0.attn_q.scale", [32]), "attn_q.scale"),
    "too many factors of a rotation": (more("rope_freqs.weight", [32]), "has 8 frequencies"),
    "a layer beyond": (more("blk.1.attn_norm.weight", [32]), "has no place"),
    "a layer with a zero in front": (of(Q, name="blk.00.attn_q.weight"), "has no place"),
    "an embedding that is missing": (of(EMBEDDING, name="token.weight"), "no token_embd.weight"),
    "a tensor that is missing": (one_tensor_less, "no tensor for"),
    "a shape of another kind": (of(NORM, sizes=[32, 2]), "needs"),
    "a bias in blocks": (more("blk.0.attn_q.bias", [32], Kind.Q8_0, 34 + 30), "as Q8_0"),
}  # fmt: skip


@pytest.mark.parametrize("name", METADATA)
def test_metadata_with(name: str, folder: Path) -> None:
    check(folder, *METADATA[name])


VOCABULARIES: dict[str, tuple[Change, str]] = {
    "no kind": (removing("tokenizer.ggml.model"), "has no model"),
    "another kind": (setting("tokenizer.ggml.model", "t5"), "'t5' is not implemented"),
    "a kind that is a number": (setting("tokenizer.ggml.model", 3, U32), "not a string"),
    "no cutting": (removing("tokenizer.ggml.pre"), "tokenizer.ggml.pre"),
    "another cutting": (setting("tokenizer.ggml.pre", "gpt-7"), "'gpt-7' is not implemented"),
    "no tokens": (removing(TOKENS), "0 tokens"),
    "fewer tokens than types": (shortened(TOKENS), "271 tokens, 272 types"),
    "more tokens than rows": (
        lambda parts: parts.set(TOKENS, [*parts[TOKENS], "one more"]),
        "273 tokens",
    ),
    "tokens that are numbers": (setting(TOKENS, [1] * 272, ARRAY, U32), "a list of strings"),
    "one text as tokens": (setting(TOKENS, "a", STRING), "a list of strings"),
    "a token twice": (lambda parts: element(TOKENS, 9, parts[TOKENS][10])(parts), "two tokens"),
    "a token of no letters": (element(TOKENS, 9, ""), "tokens of none"),
    "a token without end": (element(TOKENS, 9, "x" * 100_000), "tokens of none or more than 1024"),
    "a type of no number": (element("tokenizer.ggml.token_type", 9, 17), "a type that is none"),
    "a negative type": (element("tokenizer.ggml.token_type", 9, -1), "a type that is none"),
    "types that are texts": (
        setting("tokenizer.ggml.token_type", ["1"] * 272, ARRAY, STRING),
        "a list of integers",
    ),
    "scores that are none": (
        setting("tokenizer.ggml.scores", [math.nan] * 272, ARRAY, F32),
        "not finite",
    ),
    "too few scores": (setting("tokenizer.ggml.scores", [0.0], ARRAY, F32), "1 scores"),
    "a merge of one": (setting("tokenizer.ggml.merges", ["ab"], ARRAY, STRING), "'ab' does not"),
    "a merge of three": (setting("tokenizer.ggml.merges", ["a b c"], ARRAY, STRING), "does not"),
    "a merge of nothing": (setting("tokenizer.ggml.merges", [" "], ARRAY, STRING), "does not"),
    "a merge that is no token": (setting("tokenizer.ggml.merges", ["a b"], ARRAY, STRING), "'a b'"),
    "merges that are numbers": (setting("tokenizer.ggml.merges", [1], ARRAY, U8), "of strings"),
    "no end": (removing("tokenizer.ggml.eos_token_id"), "eos_token_id"),
    "an end outside": (setting("tokenizer.ggml.eos_token_id", 272), "outside the vocabulary"),
    "an end without end": (setting("tokenizer.ggml.eos_token_id", 2**32 - 1), "between 0"),
    "an end in words": (setting("tokenizer.ggml.eos_token_id", "0", STRING), "is not an integer"),
    "a turn's end outside": (setting("tokenizer.ggml.eot_token_id", 5000, U32), "outside"),
    "a beginning outside": (
        all_of(
            setting("tokenizer.ggml.add_bos_token", True),
            setting("tokenizer.ggml.bos_token_id", 272, U32),
        ),
        "bos_token_id = 272",
    ),
    "a beginning that is text": (
        all_of(
            setting("tokenizer.ggml.add_bos_token", True),
            setting("tokenizer.ggml.bos_token_id", 100, U32),
        ),
        "bos_token_id = 100",
    ),
    "a beginning in words": (setting("tokenizer.ggml.add_bos_token", "no", STRING), "true or"),
    "a prefix in words": (
        all_of(
            setting("tokenizer.ggml.model", "llama"),
            setting("tokenizer.ggml.add_space_prefix", 1, U8),
        ),
        "true or false",
    ),
}


@pytest.mark.parametrize("name", VOCABULARIES)
def test_a_vocabulary_with(name: str, folder: Path) -> None:
    check(folder, *VOCABULARIES[name])


EXPERTS: dict[str, tuple[Change, str]] = {
    "fewer than it says": (setting("llama.expert_count", 8), "says 8 experts"),
    "without end": (setting("llama.expert_count", 2**31, U32), "at most 4096 are read"),
    "more used than there are": (setting("llama.expert_used_count", 5), "."),
    "not said to be there": (removing("llama.expert_count"), "says 0 experts"),
    "in two dimensions": (of("blk.0.ffn_up_exps.weight", sizes=[64, 4 * 96]), "has shape"),
    "twice": (of("blk.0.ffn_up_exps.weight", name="blk.0.ffn_gate.0.weight"), "twice"),
}


@pytest.mark.parametrize("name", EXPERTS)
def test_experts(name: str, folder: Path) -> None:
    check(folder, *EXPERTS[name], good="experts.gguf")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none(value: float, folder: Path) -> None:
    parts = taken_apart(folder / "plain.gguf")
    parts.data = struct.pack("<f", value) + parts.data[4:]
    check_content_refused(folder, parts.encoded(), "not finite")


def test_scales_that_are_none(folder: Path) -> None:
    parts = taken_apart(folder / "rounded.gguf")
    at = parts.header(Q).offset
    parts.data = parts.data[:at] + b"\xff\x7f" + parts.data[at + 2 :]
    check_content_refused(folder, parts.encoded(), "not finite")


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    (tmp_path / "folder.gguf").mkdir()
    (tmp_path / "device.gguf").symlink_to("/dev/zero")
    (tmp_path / "empty.gguf").touch()
    (tmp_path / "nowhere.gguf").symlink_to("nothing")
    for name in ("pipe", "folder", "device", "empty", "nowhere"):
        with pytest.raises(ExportError, match=f"{name}.gguf"):
            read_all(tmp_path / f"{name}.gguf")


def check_damaged(folder: Path, good: str, content: bytes, changed: str | None) -> bool:
    """Say whether damage was refused; if not, only the numbers that it touched are others."""
    path = folder / "damaged.gguf"
    path.write_bytes(content)
    try:
        found = read_all(path)
    except ExportError:
        return True
    expected = read_all(folder / good)
    assert found.keys() == expected.keys()
    others = [name for name in found if not np.array_equal(found[name], expected[name])]
    assert len(others) <= (changed is not None), (changed, others)
    return False


@pytest.mark.parametrize("good", ["plain.gguf", "rounded.gguf", "experts.gguf"])
def test_a_bit_that_flipped(good: str, folder: Path) -> None:
    """Half of them before the tensors, half within them."""
    content = (folder / good).read_bytes()
    parts = taken_apart(folder / good)
    start = len(content) - len(parts.data)
    random = np.random.default_rng(5)
    num_refused = 0
    for index in range(NUM_FLIPS):
        at = int(random.integers(0, start) if index % 2 else random.integers(start, len(content)))
        flipped = bytearray(content)
        flipped[at] ^= 1 << int(random.integers(8))
        before = [header for header in parts.headers if start + header.offset <= at]
        changed = str(before[-1].name) if before else None
        num_refused += check_damaged(folder, good, bytes(flipped), changed)
    assert num_refused > NUM_FLIPS // 20


@pytest.mark.parametrize("good", ["plain.gguf", "rounded.gguf", "experts.gguf"])
def test_a_file_that_was_cut_off(good: str, folder: Path) -> None:
    content = (folder / good).read_bytes()
    random = np.random.default_rng(6)
    for length in [0, 1, 3, 4, 23, 24, *random.integers(0, len(content) - 32, NUM_TRUNCATIONS)]:
        assert check_damaged(folder, good, content[: int(length)], None)


CLAIMS: dict[str, Change] = {
    "layers": setting("llama.block_count", 2**31, U32),
    "experts": setting("llama.expert_count", 2**31, U32),
    "a size": of(NORM, sizes=[2**63]),
    "a list": setting("general.x", struct.pack("<IQ", U64, 2**40), ARRAY),
    "small numbers": setting("general.x", struct.pack("<IQ", U8, 2**24) + bytes(2**24), ARRAY),
    "empty texts": setting("general.x", struct.pack("<IQ", STRING, 2**23) + bytes(2**26), ARRAY),
    "a long token": element(TOKENS, 9, "x" * 2**24),
    "a long value": setting("llama.block_count", [7] * 2**20, ARRAY, U8),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_costs_no_memory(name: str, folder: Path) -> None:
    good = "experts.gguf" if name == "experts" else "plain.gguf"
    parts = deepcopy(taken_apart(folder / good))
    CLAIMS[name](parts)
    content = parts.encoded()
    path = folder / "claims.gguf"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(ExportError) as refused:
            read_all(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        path.unlink()
    assert peak < 2 * len(content) + (32 << 20)
    assert len(str(refused.value)) < 2000
