"""An entry of the catalogue whose file is a few bytes that the test makes up."""

import hashlib
from collections.abc import Sequence

from export.catalogue.entries import Entry, Hub, Wheel


def tiny_entry(hub: Hub, content: bytes, wheels: Sequence[Wheel] = ()) -> Entry:
    return Entry(
        name="tiny",
        title="Tiny",
        licence="MIT",
        parameters=1,
        active=1,
        memory=1,
        fills_holes=True,
        follows_instructions=False,
        tried=True,
        hub=hub,
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        wheels=tuple(wheels),
    )
