"""Preview gate, policy pack and bootstrap template: deployment guards that run without the program's environment."""
