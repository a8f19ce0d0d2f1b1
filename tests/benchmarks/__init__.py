"""How fast the program is, beside two other ways to do the same analysis."""
