"""`./saas`: commands for people. They edit files and ask, and register nothing."""
