"""Data sources and what they yield: the same Dataset from every one of them."""
