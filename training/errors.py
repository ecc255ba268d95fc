"""What training refuses on purpose: one error, whose text names the value and the remedy."""

from inference.errors import InklingError


class TrainingError(InklingError):
    pass
