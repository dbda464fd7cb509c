"""``fairvision report``: a finished comparison as one HTML file."""

from __future__ import annotations

from pathlib import Path

import click

from fairvision.cli._show import print_json


@click.command(
    "report",
    epilog="""\b
Examples:
  fairvision report runs/faces
  fairvision report runs/faces --out faces.html --json
""",
)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write; FOLDER/report.html if not given.",
)
@click.option(
    "--pictures/--no-pictures",
    default=True,
    help="Include test pictures and figures of plugins; without them, the report shows no person.",
)
@click.option("--quiet", is_flag=True, help="Print nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: the file and its size.")
def command(folder: Path, out: Path | None, pictures: bool, quiet: bool, as_json: bool) -> None:
    """Draw what `fairvision compare --out FOLDER` found.

    Nothing is trained. The report shows artifacts of the models if they were stored at training.

    Exit code 0: written. 2: the folder holds no finished comparison.
    """
    from fairvision.comparison import read_report_data
    from fairvision.reports import comparison_page, write_page

    text = comparison_page(read_report_data(folder), pictures=pictures)
    page = write_page(out or folder / "report.html", text)
    size = page.stat().st_size
    if as_json:
        print_json({"report": str(page), "bytes": size})
    elif not quiet:
        click.echo(f"Report: {page} ({size / 1e6:.1f} MB)")
