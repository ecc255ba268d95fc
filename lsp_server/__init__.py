"""The language server: LSP in and out, text from whatever stands behind `inference.Engine`."""
