"""Study: figure 3 of the paper at its length, with a smaller network."""
