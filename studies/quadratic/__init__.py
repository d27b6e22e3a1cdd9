"""Study 2: the theory on a quadratic for which everything can be computed."""
