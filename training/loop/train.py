"""Train a configuration on packed shards, for a number of steps or of minutes.

    python -m training.loop.train nano --run nano-cpu --minutes 60
    python -m training.loop.train nano --run long --minutes 24 --pause-after 8    (again, to go on)
    python -m training.loop.train nano-on --run longer --minutes 60 --after STATE (a run upon a run)
    python -m training.loop.train base --run base --finish-after 9 --give OUT     (a lent machine)

Writes runs/<name>/: configuration.toml, command.txt, CORPUS.md (the data card), metrics.jsonl and,
at the end, loss.png, validation.json and checkpoint/, packed where training ended
quantization-aware. `state.safetensors` holds all that going on needs: the batches behind it are
those that an unbroken run would have seen. With --steps a run is a function of its seed and its
device; with --minutes or --finish-after the learning rate follows the clock.

--after begins with the weights and moments of another run's state, or with a checkpoint's weights,
and counts steps and time anew. --give keeps a copy of what there is in a folder that leaves the
machine: metrics and 8-bit weights every two minutes, at the end the checkpoint.
"""

import argparse
import itertools
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import torch
from torch import Tensor

from training.corpus.batches import Corpus, Position, Windows, batches
from training.corpus.pack import SHARDS_FOLDER, read_shards
from training.corpus.tokenizer import TOKENIZER_FOLDER, load_tokenizer, save_tokenizer
from training.errors import TrainingError, tell
from training.loop import machine, plot
from training.loop.evaluate import bits_per_byte
from training.loop.metrics import Notes, Reporter, forget_after
from training.loop.optimizer import rate_scale
from training.loop.speed import synchronize
from training.loop.trainer import Trainer
from training.model.checkpoint import (
    Progress,
    load_checkpoint,
    load_compact,
    load_state,
    save_checkpoint,
    save_compact,
    save_packed,
    save_state,
)
from training.model.configuration import CONFIGURATIONS, Configuration, read_configuration

RUNS_FOLDER: Final = Path(__file__).parents[1] / "runs"
DATA_CARD: Final = Path(__file__).parents[1] / "CORPUS.md"
_VALIDATION_CHARACTERS: Final = 400_000
_GIVE_EVERY: Final = 120.0
_WRITING_SECONDS: Final = 15.0
"""Enough to write and give a checkpoint, of what --finish-after leaves."""

Batches = Iterator[tuple[Windows, Position]]
Step = tuple[Progress, Mapping[str, Tensor], Notes]


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """When the run is over, by steps or by seconds of training, and when this process stops.

    `stop_at` is a reading of the monotonic clock: compiling counts for it, though not for the run.
    """

    steps: int | None
    seconds: float | None
    stop_at: float | None

    def done_share(self, progress: Progress) -> float:
        if self.steps is not None:
            return progress.step / self.steps
        assert self.seconds is not None
        return progress.seconds / self.seconds


def train(
    trainer: Trainer,
    corpus: Corpus,
    stream: Batches,
    budget: Budget,
    progress: Progress,
    *,
    workers: int,
) -> Iterator[Step]:
    """Yield the progress behind every step until the budget or this process's time is used up.

    `stream` has the batches from `progress` on.
    """
    schedule = trainer.configuration.schedule
    began, before = time.monotonic(), progress.seconds
    while (share := budget.done_share(progress)) < 1:
        if share >= schedule.long_share and not progress.is_long:
            progress = _lengthened(progress)
            stream = _stream(trainer.configuration, corpus, progress, workers)
        windows, position = next(stream)
        scale = rate_scale(
            progress.step,
            share,
            warm_up_steps=schedule.warm_up_steps,
            decay_share=schedule.decay_share,
        )
        is_quantized = share >= 1 - schedule.quantized_share
        take = trainer.quantized_step if is_quantized else trainer.step
        measured = take(windows, scale=scale)
        synchronize(trainer.device)
        progress = msgspec.structs.replace(
            progress,
            step=progress.step + 1,
            num_tokens=progress.num_tokens + windows[:, 1:].size,
            seconds=before + time.monotonic() - began,
            position=position,
        )
        yield progress, measured, {"rate_scale": round(scale, 4), "quantized": is_quantized}
        if budget.stop_at is not None and time.monotonic() > budget.stop_at:
            return


def _lengthened(progress: Progress) -> Progress:
    """Go on with long windows at the next chunk: those of this one are cut to the short length."""
    start = Position(progress.position.chunk + 1, 0)
    return msgspec.structs.replace(progress, is_long=True, position=start)


def _stream(
    configuration: Configuration, corpus: Corpus, progress: Progress, workers: int
) -> Batches:
    schedule = configuration.schedule
    length = schedule.long_sequence_length if progress.is_long else schedule.sequence_length
    return batches(
        corpus,
        progress.position,
        num_windows=schedule.batch_tokens // length,
        sequence_length=length,
        workers=workers,
    )


def run(configuration: Configuration, options: argparse.Namespace) -> None:
    """Train one run in its folder, from where its state stands if there is one."""
    began = time.monotonic()
    folder: Path = options.runs / options.run
    corpus = _corpus(configuration, options)
    trainer = Trainer(configuration, torch.device(options.device))
    start = _resume(trainer, folder, options)
    stream = _stream(configuration, corpus, start, options.workers)
    if trainer.device.type == "cuda":
        first = next(stream)
        trainer.warm_up(first[0])
        stream = itertools.chain([first], stream)
    budget = _budget(options, start, began)
    progress = start
    forget_after(folder / "metrics.jsonl", start.step)
    with (folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
        reporter = Reporter(configuration, trainer.device, file, start)
        saved_at = given_at = time.monotonic()
        for step in train(trainer, corpus, stream, budget, start, workers=options.workers):
            progress = step[0]
            reporter.report(*step)
            if time.monotonic() - saved_at > options.save_every * 60:
                _save(trainer, folder, progress)
                saved_at = time.monotonic()
            if options.give and time.monotonic() - given_at > _GIVE_EVERY:
                _give_state(trainer, folder, progress, options.give)
                given_at = time.monotonic()
    if budget.done_share(progress) >= 1:
        _finish(trainer, folder, options)
    elif options.give:
        _give_state(trainer, folder, progress, options.give)
    _save(trainer, folder, progress)


def _budget(options: argparse.Namespace, start: Progress, began: float) -> Budget:
    seconds = options.minutes * 60 if options.minutes else None
    if options.finish_after:
        left = began + options.finish_after * 60 - _WRITING_SECONDS - time.monotonic()
        if left <= 0:
            raise TrainingError(
                f"--finish-after {options.finish_after} leaves no time to train: starting took "
                f"{time.monotonic() - began:.0f} s and writing needs {_WRITING_SECONDS:.0f} s"
            )
        seconds = start.seconds + left
    stop_at = began + options.pause_after * 60 if options.pause_after else None
    return Budget(steps=options.steps, seconds=seconds, stop_at=stop_at)


def _give_state(trainer: Trainer, folder: Path, progress: Progress, output: Path) -> None:
    save_compact(trainer.decoder, folder / machine.COMPACT, progress)
    machine.give(folder, output)


def _resume(trainer: Trainer, folder: Path, options: argparse.Namespace) -> Progress:
    state = folder / "state.safetensors"
    compact = folder / machine.COMPACT
    after: Path | None = options.after
    if state.exists():
        return _load(trainer, state)
    if compact.exists():
        return load_compact(compact, trainer.decoder)
    if after is None:
        return Progress()
    if after.is_dir():
        trainer.decoder.load_state_dict(load_checkpoint(after).state_dict())
    elif after.is_file():
        _load(trainer, after)
    else:
        raise TrainingError(
            f"{after} is no file; name the state of a run, or a checkpoint's folder"
        )
    return Progress()


def _load(trainer: Trainer, state: Path) -> Progress:
    held, progress = load_state(state, trainer.decoder)
    trainer.load_state(held)
    return progress


def _save(trainer: Trainer, folder: Path, progress: Progress) -> None:
    save_state(folder / "state.safetensors", trainer.decoder, trainer.state(), progress)


def _corpus(configuration: Configuration, options: argparse.Namespace) -> Corpus:
    documents = list(read_shards(options.shards / "train"))
    tokenizer = load_tokenizer(options.tokenizer)
    return Corpus.of(documents, tokenizer, configuration.mixture, configuration.seed)


def _finish(trainer: Trainer, folder: Path, options: argparse.Namespace) -> None:
    tokenizer = load_tokenizer(options.tokenizer)
    checkpoint = folder / machine.CHECKPOINT
    # what was judged at last were the rounded weights, and they are what is kept
    save = save_packed if trainer.configuration.schedule.quantized_share else save_checkpoint
    save(trainer.decoder, checkpoint)
    length = trainer.decoder.shape.max_position_embeddings
    save_tokenizer(tokenizer, checkpoint, max_length=length)
    plot.plot_loss(folder / "metrics.jsonl", folder / "loss.png")
    shutil.rmtree(folder / machine.COMPACT, ignore_errors=True)
    print(f"checkpoint in {checkpoint.name}/", flush=True)
    if options.give:
        machine.give(folder, options.give)
    if (options.shards / "validation").is_dir():
        _validate(checkpoint, options, trainer.device)


def _validate(checkpoint: Path, options: argparse.Namespace, device: torch.device) -> None:
    held_out = list(read_shards(options.shards / "validation"))
    # as it was written, and not compiled for the many lengths of held-out text
    written, tokenizer = load_checkpoint(checkpoint).to(device), load_tokenizer(checkpoint)
    bits = bits_per_byte(written, tokenizer, held_out, max_characters=_VALIDATION_CHARACTERS)
    line = json.dumps({"bits_per_byte": bits}) + "\n"
    (checkpoint.parent / "validation.json").write_text(line, "utf-8")
    print(f"held out: {bits:.4f} bits per byte")


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    budgets = (options.steps, options.minutes, options.finish_after)
    if sum(budget is not None for budget in budgets) != 1:
        raise TrainingError("name a budget: --steps, --minutes or --finish-after, one of them")
    torch.manual_seed(0)
    folder: Path = options.runs / options.run
    folder.mkdir(parents=True, exist_ok=True)
    configuration = read_configuration(options.configuration)
    named = CONFIGURATIONS / f"{options.configuration}.toml"
    shutil.copy(named if named.exists() else options.configuration, folder / "configuration.toml")
    shutil.copy(DATA_CARD, folder)
    with (folder / "command.txt").open("a", encoding="utf-8") as file:
        file.write(f"python -m training.loop.train {' '.join(arguments or sys.argv[1:])}\n")
    run(configuration, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="training.loop.train", description=__doc__)
    parser.add_argument("configuration", help="a name in configurations/, or a file")
    parser.add_argument("--run", required=True, help="the run's name")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--minutes", type=float, help="of training, over all processes of the run")
    parser.add_argument(
        "--pause-after", type=float, help="minutes of this process, then save and stop"
    )
    parser.add_argument(
        "--finish-after", type=float, help="minutes of this process, in which all of it is done"
    )
    parser.add_argument("--after", type=Path, help="a run's state, or a checkpoint, to begin with")
    parser.add_argument("--give", type=Path, help="folder that leaves this machine")
    parser.add_argument("--save-every", type=float, default=5, help="minutes")
    has_gpu = torch.cuda.is_available()
    parser.add_argument("--device", default="cuda" if has_gpu else "cpu")
    parser.add_argument(
        "--workers",
        type=int,
        default=max(1, (os.cpu_count() or 1) - 2) if has_gpu else 0,
        help="processes that prepare batches; all cores but two where a GPU trains",
    )
    parser.add_argument("--shards", type=Path, default=SHARDS_FOLDER)
    parser.add_argument("--tokenizer", type=Path, default=TOKENIZER_FOLDER)
    parser.add_argument("--runs", type=Path, default=RUNS_FOLDER)
    return parser


if __name__ == "__main__":
    tell(main)
