"""Importing aif360 without its messages."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["silence_import"]


@contextmanager
def silence_import() -> Iterator[None]:
    """Import aif360 in this block without its warnings about optional dependencies.

    aif360 warns through the root logger. Python then adds a handler to that
    logger, which would print the messages of every library from then on. The
    handlers are restored after the block.
    """
    root = logging.getLogger()
    handlers, disabled = list(root.handlers), logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        root.handlers[:] = handlers
