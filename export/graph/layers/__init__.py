"""How each part of a spec is computed in ONNX: functions from values to values.

They see specs and weights, never a model family; the type of a weight decides the operator.
"""
