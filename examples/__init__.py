"""What metacurate is good for, as programs to read and to run."""
