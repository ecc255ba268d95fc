"""pipeline: a checkpoint becomes the same package every time, or is refused and leaves nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.errors import ExportError, UnsupportedError
from export.options import ExportOptions
from export.package.fim_conventions import NUM_TAIL_TOKENS, Layout
from export.package.to_checkpoint import write_checkpoint
from export.pipeline import export_checkpoint, gate
from export.quality.verify_command import check_package
from inference.fim import FimTemplate
from inference.package.manifest import Precision, read_manifest, verify_files
from tests.support.exported import no_progress, tiny_options
from tests.support.tiny_checkpoints import (
    TINY_MODELS,
    TinyModel,
    random_tensors,
    write_shards,
    write_tiny_checkpoint,
)

TIED = TINY_MODELS[1]
INT4 = tiny_options()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def check_refused(
    folder: Path, because: str, change: Callable[[Path], object], options: ExportOptions = INT4
) -> None:
    checkpoint = write_tiny_checkpoint(folder / "checkpoint")
    change(checkpoint)
    with pytest.raises(ExportError, match=because):
        export_checkpoint(str(checkpoint), folder / "package", options, progress=no_progress)
    assert [path.name for path in folder.iterdir()] == ["checkpoint"]


def change_config(**changes: Any) -> Callable[[Path], object]:
    def change(checkpoint: Path) -> None:
        path = checkpoint / "config.json"
        values = json.loads(path.read_text("utf-8")) | changes
        path.write_text(json.dumps(values), encoding="utf-8")

    return change


def change_tensors(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def rewrite(checkpoint: Path) -> None:
        tensors = dict(random_tensors(TINY_MODELS[0]))
        change(tensors)
        write_shards(checkpoint, tensors, 1)

    return rewrite


def test_the_manifest_says_what_the_package_is(tmp_path: Path) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "tiny")
    package = tmp_path / "package"
    written = export_checkpoint(str(checkpoint), package, INT4, progress=no_progress)
    manifest = read_manifest(package)
    verify_files(manifest, package)
    assert manifest == written
    assert (manifest.name, manifest.source.name, manifest.source.revision) == ("tiny", "tiny", None)
    assert (manifest.precision, manifest.block_size) == ("int4", 32)
    assert (manifest.context_length, manifest.eos_token_ids) == (128, (0,))
    assert manifest.architecture.model_type == "qwen3_moe"
    assert (manifest.architecture.num_experts, manifest.architecture.num_experts_per_tok) == (4, 2)
    assert manifest.parameters.total == 109_440
    assert manifest.fim == FimTemplate(
        order="psm",
        prefix_token_id=1,
        suffix_token_id=3,
        middle_token_id=2,
        pad_token_id=4,
        repo_name_token_id=5,
        file_separator_token_id=6,
        convention="qwen",
    )
    quality = manifest.quality
    assert quality["weight_error"].keys() == {"embedding", "projection", "expert", "head"}
    assert (quality["preset"], quality["rounding"], quality["zero_points"]) == (
        "int4",
        "nearest",
        False,
    )
    assert 0 < quality["agreement"] < 1 < quality["perplexity"]
    assert quality["fim_bits_per_token"].keys() == {"psm", "spm", "tail", "left_to_right"}


def test_the_options_are_kept(tmp_path: Path) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "tiny")
    options = tiny_options(precision="f32", fim_order="spm", context_length=50, name="mine")
    manifest = export_checkpoint(
        str(checkpoint), tmp_path / "package", options, progress=no_progress
    )
    assert manifest.fim is not None
    assert (manifest.name, manifest.fim.order, manifest.context_length) == ("mine", "spm", 50)
    assert (manifest.precision, manifest.block_size) == ("f32", None)
    assert (manifest.quality["agreement"], manifest.quality["perplexity_ratio"]) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("fim_order", "is_small", "is_measured"),
    [("tail", True, True), ("tail", False, False), (None, False, True)],
)
def test_holes_of_a_large_model_are_not_measured_where_their_order_is_named(
    fim_order: Layout | None,
    is_small: bool,
    is_measured: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gate, "is_small", lambda _: is_small)
    checkpoint = write_tiny_checkpoint(tmp_path / "tiny")
    options = tiny_options(precision="f32", fim_order=fim_order)
    manifest = export_checkpoint(
        str(checkpoint), tmp_path / "package", options, progress=no_progress
    )
    assert ("fim_bits_per_token" in manifest.quality) is is_measured
    assert manifest.fim is not None
    if fim_order == "tail":
        assert (manifest.fim.order, manifest.fim.num_tail_tokens) == ("psm", NUM_TAIL_TOKENS)


@pytest.mark.parametrize("precision", ["f32", "int8", "int4"])
def test_the_same_checkpoint_gives_the_same_bytes(precision: Precision, tmp_path: Path) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "tiny", TIED)
    options = tiny_options(precision=precision, block_size=32)
    packages = [tmp_path / "first", tmp_path / "elsewhere" / "second"]
    for package in packages:
        export_checkpoint(str(checkpoint), package, options, progress=no_progress)
    assert contents(packages[0]) == contents(packages[1])


@pytest.mark.parametrize("precision", ["f32", "int4"])
def test_shards_give_the_same_bytes_as_one_file(precision: Precision, tmp_path: Path) -> None:
    options = tiny_options(precision=precision, block_size=32, name="same")
    for name, num_shards in (("one", 1), ("three", 3)):
        checkpoint = write_tiny_checkpoint(tmp_path / name / "tiny", num_shards=num_shards)
        export_checkpoint(
            str(checkpoint), tmp_path / name / "package", options, progress=no_progress
        )
    assert contents(tmp_path / "one" / "package") == contents(tmp_path / "three" / "package")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_checkpoints(dtype: str, tmp_path: Path) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "tiny", dtype=dtype)
    options = tiny_options(precision="f32")
    export_checkpoint(str(checkpoint), tmp_path / "package", options, progress=no_progress)


def test_a_head_stored_beside_the_embedding_it_is_tied_to(tmp_path: Path) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "tiny", TIED)
    tensors = dict(random_tensors(TIED))
    options = tiny_options(precision="f32")
    export_checkpoint(str(checkpoint), tmp_path / "without", options, progress=no_progress)
    write_shards(checkpoint, tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"]}, 1)
    export_checkpoint(str(checkpoint), tmp_path / "with", options, progress=no_progress)
    assert contents(tmp_path / "with") == contents(tmp_path / "without")


def test_progress_counts_every_slot_once(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    checkpoint = write_tiny_checkpoint(tmp_path / "tiny")
    export_checkpoint(
        str(checkpoint),
        tmp_path / "package",
        INT4,
        progress=lambda done, total: seen.append((done, total)),
    )
    num_slots = (
        3 + 2 * 12
    )  # embedding, norm, head; per layer 8 of attention and norms, 4 of experts
    assert sorted(seen) == [(index, num_slots) for index in range(num_slots)]


def test_an_existing_package_is_replaced(tmp_path: Path) -> None:
    package = tmp_path / "package"
    for model in (TINY_MODELS[0], TIED):
        checkpoint = write_tiny_checkpoint(tmp_path / model.name, model)
        export_checkpoint(str(checkpoint), package, INT4, progress=no_progress)
    assert read_manifest(package).name == TIED.name


def test_a_failing_export_leaves_the_old_package(tmp_path: Path) -> None:
    package = tmp_path / "package"
    checkpoint = write_tiny_checkpoint(tmp_path / "tiny")
    export_checkpoint(str(checkpoint), package, INT4, progress=no_progress)
    before = contents(package)

    def interrupt(done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_checkpoint(str(checkpoint), package, INT4, progress=interrupt)
    assert contents(package) == before
    assert {path.name for path in tmp_path.iterdir()} == {"package", "tiny"}


def test_an_unknown_architecture(tmp_path: Path) -> None:
    check_refused(tmp_path, "model_type = 'mystery'", change_config(model_type="mystery"))


def test_a_value_that_is_not_implemented(tmp_path: Path) -> None:
    check_refused(tmp_path, "hidden_act = 'gelu'", change_config(hidden_act="gelu"))


def test_a_pickled_checkpoint(tmp_path: Path) -> None:
    def pickle(checkpoint: Path) -> None:
        (checkpoint / "model.safetensors").rename(checkpoint / "pytorch_model.bin")

    check_refused(tmp_path, "is a pickle", pickle)


def test_a_truncated_checkpoint(tmp_path: Path) -> None:
    def truncate(checkpoint: Path) -> None:
        path = checkpoint / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-100])

    check_refused(tmp_path, "truncated or damaged", truncate)


def test_a_surplus_tensor(tmp_path: Path) -> None:
    surplus = {"model.layers.0.mlp.shared.weight": np.ones(2, np.float32)}
    check_refused(
        tmp_path, "shared.weight has no place", change_tensors(lambda found: found.update(surplus))
    )


def test_a_missing_tensor(tmp_path: Path) -> None:
    check_refused(
        tmp_path,
        r"no tensor for layers\.1\.moe\.router",
        change_tensors(lambda found: found.pop("model.layers.1.mlp.gate.weight")),
    )


def test_a_tensor_of_another_shape(tmp_path: Path) -> None:
    wrong = {"model.norm.weight": np.ones(63, np.float32)}
    check_refused(
        tmp_path,
        r"norm\.weight has shape \[63\] where config.json needs \[64\]",
        change_tensors(lambda found: found.update(wrong)),
    )


def test_rows_that_no_block_divides(tmp_path: Path) -> None:
    checkpoint = write_tiny_checkpoint(
        tmp_path / "odd", TinyModel("odd", 1, {"moe_intermediate_size": 48})
    )
    with pytest.raises(UnsupportedError, match=r"rows of 48, which .*; use --precision f32"):
        export_checkpoint(str(checkpoint), tmp_path / "p", INT4, progress=no_progress)
    assert [path.name for path in tmp_path.iterdir()] == ["odd"]


@pytest.mark.parametrize("block_size", [None, 64, 128])
def test_a_block_that_does_not_divide_is_replaced(block_size: int | None, tmp_path: Path) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "tiny")
    said: list[str] = []
    options = tiny_options(block_size=block_size)
    export_checkpoint(
        str(checkpoint), tmp_path / "p", options, progress=no_progress, remark=said.append
    )
    assert [line.partition(",")[0] for line in said] == [
        f"block size 32 instead of {block_size or 128}"
    ]
    export_checkpoint(str(checkpoint), tmp_path / "q", INT4, progress=no_progress)
    assert contents(tmp_path / "p") == contents(tmp_path / "q")


def test_what_has_no_blocks_is_not_told_of_any(tmp_path: Path) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "tiny")
    said: list[str] = []
    options = tiny_options(precision="f16", block_size=128)
    export_checkpoint(
        str(checkpoint), tmp_path / "p", options, progress=no_progress, remark=said.append
    )
    assert said == []


def test_a_key_that_the_user_passes_over_stands_in_the_manifest(tmp_path: Path) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "tiny", TinyModel("own", 1, {"own": 1}))
    package, options = tmp_path / "p", tiny_options(ignore_config=("own",))
    written = export_checkpoint(str(checkpoint), package, options, progress=no_progress)
    assert written.quality["ignored_config"] == ["own"]
    assert read_manifest(package) == written
    check_package(package, against=str(checkpoint), limit=0.0, num_tokens=64)
    assert write_checkpoint(package, tmp_path / "back") > 0


def test_a_key_that_is_read_cannot_be_passed_over(tmp_path: Path) -> None:
    check_refused(
        tmp_path,
        "has no hidden_act that nothing reads; leave --ignore-config hidden_act out",
        lambda checkpoint: None,
        tiny_options(ignore_config=("hidden_act",)),
    )


def test_a_context_beyond_the_models(tmp_path: Path) -> None:
    check_refused(
        tmp_path,
        "context length 129 .* max_position_embeddings = 128",
        lambda checkpoint: None,
        tiny_options(precision="f32", context_length=129),
    )


def test_no_config(tmp_path: Path) -> None:
    check_refused(
        tmp_path, "holds no config.json", lambda folder: (folder / "config.json").unlink()
    )


def test_no_tokenizer(tmp_path: Path) -> None:
    check_refused(
        tmp_path, "no tokenizer.json", lambda folder: (folder / "tokenizer.json").unlink()
    )


def test_a_context_longer_than_any_machine_wants_is_cut(tmp_path: Path) -> None:
    model = TinyModel("long", 1, {"max_position_embeddings": 1_000_000})
    checkpoint = write_tiny_checkpoint(tmp_path / "tiny", model)
    options = tiny_options(precision="f32")
    manifest = export_checkpoint(
        str(checkpoint), tmp_path / "package", options, progress=no_progress
    )
    assert manifest.context_length == 32_768
