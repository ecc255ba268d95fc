"""What can go wrong in the engine, as one tree.

    InklingError
    ├── ModelNotFoundError        there is no package where one was named
    ├── InvalidModelError         a package is there and cannot be trusted or understood
    ├── InvalidRequestError       a request's values are outside what the engine accepts
    ├── EngineUnavailableError    the engine is closed or could not be reached
    ├── RemoteError               a remote endpoint cannot be used, as it is named or as it answers
    ├── RequestCancelledError     the request was cancelled while it ran
    ├── EvaluationError           what an evaluation needs is not there, or not safe to run
    └── WireError                 the other side of the process boundary is not understood

"No suggestion" is a result, not an error.
Messages are lower case, name the value and the remedy, and carry no trailing dot.
"""


class InklingError(Exception):
    """Base of every error that Inkling raises on purpose; its text may be shown to the user."""


class ModelNotFoundError(InklingError):
    pass


class InvalidModelError(InklingError):
    pass


class InvalidRequestError(InklingError):
    pass


class EngineUnavailableError(InklingError):
    pass


class RemoteError(InklingError):
    pass


class RequestCancelledError(InklingError):
    pass


class EvaluationError(InklingError):
    pass


class WireError(InklingError):
    pass
