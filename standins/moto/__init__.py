"""Additions to moto, the emulator of AWS."""
