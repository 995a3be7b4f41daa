"""From a checked run spec to trained weights: the code that decides the numbers."""
