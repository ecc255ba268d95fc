"""What can go wrong between a checkpoint and a package, as one tree.

    InklingError
    └── ExportError
        ├── CheckpointError     a file of the checkpoint is missing, damaged or not understood
        ├── UnsupportedError    the checkpoint asks for something that is not implemented
        ├── PackageError        the package cannot be written where it was asked for
        └── VerificationError   the package was written and does not compute what it should
            └── QualityError    rounding moved its next tokens further than the limit allows

Messages are lower case, name the value and the remedy, and carry no trailing dot.
"""

from collections.abc import Mapping

from inference.errors import InklingError


class ExportError(InklingError):
    pass


class CheckpointError(ExportError):
    pass


class UnsupportedError(ExportError):
    pass


class PackageError(ExportError):
    pass


class VerificationError(ExportError):
    pass


class QualityError(VerificationError):
    """`figures` are what was measured, and the limit, by the names that a manifest gives them."""

    def __init__(self, message: str, figures: Mapping[str, float]) -> None:
        super().__init__(message)
        self.figures = figures
