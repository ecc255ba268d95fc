"""The files of deploy/ say what the code takes and has; no Ray, Docker or Grafana is needed."""

import asyncio
import importlib
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from inference import Completion, FinishReason, Timings, TokenCounts
from team.fleet import FleetSettings, told
from team.metrics import Metrics

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def served() -> Any:
    return yaml.safe_load((DEPLOY / "serve.yaml").read_text("utf-8"))


def test_serve_takes_a_function_that_is_there() -> None:
    module, _, name = served()["applications"][0]["import_path"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))


def test_the_arguments_are_those_of_a_fleet() -> None:
    fleet = told(served()["applications"][0]["args"])
    assert fleet.replicas < fleet.most_replicas


def test_what_is_left_out_there_could_be_said() -> None:
    """Lines that are commented out are fields, too."""
    text = (DEPLOY / "serve.yaml").read_text("utf-8").partition("args:")[2]
    named = set(re.findall(r"^ +(?:# )?([a-z_]+): ", text, re.MULTILINE))
    assert named == set(FleetSettings.__struct_fields__)


def test_the_image_has_the_extras_and_opens_the_port() -> None:
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    extras = re.search(r"/source\[([a-z,]+)\]", text)
    assert extras is not None
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert set(extras[1].split(",")) <= set(project["optional-dependencies"])
    assert re.findall(r"EXPOSE (\d+)", text) == [str(served()["http_options"]["port"])]
    assert all(line in text for line in ("RAY_AUTH_MODE=token", "RAY_USAGE_STATS_ENABLED=0"))
    assert "USER inkling" in text


def counted() -> tuple[set[str], set[str]]:
    """Return the names of all series that the service can show, and of their labels."""
    metrics = Metrics()
    metrics.count("/infill", 200)
    tokens, timings = TokenCounts(prompt=2, generated=2), Timings(queue_ms=1, decode_ms=1)
    completion = Completion(
        text="x", finish_reason=FinishReason.BLOCK, tokens=tokens, timings=timings
    )
    metrics.observe(completion, "m", 1.0)
    text = asyncio.run(metrics.page()).decode()
    series = re.findall(r"^(\w+)(?:\{(.*)\})? ", text, re.MULTILINE)
    labels = {name for _, said in series for name in re.findall(r"(\w+)=", said)}
    return {name for name, _ in series}, labels | {"replica"}


PANELS = json.loads((DEPLOY / "grafana.json").read_text("utf-8"))["panels"]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_shows_what_is_counted(panel: dict[str, Any]) -> None:
    names, labels = counted()
    for target in panel["targets"]:
        shown = re.findall(r"\b(?:inkling|gen_ai)_\w+", target["expr"])
        assert shown
        assert set(shown) <= names
        grouped = ",".join(re.findall(r"by \(([^)]*)\)", target["expr"]))
        asked = re.findall(r"\w+", grouped) + re.findall(r"(\w+)=~?\"", target["expr"])
        assert set(asked) <= labels


def test_the_picture_shows_all_that_is_counted() -> None:
    text = json.dumps(PANELS)
    parts = re.compile(r"(_bucket|_sum|_count|_created)$")
    families = {parts.sub("", name) for name in counted()[0] if not name.endswith("_created")}
    assert {name for name in families if name not in text} == set()
