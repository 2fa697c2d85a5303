"""The stack's resources on AWS."""
