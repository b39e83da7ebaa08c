"""Every word that a model reads, as Jinja2 templates, and the small renderer for them."""
