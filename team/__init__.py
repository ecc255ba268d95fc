"""One engine for a team: `inkling serve`, an HTTP service, and the tokens that let people in.

It uses the engine as any program would, by what `inference/__init__.py` exports. It knows no LSP,
no editor and no model family. Only this package imports starlette, uvicorn and prometheus_client,
which come with the extra `inkling-lsp[team]`, and only cluster.py imports ray (`cluster`).
"""
