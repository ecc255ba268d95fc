"""Second moments of what each matrix multiplies while the model reads calibration text.

The oracle reads the text layer by layer as the moments of a layer are asked for, and those of the
layer before are forgotten: in memory are the hidden states of the text and one layer's moments.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from export.quantization.rounding import Moments
from export.spec.decoder import DecoderSpec, slots
from export.spec.oracle import Array, Slots, embed, run_layer
from export.texts import Text


class CalibrationMoments:
    """Moments of a spec's slots over one text, cut into windows that see nothing of each other.

    `weights` are the slots in full precision. `only_squares` sums the diagonal alone.
    """

    def __init__(
        self,
        spec: DecoderSpec,
        weights: Mapping[str, Array],
        text: Text,
        *,
        dtype: npt.DTypeLike,
        only_squares: bool = False,
    ) -> None:
        self._spec = spec
        self._slots = Slots(weights, dtype, observe=self._observe)
        self._shapes = {name: slot.shape for name, slot in slots(spec).items()}
        self._text = text
        self._only_squares = only_squares
        self._states: Array | None = None
        self._num_layers_read = 0
        self._moments: dict[str, Moments] = {}
        self._last: tuple[Array, int | None, str] | None = None

    def find(self, name: str) -> Moments | None:
        """Return [columns, columns], or one for each expert; None for a slot outside the layers.

        Only squares are [columns], or one row for each expert.
        """
        layer = _layer_index(name)
        if layer is None:
            return None
        if layer < self._num_layers_read - 1:
            self._states, self._num_layers_read = None, 0
        while self._num_layers_read <= layer:
            self._read_layer()
        return self._moments.get(name)

    def _read_layer(self) -> None:
        self._moments = {}
        if self._states is None:
            self._states = embed(
                self._spec, self._slots, self._text.token_ids, window=self._text.window
            )
        self._states = run_layer(
            self._spec, self._slots, self._num_layers_read, self._states, window=self._text.window
        )
        self._last = None
        self._num_layers_read += 1

    def _observe(self, name: str, expert: int | None, x: Array) -> None:
        # Query, key and value are given the same rows, and so are gate and up.
        if self._last is not None and self._last[0] is x and self._last[1] == expert:
            self._moments[name] = self._moments[self._last[2]]
            return
        self._last = (x, expert, name)
        moments = np.einsum("tc,tc->c", x, x) if self._only_squares else x.T @ x
        if name not in self._moments:
            shape = self._shapes[name][:1] if expert is not None else ()
            self._moments[name] = np.zeros((*shape, *moments.shape), x.dtype)
        target = self._moments[name]
        where = () if expert is None else expert
        target[where] += moments


def _layer_index(name: str) -> int | None:
    parts = name.split(".")
    return int(parts[1]) if parts[0] == "layers" else None
