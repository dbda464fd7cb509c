"""``fairvision cite``: print the papers of methods as BibTeX."""

from __future__ import annotations

import re
import unicodedata

import click

from fairvision.cli._show import registry
from fairvision.plugins import RegisteredMethod, clean
from fairvision.types import Reference

_SPECIAL = re.compile(r"([&%$#_{}])")


@click.command(
    "cite",
    epilog="""\b
Examples:
  fairvision cite jlu db-vae > methods.bib
""",
)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def command(names: tuple[str, ...]) -> None:
    """Print BibTeX for the methods NAME...; a paper that several share is printed once."""
    printed = set()
    for name in names:
        method = registry().find("method", name)
        if not isinstance(method, RegisteredMethod) or method.reference is None:
            click.echo(f"{clean(name)} has no paper to cite.", err=True)
        elif (entry := bibtex(method.reference)) not in printed:
            printed.add(entry)
            click.echo(entry)


def short(reference: Reference | None) -> str:
    """Return "Alvi et al. 2018", or a dash."""
    if reference is None or not reference.authors:
        return "-"
    families = [author.split()[-1] for author in reference.authors if author.split()]
    authors = f"{families[0]} et al." if len(families) > 2 else " and ".join(families)
    return f"{authors} {reference.year}"


def bibtex(reference: Reference) -> str:
    """Return one BibTeX entry, keyed by the first author's family name and the year.

    The type is ``@misc``, which fits conferences and journals.
    """
    fields = {
        "title": f"{{{_escaped(reference.title)}}}",  # doubly braced: keeps its capitals
        "author": " and ".join(map(_escaped, reference.authors)),
        "year": str(int(reference.year)),
        "howpublished": _escaped(reference.venue),
        "doi": clean(reference.doi or ""),
        "eprint": clean(reference.arxiv or ""),
        "archiveprefix": "arXiv" if reference.arxiv else "",
        "url": clean(reference.url or ""),
    }
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join(["@misc{" + _key(reference) + ",", *lines, "}"])


def _key(reference: Reference) -> str:
    family = reference.authors[0].split()[-1] if reference.authors else "anonymous"
    plain = unicodedata.normalize("NFKD", family).encode("ascii", "ignore").decode().lower()
    return f"{re.sub('[^a-z]', '', plain) or 'anonymous'}{int(reference.year)}"


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", clean(text))
