"""`inkling playground`: a page to try a model in, and its language server behind a WebSocket.

It listens on the loopback interface alone, for one person who holds its address: see door.py.
"""
