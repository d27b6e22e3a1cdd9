"""What is compared: a comparison, its arms, controls, schedules and networks, and the paper's experiments."""
