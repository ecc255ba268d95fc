"""`inkling setup EDITOR`: what an editor needs to know Inkling; one module per editor."""
