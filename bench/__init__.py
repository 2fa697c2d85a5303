"""How long the program takes, and how long until tenants are ready. `python -m bench 1 10 100`."""
