"""The conformance kit: does a method keep the contract, and does it do what it says?

For the authors of plugins. ``fairvision check NAME`` runs the same checks at a terminal.
A method states what the kit must know of it in its descriptor: `fairvision.types.Claims`.
"""

from lazy_loader import attach_stub

# The names are in __init__.pyi; each is imported when it is first used.
__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
