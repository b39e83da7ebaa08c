"""What the model may call. One file a tool."""
