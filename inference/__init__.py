"""The engine's front door: all that a program built on it may use.

The engine turns text into text. It knows no editor, no LSP and no model family.
Importing it loads neither onnxruntime nor tokenizers.
"""

from inference.chat import Message
from inference.completion import (
    MAX_REMEMBERED_CHARACTERS,
    MAX_TEXT_CHARACTERS,
    Completion,
    CompletionRequest,
    FinishReason,
    InstructionRequest,
    Request,
    Scope,
    SyntaxCheck,
    TokenCounts,
    line_before,
    line_behind,
    owned,
)
from inference.dissection import Dissection
from inference.engine import Engine, EngineState, EngineStatus
from inference.errors import (
    EngineUnavailableError,
    InklingError,
    InvalidModelError,
    InvalidRequestError,
    ModelNotFoundError,
    RemoteError,
    RequestCancelledError,
)
from inference.inspection import (
    ModelReport,
    RuntimeReport,
    data_folder,
    inspect_model,
    inspect_runtime,
    is_embedded,
    model_names,
    num_syntax_errors,
)
from inference.languages import Documentation, language_for, language_id_of, trigger_characters
from inference.package.manifest import Device
from inference.private_files import write_private
from inference.serving.backends import EngineOptions, open_engine
from inference.serving.dissector import Dissector
from inference.serving.remote.endpoint import MAX_NEIGHBOURS, Layout, RemoteOptions, is_loopback
from inference.serving.shared.place import runtime_folder
from inference.timing import Timings

__all__ = [
    "MAX_NEIGHBOURS",
    "MAX_REMEMBERED_CHARACTERS",
    "MAX_TEXT_CHARACTERS",
    "Completion",
    "CompletionRequest",
    "Device",
    "Dissection",
    "Dissector",
    "Documentation",
    "Engine",
    "EngineOptions",
    "EngineState",
    "EngineStatus",
    "EngineUnavailableError",
    "FinishReason",
    "InklingError",
    "InstructionRequest",
    "InvalidModelError",
    "InvalidRequestError",
    "Layout",
    "Message",
    "ModelNotFoundError",
    "ModelReport",
    "RemoteError",
    "RemoteOptions",
    "Request",
    "RequestCancelledError",
    "RuntimeReport",
    "Scope",
    "SyntaxCheck",
    "Timings",
    "TokenCounts",
    "data_folder",
    "inspect_model",
    "inspect_runtime",
    "is_embedded",
    "is_loopback",
    "language_for",
    "language_id_of",
    "line_before",
    "line_behind",
    "model_names",
    "num_syntax_errors",
    "open_engine",
    "owned",
    "runtime_folder",
    "trigger_characters",
    "write_private",
]
