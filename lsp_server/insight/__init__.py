"""Inkling explains itself: what was asked, shown and kept, why not, and whether all is well.

Nothing here holds a word of a document, and nothing leaves the machine.
"""
