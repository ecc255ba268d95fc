"""Find documents that are copies or near copies of others, and text that must not be learned.

Documents are compared as sets of shingles, that is of `SHINGLE_WORDS` words in a row, each hashed
to 64 bits. Near copies are found by MinHash with banding (Broder 1997; Leskovec, Rajaraman, Ullman,
"Mining of Massive Datasets", section 3.4): 16 bands of 8 values find pairs of Jaccard similarity
0.8 with probability 0.95, pairs of 0.5 with probability 0.06.

Knows texts only: not packages, files or roles.
"""

import re
import zlib
from typing import Final

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]

SHINGLE_WORDS: Final = 5
NUM_BANDS: Final = 16
ROWS_PER_BAND: Final = 8
WORDS_AND_MARKS: Final = re.compile(rb"\w+|[^\w\s]")
WORDS: Final = re.compile(rb"[^\W\d]\w*")
_MULTIPLIER: Final = np.uint64(0x9E3779B97F4A7C15)
_PERMUTATIONS: Final = np.random.default_rng(0).integers(
    1, 2**63, (2, NUM_BANDS * ROWS_PER_BAND), dtype=np.uint64
)
_SLICE: Final = 4096
"""Shingles hashed together: [128, 4096] values of 8 bytes stay in the processor's cache."""


class NearDuplicates:
    """Remembers the bands of every text it was shown."""

    def __init__(self) -> None:
        self._bands: tuple[dict[bytes, int], ...] = tuple({} for _ in range(NUM_BANDS))

    def add(self, signature: Hashes, number: int) -> int | None:
        """Return the number of an earlier near copy; where there is none, remember this one."""
        keys = [band.tobytes() for band in signature.reshape(NUM_BANDS, ROWS_PER_BAND)]
        for band, key in zip(self._bands, keys, strict=True):
            if key in band:
                return band[key]
        for band, key in zip(self._bands, keys, strict=True):
            band[key] = number
        return None


def signature_of(text: str) -> Hashes:
    """Return the MinHash signature of a text, [NUM_BANDS * ROWS_PER_BAND]."""
    hashes = np.unique(shingles(text, SHINGLE_WORDS))
    lowest = np.full(_PERMUTATIONS.shape[1], np.iinfo(np.uint64).max, np.uint64)
    multiplier, offset = (row[:, None] | np.uint64(1) for row in _PERMUTATIONS)
    for start in range(0, len(hashes), _SLICE):
        # the high bits of a product modulo 2^64 are the mixed ones
        permuted = hashes[None, start : start + _SLICE] * multiplier + offset
        np.minimum(lowest, permuted.min(axis=1), out=lowest)
    return lowest


def shingles(text: str, num_words: int, words_as: re.Pattern[bytes] = WORDS_AND_MARKS) -> Hashes:
    """Hash every run of `num_words` words; a shorter text is one shingle."""
    words = words_as.findall(text.encode())
    hashes = np.fromiter(map(zlib.crc32, words), np.uint64, len(words))
    num_shingles = max(1, len(words) - num_words + 1)
    rolled = np.zeros(num_shingles, np.uint64)
    for index in range(min(num_words, len(words))):
        rolled = (rolled + hashes[index : index + num_shingles]) * _MULTIPLIER
        rolled ^= rolled >> np.uint64(29)
    return rolled
