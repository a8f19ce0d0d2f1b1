"""Autoencoders that learn what ordinary events look like and rank the ones they cannot rebuild.

Files in, files out: the tables and `run.json` that `run_rdf.py` wrote are read, models go to
`OUT/models` and scores to `OUT/scores`. `python -m ml --help` lists the commands.
"""
