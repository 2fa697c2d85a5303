"""What the inputs may say: read, merge, validate; frozen objects come out."""
