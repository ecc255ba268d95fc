"""A run is a function of its seed, and one that was stopped goes on as if it had not been."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from tests.support.byte_tokenizer import byte_tokenizer  # noqa: E402
from training.corpus.documents import Document, write_documents  # noqa: E402
from training.errors import TrainingError  # noqa: E402
from training.loop import machine  # noqa: E402
from training.loop.train import main  # noqa: E402
from training.model.checkpoint import load_checkpoint  # noqa: E402
from training.model.packed import unpacked  # noqa: E402
from training.model.quantization import bits_of, rounded  # noqa: E402

ROUNDING_ERROR = 1e-6
"""Relative. Weights that are not rounded yet are 10 % away from those with 4 bits."""

pytestmark = [pytest.mark.parity, pytest.mark.slow]

CONFIGURATION = """
[shape]
hidden_size = 128
num_hidden_layers = 2
num_attention_heads = 2
num_key_value_heads = 1
num_experts = 4
num_experts_per_tok = 2
moe_intermediate_size = 128
vocab_size = 384

[schedule]
sequence_length = 64
batch_tokens = 512
micro_batch_tokens = 256
warm_up_steps = 5
quantized_share = 0.25
long_share = 0.5
long_sequence_length = 128
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    documents = [
        Document(
            package="sums",
            path=f"{number}.py",
            language="python",
            text=f"def add_{number}(left, right):\n    return left + right + {number}\n" * 8,
        )
        for number in range(300)
    ]
    write_documents(tmp_path / "shards" / "train" / "train.jsonl", documents)
    write_documents(tmp_path / "shards" / "validation" / "held.jsonl", documents[:20])
    (tmp_path / "tokenizer").mkdir()
    byte_tokenizer().save(str(tmp_path / "tokenizer" / "tokenizer.json"))
    (tmp_path / "tiny.toml").write_text(CONFIGURATION)
    return tmp_path


def check(
    folder: Path, run: str, *options: str, budget: Sequence[str] = ("--steps", "20")
) -> Sequence[dict[str, float]]:
    """Train 20 steps, or another budget, under a name; return the metrics."""
    main(
        [
            str(folder / "tiny.toml"),
            "--run",
            run,
            "--runs",
            str(folder / "runs"),
            *budget,
            "--shards",
            str(folder / "shards"),
            "--tokenizer",
            str(folder / "tokenizer"),
            "--device",
            "cpu",
            *options,
        ]
    )
    lines = (folder / "runs" / run / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def weights(folder: Path, run: str) -> dict[str, torch.Tensor]:
    tensors = unpacked(folder / "runs" / run / "checkpoint")
    return {name: torch.from_numpy(array) for name, array in tensors}


def test_the_loss_falls_through_all_phases(folder: Path) -> None:
    metrics = check(folder, "once")
    assert metrics[-1]["loss"] < metrics[0]["loss"] - 0.5
    assert metrics[-1]["quantized"]
    assert (folder / "runs" / "once" / "loss.png").stat().st_size > 1000
    load_checkpoint(folder / "runs" / "once" / "checkpoint")


def test_the_checkpoint_holds_the_rounded_weights(folder: Path) -> None:
    """What the last steps were trained at, so that exporting it loses nothing."""
    check(folder, "once")
    for name, tensor in weights(folder, "once").items():
        if bits := bits_of(name.removesuffix(".weight")):
            values = tensor.float()
            error = (rounded(values, bits) - values).norm() / values.norm()
            assert error < ROUNDING_ERROR, name


def test_the_same_seed_gives_the_same_model(folder: Path) -> None:
    check(folder, "first")
    check(folder, "second", "--workers", "2")
    first, second = weights(folder, "first"), weights(folder, "second")
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_a_run_goes_on_where_it_stopped(folder: Path) -> None:
    check(folder, "unbroken")
    for _ in range(25):
        if (folder / "runs" / "broken" / "checkpoint").exists():
            break
        check(folder, "broken", "--pause-after", "0.0001")
    unbroken, broken = weights(folder, "unbroken"), weights(folder, "broken")
    assert all(torch.equal(tensor, broken[name]) for name, tensor in unbroken.items())


def test_what_was_given_of_a_broken_run_is_a_start(folder: Path) -> None:
    check(folder, "left", "--give", str(folder / "out"), "--pause-after", "0.0001")
    machine.take(folder / "out", folder / "runs" / "carried")
    metrics = check(folder, "carried")
    assert metrics[-1]["step"] == 20
    assert metrics[0]["step"] == 1
    assert [line["step"] for line in metrics] == sorted({line["step"] for line in metrics})


def test_what_was_given_of_a_finished_run_is_its_checkpoint(folder: Path) -> None:
    check(folder, "done", "--give", str(folder / "out"))
    machine.take(folder / "out", folder / "runs" / "taken")
    done, taken = weights(folder, "done"), weights(folder, "taken")
    assert all(torch.equal(tensor, taken[name]) for name, tensor in done.items())
    assert not (folder / "runs" / "taken" / machine.COMPACT).exists()


def test_a_run_is_done_in_the_time_it_has(folder: Path) -> None:
    metrics = check(folder, "timed", budget=("--finish-after", "0.3"))
    assert metrics[-1]["seconds"] <= 3 + 1
    assert (folder / "runs" / "timed" / "checkpoint").exists()


def test_the_second_half_of_a_run_takes_the_time_it_has(folder: Path) -> None:
    check(folder, "halves", "--pause-after", "0.0001", budget=("--minutes", "60"))
    metrics = check(folder, "halves", budget=("--finish-after", "0.3"))
    assert metrics[0]["step"] == 1
    assert metrics[-1]["quantized"]
    assert (folder / "runs" / "halves" / "checkpoint").exists()


def test_no_time_to_train_is_said(folder: Path) -> None:
    with pytest.raises(TrainingError, match=r"--finish-after 0\.1 leaves no time to train"):
        check(folder, "timed", budget=("--finish-after", "0.1"))


def test_a_run_upon_a_checkpoint(folder: Path) -> None:
    before = check(folder, "first")
    metrics = check(folder, "second", "--after", str(folder / "runs" / "first" / "checkpoint"))
    assert metrics[0]["loss"] < before[0]["loss"] - 0.5


def test_a_run_upon_a_run_begins_with_its_weights_and_counts_anew(folder: Path) -> None:
    before = check(folder, "first")
    state = folder / "runs" / "first" / "state.safetensors"
    metrics = check(folder, "second", "--after", str(state))
    assert metrics[0]["step"] == 1
    assert metrics[0]["loss"] < before[0]["loss"] - 0.5


def test_a_state_of_another_shape_is_no_start(folder: Path) -> None:
    check(folder, "first")
    state = folder / "runs" / "first" / "state.safetensors"
    wider = CONFIGURATION.replace("moe_intermediate_size = 128", "moe_intermediate_size = 256")
    (folder / "tiny.toml").write_text(wider)
    with pytest.raises(TrainingError, match=r"state\.safetensors is of another shape: .* not fit"):
        check(folder, "wider", "--after", str(state))


def test_a_state_that_is_not_there(folder: Path) -> None:
    with pytest.raises(TrainingError, match="none is no file; name the state of a run"):
        check(folder, "first", "--after", "none")
