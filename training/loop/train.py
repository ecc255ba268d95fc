"""Train a configuration on packed shards, for a number of steps or of minutes.

    python -m training.loop.train nano --run nano-cpu --minutes 60
    python -m training.loop.train base --run base --minutes 24 --pause-after 8    (again, to go on)
    python -m training.loop.train nano-on --run longer --minutes 60 --after STATE (a run upon a run)

Writes runs/<name>/: configuration.toml, command.txt, CORPUS.md (the data card), metrics.jsonl and,
at the end, loss.png, validation.json and checkpoint/. `state.safetensors` holds all that going on
needs: the batches behind it are those that an unbroken run would have seen. With --steps a run is a
function of its seed and its device; with --minutes the learning rate follows the clock. --after
begins with the weights and moments of another run's state, and counts steps and time anew.
"""

import argparse
import json
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
from training.loop import plot
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
    save_state,
)
from training.model.configuration import CONFIGURATIONS, Configuration, read_configuration
from training.model.decoder import Decoder

RUNS_FOLDER: Final = Path(__file__).parents[1] / "runs"
DATA_CARD: Final = Path(__file__).parents[1] / "CORPUS.md"
_VALIDATION_CHARACTERS: Final = 400_000

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
    trainer: Trainer, corpus: Corpus, budget: Budget, progress: Progress, *, workers: int
) -> Iterator[Step]:
    """Yield the progress behind every step until the budget or this process's time is used up."""
    schedule = trainer.configuration.schedule
    stream = _stream(trainer.configuration, corpus, progress, workers)
    if trainer.device.type == "cuda":
        trainer.warm_up(next(_stream(trainer.configuration, corpus, progress, 0))[0])
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
) -> Iterator[tuple[Windows, Position]]:
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
    stop_at = time.monotonic() + options.pause_after * 60 if options.pause_after else None
    folder: Path = options.runs / options.run
    corpus = _corpus(configuration, options)
    trainer = Trainer(configuration, torch.device(options.device), plain=options.plain)
    start = _resume(trainer, folder, options)
    budget = Budget(
        steps=options.steps,
        seconds=options.minutes * 60 if options.minutes else None,
        stop_at=stop_at,
    )
    progress = start
    forget_after(folder / "metrics.jsonl", start.step)
    with (folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
        reporter = Reporter(configuration, trainer.device, file, start)
        saved_at = time.monotonic()
        for step in train(trainer, corpus, budget, start, workers=options.workers):
            progress = step[0]
            reporter.report(*step)
            if time.monotonic() - saved_at > options.save_every * 60:
                _save(trainer, folder, progress)
                saved_at = time.monotonic()
    _save(trainer, folder, progress)
    if budget.done_share(progress) >= 1:
        with trainer.trained_weights():
            _finish(trainer.decoder, folder, options)
    elif options.compact:
        save_compact(trainer.decoder, options.compact, progress)


def _resume(trainer: Trainer, folder: Path, options: argparse.Namespace) -> Progress:
    compact: Path | None = options.compact
    state = folder / "state.safetensors"
    if state.exists():
        return _load(trainer, state)
    if options.after is not None:
        if not options.after.is_file():
            raise TrainingError(f"{options.after} is no file; name the state of a run with --after")
        _load(trainer, options.after)
    elif compact is not None and compact.exists():
        return load_compact(compact, trainer.decoder)
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


def _finish(decoder: Decoder, folder: Path, options: argparse.Namespace) -> None:
    tokenizer = load_tokenizer(options.tokenizer)
    checkpoint = folder / "checkpoint"
    save_checkpoint(decoder, checkpoint, shard_bytes=options.shard_megabytes * 1_000_000)
    save_tokenizer(tokenizer, checkpoint, max_length=decoder.shape.max_position_embeddings)
    plot.plot_loss(folder / "metrics.jsonl", folder / "loss.png")
    held_out = list(read_shards(options.shards / "validation"))
    # as it was written, and not compiled for the many lengths of held-out text
    written = load_checkpoint(checkpoint).to(decoder.embed_tokens.device)
    bits = bits_per_byte(written, tokenizer, held_out, max_characters=_VALIDATION_CHARACTERS)
    (folder / "validation.json").write_text(json.dumps({"bits_per_byte": bits}) + "\n", "utf-8")
    print(f"held out: {bits:.4f} bits per byte; checkpoint in {checkpoint.name}/")


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    if (options.steps is None) == (options.minutes is None):
        raise TrainingError("name a budget: --steps or --minutes, one of them")
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
        "--compact", type=Path, help="folder of 8-bit weights: to start from, and to leave behind"
    )
    parser.add_argument("--after", type=Path, help="the state.safetensors of a run to begin with")
    parser.add_argument("--save-every", type=float, default=5, help="minutes")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--plain", action="store_true", help="no compiling, no grouped experts")
    parser.add_argument("--workers", type=int, default=0, help="processes that prepare batches")
    parser.add_argument("--shard-megabytes", type=int, default=50, help="of a checkpoint's file")
    parser.add_argument("--shards", type=Path, default=SHARDS_FOLDER)
    parser.add_argument("--tokenizer", type=Path, default=TOKENIZER_FOLDER)
    parser.add_argument("--runs", type=Path, default=RUNS_FOLDER)
    return parser


if __name__ == "__main__":
    tell(main)
