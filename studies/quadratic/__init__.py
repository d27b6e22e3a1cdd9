"""Study 2: the theory alone, on a quadratic where everything can be computed."""
