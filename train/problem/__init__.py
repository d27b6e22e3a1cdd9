"""What is compared: a comparison, its arms, schedules and networks, and the paper's experiments."""
