"""What an agent costs besides its model: Ostro and a peer do the same task with a scripted model, in turns.

    python -m ostro.benchmarks.speed --mini VENV/bin/python --sandbox docker --sandbox local

task.py says what is done, contestants.py who does it, measure.py what one run took, __main__.py plays the rounds and
prints the table. Times are compared within one call only, as ratios: the next machine has other ones.
"""
