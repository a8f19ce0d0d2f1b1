"""Detectors: what ranks events by how little they look like the background.

To add one, write a child of `base.Detector` that learns and scores, and an entry of
`declared.DETECTORS`.
"""
