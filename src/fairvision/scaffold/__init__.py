"""A plugin to start from: a distribution that is complete, tested and conforms."""

from fairvision.scaffold._write import new_plugin

__all__ = ["new_plugin"]
