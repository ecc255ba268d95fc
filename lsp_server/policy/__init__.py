"""Decide whether to answer and how much. Pure: a document, a place and settings in, a word out."""
