"""The model client: catalogue, wire format, retries, token counts, and the probe of an endpoint."""
