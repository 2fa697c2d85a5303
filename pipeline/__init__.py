"""What the workflows run, kept apart from the program so that it can be tested."""
