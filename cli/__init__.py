"""The front door: commands, rendering and exit codes. Nothing imports it."""
