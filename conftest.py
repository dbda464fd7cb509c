"""What holds for the host's tests and every plugin's."""

from __future__ import annotations

from hypothesis import settings

# The same examples in every run, so that a red run is the change's doing and not the dice's, and
# no deadline, which a busy machine would miss. To search on: --hypothesis-profile=default.
settings.register_profile("fairvision", derandomize=True, deadline=None)
settings.load_profile("fairvision")
