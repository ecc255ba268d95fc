"""Properties are about what is true, not about how long a busy machine takes to find out."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
