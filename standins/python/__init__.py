"""A stand-in for pulumi-language-python."""
