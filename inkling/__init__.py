"""The `inkling` command: one verb, one line, imported when it is called."""
