"""Many tenants, measured: `python -m bench 10 100`."""
