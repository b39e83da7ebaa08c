"""The plan-act-observe loop, the model client, the history, the trajectory, budgets and configuration."""
