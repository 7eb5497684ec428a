"""The kinds of steps, one file each: what decides the result, and how it is made."""
