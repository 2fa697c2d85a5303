"""A product that several tenants run: what belongs to no single one of them."""
