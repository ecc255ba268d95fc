"""head: what is said of the heads follows from the table."""

from benchmarks.head import COMMAND, KINDS
from benchmarks.quality import DOCUMENT
from benchmarks.report import written_table
from export.graph.layers.head import NUM_SCORED_AGAIN
from export.quantization.scheme import COARSE_HEAD_BITS, COARSE_HEAD_BLOCK_SIZE

ROWS = {row[""]: row for row in written_table(DOCUMENT, COMMAND)}
CHOSEN = (
    f"{COARSE_HEAD_BITS} bits in blocks of {COARSE_HEAD_BLOCK_SIZE}, "
    f"the best {NUM_SCORED_AGAIN} again"
)


def test_the_page_has_all_heads() -> None:
    assert list(ROWS) == list(KINDS)


def test_the_default_changes_no_token_and_is_the_fastest() -> None:
    assert ROWS[CHOSEN]["changed"] == "0"
    assert min(ROWS, key=lambda name: float(ROWS[name]["ms"])) == CHOSEN


def test_so_many_are_scored_again_that_none_is_missed() -> None:
    unrefined = ROWS["4 bits in blocks of 128, no token again"]
    assert 1 < int(unrefined["deepest"]) <= NUM_SCORED_AGAIN
