"""From counts and scores to statements: models, fits, limits, bumps, and whether there is anything.

Reads what run_rdf.py and ml wrote, needs neither ROOT nor Keras. pyhf, pyBumpHunter and iminuit do
the inference; what is here feeds them.
"""
