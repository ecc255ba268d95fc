"""Models by name: where they come from, and how they become packages that the engine finds."""
