"""Commands for people: they read and print, and register nothing."""
