"""What counts as right, and that weights are found where there are any."""

import tomllib
from pathlib import Path

import numpy as np
import pytest

from benchmarks import gate
from evaluation.sources import Source
from lsp_server.policy.evidence import FIELDS


@pytest.mark.parametrize(
    ("text", "stood", "right"),
    [
        ("a + b", "a + b\nreturn", True),
        ("a + b\n    return x", "a + b\nreturn", True),
        ("a + c", "a + b", False),
        ("a + b + c", "a + b", False),
        ("\n    return a", "\n    return a\n", True),
        ("return a", "\n    return a\n", False),
        ("\n    return a", "x\n    return a\n", False),
    ],
)
def test_an_answer_is_right_if_its_first_line_stood_there(
    text: str, stood: str, *, right: bool
) -> None:
    assert gate.is_right(text, stood) is right


def test_places_are_where_somebody_pauses_in_their_order() -> None:
    text = "def f(a):\n    return a + other.name\n" * 5
    found = gate.places(Source("a.py", text, "python"))
    assert found == sorted(found) == gate.places(Source("a.py", text, "python"))
    assert len(found) == gate.HOLES_EACH
    assert all(
        text[place - 1] in "(,=. " or not text[place : place + 1].isalnum() for place in found
    )


def test_weights_are_found() -> None:
    draws = np.random.default_rng(0)
    matrix = draws.normal(size=(4_000, len(FIELDS)))
    wanted = dict(zip(FIELDS, draws.normal(size=len(FIELDS)), strict=True))
    odds = 0.5 + matrix @ np.array(list(wanted.values()))
    right = draws.random(len(matrix)) < 1 / (1 + np.exp(-odds))
    found = gate.fitted(matrix, right)
    assert found.pop("bias") == pytest.approx(0.5, abs=0.15)
    assert found == pytest.approx(wanted, abs=0.25)


def test_weights_are_written_for_their_class_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    priors = tmp_path / "priors.toml"
    priors.write_bytes(gate.PRIORS.read_bytes())
    before = tomllib.loads(priors.read_text("utf-8"))
    monkeypatch.setattr(gate, "PRIORS", priors)
    weights = {"bias": 1.5, **dict.fromkeys(FIELDS, 0.25)}
    gate.write_prior("small", weights, np.linspace(-3, 3, 101))
    after = tomllib.loads(priors.read_text("utf-8"))
    assert after["large"] == before["large"]
    assert after["small"]["bias"] == 1.5
    assert set(after["small"]["weights"].values()) == {0.25}
    thresholds = after["small"]["thresholds"]
    assert 0 < thresholds["eager"] < thresholds["balanced"] < thresholds["quiet"] < 1
    assert priors.read_text("utf-8").startswith("# What speaks")
