"""What a run leaves behind: the append-only trajectory and its redaction."""
