"""Finding out why a derivative written by hand is wrong: hypotheses, each tried against numbers."""
