"""AWS policy documents as JSON."""
