"""Does the theory hold for a network with convolutions?"""
