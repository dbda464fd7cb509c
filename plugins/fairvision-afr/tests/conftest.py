"""The fixtures of this plugin's tests."""

from fairvision.testing.spurious import balanced, biased, net, test_rows

__all__ = ["balanced", "biased", "net", "test_rows"]
