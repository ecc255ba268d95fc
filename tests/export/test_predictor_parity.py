"""Against transformers' own class for layers that predict further tokens (`make parity`)."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from export.graph.predictor import hidden_read_by
from export.options import ExportOptions
from export.original import open_slots, read_original
from export.spec.oracle import hidden_states, predict
from tests.support.exported import TOKEN_IDS
from tests.support.golden import load_original
from tests.support.predictors import PREDICTING, write_predicting
from tests.support.tiny_checkpoints import write_tiny_checkpoint

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]

ELSEWHERE: Final = {"mimo"}
"""Transformers has no such class for them."""

PREDICTING_CONFIG: Final = {
    "num_mtp_layers": 1,
    "num_nextn_predict_layers": 1,
    "mtp_layer_types": ["full_attention"],
    "mtp_mlp_layer_types": ["sparse"],
    "mlp_only_layers": [],  # which would count the one layer as the model's first
}


@pytest.mark.parametrize("name", sorted(PREDICTING.keys() - ELSEWHERE))
def test_transformers_predicts_the_same(name: str, tmp_path: Path) -> None:
    checkpoint = write_predicting(tmp_path / "predicting", PREDICTING[name])
    original = read_original(str(checkpoint), ExportOptions())
    opened = open_slots(original.source, original.architecture)
    assert opened.predictor is not None
    hidden = hidden_read_by(opened.predictor.spec)
    given = hidden_states(original.spec, opened.values, TOKEN_IDS[:-1], hidden)
    found = predict(opened.predictor.spec, opened.predictor.values, TOKEN_IDS[1:], given)
    alone = write_tiny_checkpoint(tmp_path / "alone", PREDICTING[name])
    expected = transformers_logits(load_original(alone), checkpoint, name)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def transformers_logits(model: Any, checkpoint: Path, name: str) -> np.ndarray[Any, Any]:
    import torch
    from transformers.cache_utils import MtpCache

    predictor = mtp_model(model, checkpoint, name)
    with torch.no_grad():
        token_ids = torch.tensor([list(TOKEN_IDS)])
        hidden = model.get_decoder()(token_ids[:, :-1]).last_hidden_state
        places = torch.arange(1, token_ids.shape[1])[None]
        cache = MtpCache(config=model.config.get_mtp_config())
        out = predictor.forward_layer(0, hidden, places, cache, input_ids=token_ids[:, 1:])
        return predictor._project_to_logits(out)[0].numpy()


def mtp_model(model: Any, checkpoint: Path, name: str) -> Any:
    from transformers.modeling_layers import MtpModel

    model.config.name_or_path = str(checkpoint)
    for key, value in PREDICTING_CONFIG.items():
        setattr(model.config, key, value)
    if name == "mellum":
        model.config.mtp_layer_types = ["sliding_attention"]
    layer = model.config.num_hidden_layers
    model._keys_to_ignore_on_load_unexpected = [rf"^model\.layers\.{layer}\.", r"^mtp\."]
    return MtpModel.from_pretrained(model).eval()
