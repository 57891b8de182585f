"""Property tests of the estimators: the same examples on every run, and no deadline on a busy machine."""

from hypothesis import settings

settings.register_profile("estimate", deadline=None, derandomize=True)
settings.load_profile("estimate")
