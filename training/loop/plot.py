"""Draw a run's loss over its tokens.

python -m training.loop.plot runs/NAME/metrics.jsonl [MORE...]     writes loss.png beside the first
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl


def plot_loss(metrics: Path, picture: Path, *others: Path) -> None:
    """Write a PNG of the loss in nats per token; the quantization-aware part is shaded."""
    mpl.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    for path in (metrics, *others):
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        millions = [line["tokens"] / 1e6 for line in lines]
        axes.plot(millions, smoothed([line["loss"] for line in lines]), label=path.parent.name)
        quantized = [
            million for million, line in zip(millions, lines, strict=True) if line["quantized"]
        ]
        if quantized:
            axes.axvspan(quantized[0], quantized[-1], alpha=0.1, label="int4-aware")
    axes.set_xlabel("million tokens")
    axes.set_ylabel("loss, nats per token")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(picture, dpi=110)
    pyplot.close(figure)


def smoothed(values: Sequence[float], width: int = 5) -> Sequence[float]:
    """Return the mean of each value and up to `width` - 1 before it."""
    windows = (values[max(0, end - width) : end] for end in range(1, len(values) + 1))
    return [sum(window) / len(window) for window in windows]


def main() -> None:
    first, *others = map(Path, sys.argv[1:])
    plot_loss(first, first.parent / "loss.png", *others)


if __name__ == "__main__":
    main()
