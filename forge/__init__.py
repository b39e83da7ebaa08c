"""Where issues come from and pull requests go."""
