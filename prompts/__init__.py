"""Every word that a model reads, as Jinja2 templates, and the small renderer for them."""

from ostro.prompts.render import describe_tool, prompts_digest, render, template_names

__all__ = ["describe_tool", "prompts_digest", "render", "template_names"]
