"""A tenant's resources, and the guard rails around all of them."""
