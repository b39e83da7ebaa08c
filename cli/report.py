"""`ostro report`: the documents of an evaluation, written anew from its results."""

from __future__ import annotations

from pathlib import Path

import click

from ostro.cli.options import examples, output_option, print_json


@click.command(
    epilog=examples(
        "ostro report runs/a",
        "ostro report runs/a --output json",
    ),
)
@click.argument("run", type=click.Path(path_type=Path))
@output_option
def command(run: Path, output: str) -> int:
    """Write the reports of an evaluation into its folder RUN, finished or not.

    results.json is a superset of SWE-bench's report; predictions.jsonl holds the patches in its format. report.md and
    junit.xml are for other tools, report.html is one page for people that needs no network.
    """
    from ostro.benchmarks.html_report import write_page
    from ostro.benchmarks.report import facts, headline, results_json, write_report
    from ostro.benchmarks.store import read_run
    from ostro.benchmarks.summary import summarise

    read = read_run(run)
    summary = summarise(read.manifest, read.results)
    written = [*write_report(read, summary), write_page(read, summary)]
    if output == "json":
        print_json(results_json(read, summary))
        return 0
    click.echo(headline(summary))
    for line in facts(read, summary):
        click.echo(f"  {line}")
    click.echo("Written: " + ", ".join(str(path) for path in written))
    return 0
