"""Read a checkpoint from GGUF files, as llama.cpp and the programs around it use them.

    files ──layout, parts──► metadata ──families──► config.json ──► the same family files as any
                                      ──vocabulary──► tokenizer.json
                             tensors  ──assembly──► in the order and number that a spec has
                                      ──names──► the slots that they fill
                                      ──blocks──► numbers, or integers and scales taken over

The format is ggml's own documentation (docs/gguf.md of ggml-org/ggml). Adding an architecture is a
function in families.py, which says its metadata as a config.json does, and a line in
architectures.py; a tensor that no other architecture has is a line in names.py.
"""
