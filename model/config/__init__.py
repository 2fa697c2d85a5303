"""The inputs: read, merged and validated; frozen objects come out.

yaml_lines parses a file with the line of each value, inheritance merges tenants with what they inherit, base validates
every shape once by pydantic, and then the rules run on valid objects (`broken_rules`).
"""
