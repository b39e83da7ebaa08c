"""Tasks, the harness that replays them, grading, statistics and reports."""
