"""Write a new plugin: a complete distribution with tests, which passes the checks."""

from fairvision.scaffold._write import new_plugin

__all__ = ["new_plugin"]
