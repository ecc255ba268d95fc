"""How the default model came to be: from named packages to a trained checkpoint, a command a step.

Not in the wheel, and nothing of the product imports it. It imports inference.fim and
export.quantization, so that the model is trained on the very layout and rounding of serving.
"""
