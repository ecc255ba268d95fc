"""reader: a package that is read piece by piece says what it says when it is read whole.

The same kernels compute it. What differs is where the runtime may fuse two operators, and that
keys and values are copied where the engine writes them in place.
"""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from export.graph.builder import cut
from export.quality import reader
from export.quality.reader import PieceByPiece, Text, Whole, open_reader
from inference.errors import InvalidModelError
from inference.package.manifest import MODEL_FILE, Precision
from tests.support.exported import TOKEN_IDS, Exported, export_tiny
from tests.support.tiny_checkpoints import TINY_MODELS, TinyModel
from tests.support.tiny_families import FAMILY_MODELS

TEXTS: tuple[Text, ...] = (
    [TOKEN_IDS],
    [TOKEN_IDS[:9], TOKEN_IDS[9:10], TOKEN_IDS[10:]],
    [TOKEN_IDS[5:]],
)
TOLERANCE = 1e-4
SMALL_PIECES = 1 << 14


def check(exported: Exported, *, max_bytes: int = SMALL_PIECES) -> None:
    pieces = PieceByPiece(exported.folder, exported.manifest, max_bytes=max_bytes)
    found = list(pieces.read(TEXTS))
    for logits, expected in zip(found, Whole(exported.load()).read(TEXTS), strict=True):
        np.testing.assert_allclose(logits, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("model", [*TINY_MODELS, *FAMILY_MODELS], ids=lambda model: model.name)
def test_every_family(model: TinyModel, tmp_path: Path) -> None:
    exported = export_tiny(tmp_path, model)
    assert len(cut(exported.folder / MODEL_FILE, max_bytes=SMALL_PIECES)) > 3
    check(exported)


@pytest.mark.parametrize("precision", ["f16", "int8", "int4"])
@pytest.mark.parametrize("max_bytes", [0, 1 << 12, 1 << 30])
def test_every_precision_in_pieces_of_any_size(
    precision: Precision, max_bytes: int, tmp_path: Path
) -> None:
    check(export_tiny(tmp_path, TINY_MODELS[0], precision), max_bytes=max_bytes)


def test_pieces_hold_every_node_once_and_no_more_than_they_may(tmp_path: Path) -> None:
    path = export_tiny(tmp_path, TINY_MODELS[0]).folder / MODEL_FILE
    pieces = cut(path, max_bytes=SMALL_PIECES)
    made = [name for piece in pieces for name in piece.outputs]
    assert len(made) == len(set(made))
    assert "logits" in pieces[-1].outputs
    for index, piece in enumerate(pieces):
        later = {name for other in pieces[index + 1 :] for name in other.inputs}
        needed = {name for name in piece.outputs if name != "logits" and "present_" not in name}
        assert needed <= later


def test_a_large_package_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exported = export_tiny(tmp_path, TINY_MODELS[0])
    with open_reader(exported.folder, exported.manifest) as found:
        assert isinstance(found, Whole)
    monkeypatch.setattr(reader, "MAX_WHOLE_BYTES", 1000)
    with open_reader(exported.folder, exported.manifest) as found:
        assert isinstance(found, PieceByPiece)


def test_weights_outside_the_package_are_refused(tmp_path: Path) -> None:
    exported = export_tiny(tmp_path, TINY_MODELS[0])
    manifest = msgspec.structs.replace(exported.manifest, files={})
    with pytest.raises(InvalidModelError, match="is no file of this package"):
        PieceByPiece(exported.folder, manifest)
