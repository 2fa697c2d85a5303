"""The embedded platform: everything the program needs from a cloud, running on one machine."""
