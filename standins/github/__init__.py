"""The GitHub provider, against the platform's Git server."""
