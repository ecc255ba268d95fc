"""Kimi K2 and K2.5: DeepSeek-V3 by another name, with more experts and fewer heads.

Source: Kimi K2 (arXiv:2507.20534); the published code is that of DeepSeek-V3.
"""

from typing import Final

import msgspec

from export.architectures import deepseek_v3
from export.architectures.common.family import Family

FAMILY: Final[Family] = msgspec.structs.replace(deepseek_v3.FAMILY, model_type="kimi_k2")
