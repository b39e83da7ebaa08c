"""Mirrors the rooms; tests/faults/ is the fault matrix, tests/attacks/ the attack suite."""
