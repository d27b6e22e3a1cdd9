"""Study: does LCAM keep a network with convolutions from memorising wrong labels?"""
