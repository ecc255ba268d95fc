"""How many threads a model gets."""

from typing import NamedTuple

import psutil
import pytest

from inference.runtime import processor


class Battery(NamedTuple):
    """What is read of psutil's."""

    power_plugged: bool | None


@pytest.mark.parametrize(
    ("num_cores", "is_plugged", "num_threads"),
    [(1, False, 1), (2, False, 2), (4, False, 2), (16, False, 8), (16, True, 16), (16, None, 16)],
)
def test_on_battery_half_of_the_cores_are_used(
    num_cores: int, is_plugged: bool | None, num_threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    battery = Battery(is_plugged)
    monkeypatch.setattr(processor, "num_physical_cores", lambda: num_cores)
    monkeypatch.setattr(psutil, "sensors_battery", lambda: battery)
    assert processor.num_worthwhile_threads() == num_threads


def odd() -> None:
    raise OSError("a file of the battery's cannot be read")


@pytest.mark.parametrize("sensors", [lambda: None, odd], ids=["a desktop", "an odd battery"])
def test_where_nothing_is_known_of_a_battery_there_is_none(
    sensors: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "sensors_battery", sensors)
    assert not processor.is_on_battery()
