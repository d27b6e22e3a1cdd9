"""Study: does the theory hold for a network with convolutions?"""
