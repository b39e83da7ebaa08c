"""Where commands run and files live. Knows nothing of models or tools."""
