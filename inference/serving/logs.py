"""Log what went wrong and where, and nothing of what a user wrote.

Invariant 15: an exception's message may hold a piece of a document, so it is never logged.
"""

import logging
import traceback


def log_without_text(error: BaseException) -> None:
    """Log the kind of an error and the code it came through."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    logging.getLogger(__name__).error("%s in the engine\n%s", type(error).__name__, frames)
