"""Keep the problems of HumanEval out of the training text.

`humaneval.npy` holds hashes of every run of NUM_WORDS words in the prompts and solutions of the 164
problems (Chen et al. 2021, arXiv:2107.03374; MIT licence, humaneval.LICENSE), not their text. Words
are names and prose; were numbers and marks to count, every list of digits would match.

    python -m training.corpus.decontaminate HumanEval-SingleLineInfilling.jsonl.gz  writes that file
"""

import gzip
import json
import sys
from pathlib import Path
from typing import Final

import numpy as np

from training.corpus.deduplicate import WORDS, Hashes, shingles

NUM_WORDS: Final = 10
MIN_MATCHES: Final = 4
"""13 words in a row. Single runs of ten also match idioms, such as the head of a loop."""

PROBLEMS_FILE: Final = Path(__file__).parent / "humaneval.npy"


def load_problems(path: Path = PROBLEMS_FILE) -> Hashes:
    return np.load(path)


def is_contaminated(text: str, problems: Hashes) -> bool:
    """Tell whether a text shares a passage with a problem; `problems` is sorted."""
    hashes = np.unique(shingles(text, NUM_WORDS, WORDS))
    places = np.searchsorted(problems, hashes).clip(max=len(problems) - 1)
    return int((problems[places] == hashes).sum()) >= MIN_MATCHES


def problem_texts(path: Path) -> list[str]:
    """Return each problem once, from the single-line infilling file, whose holes are many."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    whole = {
        row["task_id"].split("/")[2]: row["prompt"] + row["canonical_solution"] + row["suffix"]
        for row in rows
    }
    return list(whole.values())


def main() -> None:
    texts = problem_texts(Path(sys.argv[1]))
    np.save(
        PROBLEMS_FILE, np.unique(np.concatenate([shingles(t, NUM_WORDS, WORDS) for t in texts]))
    )


if __name__ == "__main__":
    main()
