"""Pictures of what the other parts of the program wrote.

Modules come in pairs: one that reads or computes and knows nothing of matplotlib, and one whose
name begins with `draw_`, which takes arrays and returns a matplotlib Figure. `results` reads the
output folder, `save` writes pictures, `commands` joins the two, `report` makes the page.
"""
