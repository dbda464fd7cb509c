"""``fairvision plugins``: every plugin, what it offers, and what is wrong with it."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import click

from fairvision.cli._show import origin_json, print_json, print_table, registry
from fairvision.hookspecs import API_VERSION
from fairvision.plugins import Plugin, PluginFailure, PluginNote, Registry, clean


@click.command(
    "plugins",
    epilog="""\b
Examples:
  fairvision plugins
  fairvision plugins --strict --json
""",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--strict", is_flag=True, help="Exit with code 1 if a plugin failed.")
@click.pass_context
def command(ctx: click.Context, as_json: bool, strict: bool) -> None:
    """List the plugins, what each offers, and what to do about those that failed.

    Exit code 0: listed. 1: with --strict, a plugin failed.
    """
    plugins = registry()
    if as_json:
        print_json(_json(plugins))
    else:
        _print(plugins)
    if strict and plugins.failures:
        ctx.exit(1)


def _print(plugins: Registry) -> None:
    rows = [
        (
            plugin.origin.distribution,
            plugin.origin.version,
            plugin.origin.entry_point,
            plugin.status,
            "; ".join(f"{kind}: {', '.join(names)}" for kind, names in _offers(plugin).items()),
        )
        for plugin in plugins.plugins
    ]
    print_table(rows, columns=("DISTRIBUTION", "VERSION", "ENTRY POINT", "STATUS", "OFFERS"))
    for title, items in (("Failed", plugins.failures), ("Notes", plugins.notes)):
        if items:
            click.echo(f"\n{title}")
        for item in items:
            click.echo(f"  {clean(item)}\n    {clean(item.hint)}")


def _offers(plugin: Plugin) -> dict[str, list[str]]:
    offers: defaultdict[str, list[str]] = defaultdict(list)
    for offered in plugin.offers:
        offers[f"{offered.kind}s"].append(offered.name)
    return dict(offers)


def _json(plugins: Registry) -> dict[str, Any]:
    unmatched = [note for note in plugins.notes if note.origin is None]
    return {
        "api_version": API_VERSION,
        "plugins": [_plugin_json(plugin) for plugin in plugins.plugins],
        "notes": [_words(note) for note in unmatched],
    }


def _plugin_json(plugin: Plugin) -> dict[str, Any]:
    failure = plugin.failure
    return {
        **origin_json(plugin.origin),
        "status": plugin.status,
        "offers": _offers(plugin),
        "failure": {"phase": failure.phase, **_words(failure)} if failure else None,
        "notes": [_words(note) for note in plugin.notes],
    }


def _words(item: PluginFailure | PluginNote) -> dict[str, str]:
    return {"message": item.message, "hint": item.hint}
