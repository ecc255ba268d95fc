"""Read a checkpoint from one GGUF file, as llama.cpp and the programs around it use them.

    file ──layout──► metadata ──config──► config.json ──► the same family files as any other
                              ──vocabulary──► tokenizer.json
                     tensors  ──names──► the names that the family's rules know
                              ──blocks──► numbers, or integers and scales taken over

The format is ggml's own documentation (docs/gguf.md of ggml-org/ggml). What one architecture calls
its parts is a table in names.py and one in config.py; adding an architecture is an entry in each.
"""
