"""What persistmod costs, as ratios: each row measures the database and the plain way in one run, turn about.

`python -m benchmarks` runs the rows, prints a table and writes JSON. A machine that is shared or slow shifts both
sides of a ratio alike, so ratios can be compared between machines and days, seconds cannot.
"""
