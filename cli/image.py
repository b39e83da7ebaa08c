"""`ostro image build`: a sandbox image from Debian packages alone."""

from __future__ import annotations

import click

from ostro.cli.options import examples, output_option, print_json


@click.group(
    epilog=examples(
        "sudo ostro image build",
    ),
)
def command() -> None:
    """Make sandbox images where no image registry can be reached."""


@command.command(
    epilog=examples(
        "sudo ostro image build",
        "sudo ostro image build --tag mine:node --package nodejs --package npm",
    ),
)
@click.option("--tag", default="ostro/base:bookworm", show_default=True, help="Name of the image.")
@click.option("--package", multiple=True, metavar="NAME", help="One more Debian package; repeatable.")
@click.option("--suite", default="bookworm", show_default=True, help="Debian release.")
@click.option("--mirror", default="http://deb.debian.org/debian", show_default=True, help="Debian mirror.")
@output_option
def build(tag: str, package: tuple[str, ...], suite: str, mirror: str, output: str) -> int:
    """Build an image with Python, git and ripgrep by debootstrap; needs root and a Docker engine.

    The tag ostro/base:bookworm is the one that `--sandbox docker` takes when no image is named.
    """
    from ostro.sandbox.docker_engine import Engine
    from ostro.sandbox.image import build_image

    def say(text: str) -> None:
        click.echo(text, err=True)

    found = build_image(Engine.connect(), tag, package, suite=suite, mirror=mirror, say=say)
    if output == "json":
        print_json({"schema": 1, "image": tag, "id": found})
    else:
        click.echo(f"{tag} {found}")
    return 0
