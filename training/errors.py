"""What training refuses on purpose: one error, whose text names the value and the remedy."""

import sys
from collections.abc import Callable

from inference.errors import InklingError


class TrainingError(InklingError):
    pass


def tell(main: Callable[[], None]) -> None:
    """Run a command; what it refuses is said in one line and ends it with status 1."""
    try:
        main()
    except InklingError as error:
        sys.exit(f"error: {error}")
