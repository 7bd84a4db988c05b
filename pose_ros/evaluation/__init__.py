"""How good a network is: its people held against labelled ones, in numbers, errors and pictures."""
