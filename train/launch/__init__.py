"""Which runs are trained, and where: in this process, in others, or on a cluster."""
